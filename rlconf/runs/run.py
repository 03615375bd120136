"""The life of a training run, from a checked configuration to an exit status.

Processes come up, the run folder is chosen, the configuration becomes objects, the policy is
evaluated, trained and evaluated again; everything it did is in the run folder. Exit status: 0 at
the end of training, 130 after Ctrl-C and 143 after SIGTERM (with a checkpoint to resume from), 75
after a phase that took longer than its limit (`rlconf.runs.watchdog`).
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from data.solutions.store import write_reasons
from rlconf.building.methods import Training, make_training
from rlconf.console import Reporter, quiet_libraries
from rlconf.doctor.live import LiveDoctor
from rlconf.evaluation import evaluate, evaluations
from rlconf.evaluation.evaluations import add_evaluation, read_evaluation
from rlconf.records import plots
from rlconf.records.curriculum import draw_history, write_history
from rlconf.records.record import Metrics, RolloutFiles, flush_records
from rlconf.records.token_files import TokenFiles
from rlconf.records.tracking import Trackers
from rlconf.runs import launch, manifest, topology
from rlconf.runs.folder import RunFolder
from rlconf.runs.guards import Beat, finite_guard, watch
from rlconf.runs.interrupt import Interrupt
from rlconf.runs.launch import World
from rlconf.runs.progress import TrainingProgress
from rlconf.runs.saving import Checkpoints
from rlconf.runs.session import Session, begin
from rlconf.runs.stages import Stage, stages_of
from rlconf.runs.watchdog import Watchdog
from rlconf.settings import trust
from rlconf.settings.check_tools import tool_use
from rlconf.settings.schema import Config
from trainers import OnlineTrainer
from trainers.resume import is_exhausted, is_sharded

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import PreTrainedTokenizerBase, Trainer

    from trainers.rollout import Rollout


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
        if world.is_first and config.logging.report:
            _report(session.folder, reporter)
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
    doctor = LiveDoctor(config.guard.doctor, reporter.say, folder.metrics)
    metrics = Metrics(folder.metrics, session.generation, listeners=[trackers.log, doctor])
    progress, interrupt = TrainingProgress(reporter), Interrupt()
    checkpoints = Checkpoints(
        config.checkpoint.keep,
        generation=lambda: metrics.generation,
        world=world,
        records=lambda after: flush_records(
            folder.metrics, (folder.rollouts, folder.tokens), after
        ),
    )

    def make(stage: Stage, first_step: int) -> Training:
        """A stage's trainer; the recorders go on counting from the stages before."""
        training = make_training(
            stage.model_config,
            stage.folder,
            listeners=lambda tokenizer: [
                metrics.count,
                trackers.keep,
                *_rollout_files(config, session, world, tokenizer),
            ],
            callbacks=[Beat(watchdog), interrupt, checkpoints, metrics, progress],
            guards={"finite": finite_guard(config, folder), "phase": watchdog.phase},
        )
        trainer = training.trainer
        checkpoints.log_first = not isinstance(trainer, OnlineTrainer)
        checkpoints.stage = metrics.stage = stage.number
        checkpoints.first_step = metrics.first_step = first_step
        if isinstance(trainer, OnlineTrainer):
            trainer.first_step, trainer.generation = first_step, metrics.generation
        _silence(trainer)
        topology.check_running(config, trainer, world)
        checkpoints.sharing = topology.sharing(topology.found(trainer))
        if stage.resume is not None:
            topology.check_resumed(stage.resume, checkpoints.sharing, world.size)
        if stage.number is not None:
            reporter.say(f"stage {stage.number}, from step {first_step}")
        for note in training.notes:
            reporter.say(note)
        if training.sorted_out and world.is_first:
            write_reasons(folder.demonstrations, training.sorted_out)
            training.sorted_out = []  # it may be large
        return training

    stages = stages_of(config, session)
    stage: Stage | None = next(stages)
    assert stage is not None
    first_step = session.step - stage.resumed_step
    training = make(stage, first_step)
    if world.is_first:
        trackers.open(training.trainer.args)
    began = time.monotonic()
    with interrupt:
        if config.evaluate.before and session.step == 0:
            with watchdog.phase("evaluation"), interrupt.at_once(alone=world.size == 1):
                _evaluate(config, "before", training, session, world, reporter)
            interrupt.settle(training.trainer.args.device)
            began = time.monotonic()
        while stage is not None and not interrupt.signal:
            try:
                with watchdog.phase("step"):
                    _advance(training.trainer, stage)
            finally:
                progress.close()
            _end_curriculum(training.trainer, stage, session, world, reporter)
            before = stage.folder
            stage = None if interrupt.signal else next(stages, None)
            if stage is not None:
                watchdog.restart()
                first_step += training.trainer.state.global_step
                del training  # two models may not fit
                checkpoints.keep_last(before)
                training = make(stage, first_step)
        trainer = training.trainer
        facts = {
            "step": first_step + trainer.state.global_step,
            "generation": metrics.generation,
            "training_seconds": round(time.monotonic() - began, 3),
            "totals": metrics.summary,
        }
        if config.checkpoint.final_model and not interrupt.signal:
            with watchdog.phase("checkpoint"):
                trainer.save_model(str(folder.model))
        interrupt.settle(trainer.args.device)
        if config.evaluate.after and not interrupt.signal:
            with watchdog.phase("evaluation"), interrupt.at_once(alone=world.size == 1):
                _evaluate(config, "after", training, session, world, reporter)
            interrupt.settle(trainer.args.device)
    watchdog.restart()
    if world.is_first:
        trackers.totals(metrics.summary, read_evaluation(folder))
        _show(config, session, interrupt, facts, reporter)
    return interrupt.exit_code, facts


def _end_curriculum(
    trainer: Trainer, stage: Stage, session: Session, world: World, reporter: Reporter
) -> None:
    """Write what the curriculum has seen, if there was one, and say if it came to its end."""
    curriculum = trainer.curriculum if isinstance(trainer, OnlineTrainer) else None
    if curriculum is None:
        return
    if world.is_first:
        folder = session.folder.curriculum
        write_history(folder / f"stage{stage.number or 1}.parquet", curriculum)
    if curriculum.exhausted:
        reporter.say(
            "curriculum_exhausted: every question is mastered, so training ends here. To go on "
            "with all of them: curriculum.on_exhausted=again"
        )


def _rollout_files(
    config: Config, session: Session, world: World, tokenizer: PreTrainedTokenizerBase
) -> list[Callable[[Rollout], None]]:
    """The recorders of rollouts and of tokens, where they are wanted."""
    logging, folder = config.logging, session.folder
    if not logging.rollouts:
        return []
    every, writes = logging.every, world.is_first
    recorders: list[Callable[[Rollout], None]] = [
        RolloutFiles(folder.rollouts, every, logging.max_completion_chars, writes)
    ]
    if logging.token_samples:
        recorders.append(TokenFiles(folder.tokens, tokenizer, logging.token_samples, every, writes))
    return recorders


def _silence(trainer: Trainer) -> None:
    """Take away Hugging Face's own bar and printer: the run has its own."""
    from transformers import PrinterCallback, ProgressCallback

    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)


def _advance(trainer: Trainer, stage: Stage) -> None:
    """Train a stage, from its checkpoint if there is one, to the end.

    A run that was stopped after its last step has nothing left to train, but the base class would
    take one step more before it looks; so only the weights are loaded, and what the curriculum saw.
    """
    if stage.resume is None:
        if stage.adapter is not None:
            trainer._load_from_checkpoint(str(stage.adapter))
        trainer.train()
    elif (
        isinstance(trainer, OnlineTrainer) and is_exhausted(trainer, stage.resume)
    ) or 0 < trainer.args.max_steps <= stage.resumed_step:
        trainer._load_from_checkpoint(str(stage.resume))
        trainer.state.global_step = stage.resumed_step
    else:
        trainer.train(resume_from_checkpoint=str(stage.resume))


def _evaluate(
    config: Config,
    name: str,
    training: Training,
    session: Session,
    world: World,
    reporter: Reporter,
) -> None:
    """Evaluate the policy as it is now and add the result to ``evaluation.json``."""
    trainer, split = training.trainer, config.evaluate.split
    if not getattr(training.task, split):
        reporter.say(
            f"task {training.task.name} has no questions in its {split} split, so the model is not "
            f"evaluated {name} training: set task.{split}_size, or another evaluate.split"
        )
        return
    if is_sharded(trainer):
        reporter.say(
            f"the model is sharded over the processes, so it is not evaluated {name} training: "
            f"afterwards, type rlconf evaluate {session.folder.path}"
        )
        return
    result = evaluate.measure(
        trainer.accelerator.unwrap_model(trainer.model),
        training.tokenizer,
        training.task,
        training.accuracy_reward,
        config.evaluate,
        max_new_tokens=training.max_new_tokens,
        seed=config.seed,
        world=world,
        chat_template_kwargs=config.trainer.get("chat_template_kwargs"),
        tools=tool_use(config, training.task),
    )
    if world.is_first:
        final = str(session.folder.model) if config.checkpoint.final_model else None
        model = final if name == "after" else config.model.path
        source = evaluations.provenance(config, str(session.folder.path), model)
        add_evaluation(session.folder, name, {**source, **result})
        reporter.say(f"{name} training: {evaluate.sentence(result)}")


def _report(folder: RunFolder, reporter: Reporter) -> None:
    """Write the report. The run is over and well: nothing that happens here may spoil it."""
    try:
        from rlconf.report import write_report

        reporter.say(f"report: {write_report([folder.path], folder.report)}")
    except Exception as error:
        reporter.say(
            f"the report could not be written ({type(error).__name__}: {error}). "
            f"To try again: rlconf report {folder.path}"
        )


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
        draw_history(folder.curriculum, folder.plots / "curriculum_history.png")
    results = read_evaluation(folder)
    if results and not interrupt.signal:
        reporter.say(evaluate.table(results))
    if interrupt.signal:
        reporter.say(f"stopped at step {facts['step']}. To go on: resume={folder.path}")
    else:
        reporter.say(f"trained to step {facts['step']} in {facts['training_seconds']:.0f} s.")
    reporter.say(f"everything is in {folder.path}")
