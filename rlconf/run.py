"""The life of a training run, from a checked configuration to an exit status.

Processes come up, the run folder is chosen, the configuration becomes objects, the policy is
evaluated, trained and evaluated again; everything it did is in the run folder. Exit status: 0 at
the end of training, 130 after Ctrl-C and 143 after SIGTERM (with a checkpoint to resume from), 75
after a phase that took longer than its limit (`rlconf.watchdog`).
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

from rlconf import evaluate, evaluations, launch, manifest, plots, topology, trust
from rlconf.build import Parts, build
from rlconf.checkpoint import Checkpoints
from rlconf.console import Reporter, quiet_libraries
from rlconf.doctor.live import LiveDoctor
from rlconf.guards import Beat, finite_guard, watch
from rlconf.interrupt import Interrupt
from rlconf.launch import World
from rlconf.progress import TrainingProgress
from rlconf.record import Metrics, RolloutFiles
from rlconf.schema import Config
from rlconf.session import Session, add_evaluation, begin, read_evaluation
from rlconf.tracking import Trackers
from rlconf.watchdog import Watchdog
from trainers import OnlineTrainer
from trainers.resume import is_sharded


def train(config: Config) -> int:
    """Train as the configuration says, on every process of the launch.

    Args:
        config: composed and checked.

    Returns:
        The exit status: 0, or 128 + signal.

    Raises:
        RlconfError: the processes, the folder or the checkpoint are not as asked for.
    """
    world = launch.start(config.trainer.get("use_cpu"))
    topology.check_started(config, world)
    quiet_libraries()
    session = begin(config, world)
    reporter = Reporter(world.is_first)
    trackers = Trackers(config, session)
    status, code = manifest.FAILED, 1
    facts: dict[str, Any] = {}
    with (
        reporter.logged_to(session.folder.log),
        watch(config, session, world, reporter) as watchdog,
        watchdog.phase("startup"),
    ):
        for note in (f"run folder: {session.folder.path}", *session.notes, *trust.warnings(config)):
            reporter.say(note)
        try:
            code, facts = _train(config, session, world, reporter, trackers, watchdog)
            status = manifest.INTERRUPTED if code else manifest.FINISHED
        except KeyboardInterrupt:
            status = manifest.INTERRUPTED
            raise
        except Exception as error:
            reporter.note_error(error)
            notes = getattr(error, "__notes__", [])  # such as which reward it was
            facts = {"error": " ".join([f"{type(error).__name__}: {error}", *notes])}
            raise
        finally:
            if world.is_first:
                # A full disk must not hide the error that it caused.
                with contextlib.suppress(OSError):
                    manifest.end(session.folder.manifest, status, **facts)
            trackers.close(code)
            session.release()
        # A launcher ends all processes as soon as one has failed, and 143 is a failure to it: none
        # may leave while another is still writing.
        launch.wait(world)
    return code


def _train(
    config: Config,
    session: Session,
    world: World,
    reporter: Reporter,
    trackers: Trackers,
    watchdog: Watchdog,
) -> tuple[int, dict[str, Any]]:
    """Build, evaluate, train, evaluate, save. Returns the exit status and facts on the session."""
    folder = session.folder
    parts = build(config, output_dir=str(folder.checkpoints))
    for note in parts.notes:
        reporter.say(note)
    if world.is_first:
        trackers.open(parts.grpo_config)
    doctor = LiveDoctor(config.guard.doctor, reporter.say, folder.metrics)
    metrics = Metrics(folder.metrics, session.generation, listeners=[trackers.log, doctor])
    rollouts = _rollout_files(config, session, world)
    progress, interrupt = TrainingProgress(reporter), Interrupt()
    checkpoints = Checkpoints(
        config.checkpoint.keep,
        generation=lambda: metrics.generation,
        world=world,
        records=[metrics.flush, *(files.flush for files in rollouts)],
    )
    trainer = OnlineTrainer(
        **parts.trainer_kwargs,
        on_rollout=[metrics.count, trackers.keep, *rollouts],
        finite=finite_guard(config, folder),
        phase=watchdog.phase,
        callbacks=[Beat(watchdog), interrupt, checkpoints, metrics, progress],
    )
    _silence(trainer)
    topology.check_running(config, trainer, world)
    if config.evaluate.before and session.step == 0:
        with watchdog.phase("evaluation"):
            _evaluate(config, "before", trainer, parts, session, world, reporter)
    began = time.monotonic()
    try:
        with interrupt, watchdog.phase("step"):
            _advance(trainer, session)
    finally:
        progress.close()
    facts = {
        "step": trainer.state.global_step,
        "generation": trainer.generation,
        "training_seconds": round(time.monotonic() - began, 3),
        "totals": metrics.summary,
    }
    if not interrupt.signal:
        if config.checkpoint.final_model:
            with watchdog.phase("checkpoint"):
                trainer.save_model(str(folder.model))
        if config.evaluate.after:
            with watchdog.phase("evaluation"):
                _evaluate(config, "after", trainer, parts, session, world, reporter)
    watchdog.restart()
    if world.is_first:
        trackers.totals(metrics.summary, read_evaluation(folder))
        _show(config, session, interrupt, facts, reporter)
    return interrupt.exit_code, facts


def _rollout_files(config: Config, session: Session, world: World) -> list[RolloutFiles]:
    """The recorder of rollouts, if one is wanted."""
    if not config.logging.rollouts:
        return []
    return [
        RolloutFiles(
            session.folder.rollouts,
            every=config.logging.every,
            max_chars=config.logging.max_completion_chars,
            writes=world.is_first,
        )
    ]


def _silence(trainer: OnlineTrainer) -> None:
    """Take away Hugging Face's own bar and printer: the run has its own."""
    from transformers import PrinterCallback, ProgressCallback

    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)


def _advance(trainer: OnlineTrainer, session: Session) -> None:
    """Train from the checkpoint, if there is one, to the end.

    A run that was stopped after its last step has nothing left to train, but the base class would
    take one step more before it looks; so only the weights are loaded.
    """
    if session.checkpoint is None:
        trainer.train()
    elif 0 < trainer.args.max_steps <= session.step:
        trainer._load_from_checkpoint(str(session.checkpoint))
        trainer.state.global_step, trainer.generation = session.step, session.generation
    else:
        trainer.train(resume_from_checkpoint=str(session.checkpoint))


def _evaluate(
    config: Config,
    name: str,
    trainer: OnlineTrainer,
    parts: Parts,
    session: Session,
    world: World,
    reporter: Reporter,
) -> None:
    """Evaluate the policy as it is now and add the result to ``evaluation.json``."""
    if is_sharded(trainer):
        reporter.say(
            f"the model is sharded over the processes, so it is not evaluated {name} training: "
            f"afterwards, type rlconf evaluate {session.folder.path}"
        )
        return
    result = evaluate.measure(
        trainer.accelerator.unwrap_model(trainer.model),
        parts.tokenizer,
        parts.task,
        parts.accuracy_reward,
        config.evaluate,
        max_new_tokens=trainer.args.max_completion_length,
        seed=config.seed,
        world=world,
    )
    if world.is_first:
        final = str(session.folder.model) if config.checkpoint.final_model else None
        model = final if name == "after" else config.model.path
        source = evaluations.provenance(config, str(session.folder.path), model)
        add_evaluation(session.folder, name, {**source, **result})
        reporter.say(f"{name} training: {evaluate.sentence(result)}")


def _show(
    config: Config,
    session: Session,
    interrupt: Interrupt,
    facts: dict[str, Any],
    reporter: Reporter,
) -> None:
    """Draw the plots and tell the user how it ended and where things are."""
    folder = session.folder
    if config.logging.plots:
        plots.draw(folder.metrics, folder.plots)
    results = read_evaluation(folder)
    if results and not interrupt.signal:
        reporter.say(evaluate.table(results))
    if interrupt.signal:
        reporter.say(f"stopped at step {facts['step']}. To go on: resume={folder.path}")
    else:
        reporter.say(f"trained to step {facts['step']} in {facts['training_seconds']:.0f} s.")
    reporter.say(f"everything is in {folder.path}")
