"""`rlconf crew-dpo`: rounds of sampling, scoring, pairing, training and choosing, end to end.

    crew_dpo/NAME/
      config.yaml            the whole configuration
      crew_dpo.json          what every round did: counts, choice, accuracy, seconds and memory
      start.json             the initial model on the split of `evaluate`
      round-1/
        pairs.*              the files of `rlconf pairs`: solutions, scored, pairs, page
        train/               a run folder, as of `rlconf train`
        choice.json          each checkpoint on the dev split, and the one that was chosen
        model/               the chosen one, whole
        evaluation.json      the chosen one on the split of `evaluate`
      round-2/ ...

Every stage ends with its file, so the same command goes on after whichever came last; a stage's
output serves the other commands too (`rlconf judge`, `trainer=dpo pairs.file=`, `rlconf evaluate`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rewards.errors import ConfigError
from rlconf.building.parts import build_task
from rlconf.console import Reporter, quiet_libraries
from rlconf.evaluation.evaluate import evaluate_model, sentence, share
from rlconf.export.export import load_merged, new_folder
from rlconf.files import write_json
from rlconf.redact import redact
from rlconf.runs import checkpoint, launch, manifest, topology
from rlconf.runs.launch import World
from rlconf.settings import compose
from rlconf.settings.schema import Config, DemonstrationsSection, PairsSection, to_dict
from rlconf.settings.trl_fields import method_of
from rlconf.solutions.pairs import check_locator, make_pairs
from rlconf.solutions.rounds import Ledger, Round, read_json

__all__ = ["crew_dpo_command"]

MAY_CHANGE = ("name", "resume", "run", "plugins", "logging", "tracking", "launch", "guard")
"""Sections that say nothing of what the rounds compute."""
MAY_CHANGE_TOO = ("crew_dpo.iterations", "crew_dpo.path")


def crew_dpo_command(config: Config) -> int:
    """Run the rounds that are not done yet.

    Returns:
        The exit status: 0, or that of a training run which was stopped.

    Raises:
        ConfigError: the folder holds rounds of other settings, or a stage has nothing to go on.
    """
    quiet_libraries()
    _check_method(config)
    world = launch.start(config.trainer.get("use_cpu"))
    topology.check_started(config, world)  # before hours of sampling, not after
    check_locator(config, build_task(config))
    reporter = Reporter(world.is_first)
    root = Path(config.crew_dpo.path or f"crew_dpo/{config.name}").expanduser()
    launch.on_first(world, lambda: _begin(config, root))
    ledger = Ledger(root, world)
    reporter.say(f"rounds: {root}")
    start = root / "start.json"
    if not start.exists():
        ledger.stage(0, "start", lambda: _evaluate(config, start, world, reporter))
    latest = config
    for number in range(1, config.crew_dpo.iterations + 1):
        one = Round(root, number)
        reporter.say(f"round {number} of {config.crew_dpo.iterations}")
        code = _round(config, latest, one, ledger, world, reporter)
        if code:
            return code
        latest = with_model(config, one.model)
    if world.is_first:
        reporter.say(_table(root, config.crew_dpo.iterations))
        reporter.say(f"everything is in {root}; the latest model is {one.model}")
    return 0


def _round(
    initial: Config,
    latest: Config,
    one: Round,
    ledger: Ledger,
    world: World,
    reporter: Reporter,
) -> int:
    """One round; stages whose file is there are not repeated. Returns an exit status."""
    stage = ledger.of(one.number)
    start = initial if initial.crew_dpo.restart_from_initial else latest
    if not one.pairs.exists():
        stage("pairs", lambda: make_pairs(_pairing(latest, one), world, reporter, one.number))
    train = _training(start, one, scored_model_trains=start is latest)
    if not one.trained:
        code = stage("train", lambda: _train(train))
        if code:
            reporter.say("stopped; the same command goes on from the last checkpoint")
            return int(code)
    if not one.choice.exists():
        stage("choose", lambda: _choose(train, one, world, reporter))
    if not one.model.is_dir():
        launch.on_first(world, lambda: _export(one))
    if not one.evaluation.exists():
        chosen = with_model(initial, one.model)
        stage("evaluate", lambda: _evaluate(chosen, one.evaluation, world, reporter))
    launch.on_first(world, lambda: ledger.add(one.number, _facts(start, latest, one)))
    return 0


def with_model(config: Config, folder: Path) -> Config:
    """The configuration with the model of a folder; its dtype and template stay."""
    model = replace(config.model, name=None, path=str(folder), revision=None, tiny={})
    return replace(config, model=model)


def _pairing(config: Config, one: Round) -> Config:
    return replace(
        config,
        name=f"{config.name}-{one.number}",
        sampling=replace(config.sampling, path=None),
        pairs=replace(config.pairs, file=str(one.pairs), scored=None),
    )


def _training(start: Config, one: Round, *, scored_model_trains: bool) -> Config:
    """The run of one round: what it starts from is its reference."""
    config = replace(
        start,
        name=f"{start.name}-{one.number}",
        resume="auto",
        run=replace(start.run, dir=str(one.train.path), id=None),
        # The rounds choose and evaluate themselves, and must have what to choose from.
        evaluate=replace(start.evaluate, before=False, after=False),
        checkpoint=replace(start.checkpoint, keep=None, final_model=True),
    )
    if method_of(start.trainer) == "sft":
        learnt = DemonstrationsSection(path=str(one.pairs))
        return replace(config, demonstrations=learnt, pairs=PairsSection())
    pairs = replace(start.pairs, file=str(one.pairs), scored=None)
    if not scored_model_trains:
        pairs = replace(pairs, any_model=True)
    return replace(config, pairs=pairs)


def _train(config: Config) -> int:
    from rlconf.runs.run import train

    return train(config)


def _choose(config: Config, one: Round, world: World, reporter: Reporter) -> None:
    """Measure every checkpoint on the dev split and write down which one is taken."""
    found = checkpoint.all_in(one.train.checkpoints)[::-1]
    candidates = [folder for folder in found if checkpoint.fault(folder) is None]
    candidates = candidates or [one.train.model]
    by = config.crew_dpo.choose_by
    if by != "last" and not build_task(config).dev:
        reporter.say("the task has no dev split to choose on, so the last checkpoint is taken")
        by = "last"
    rows: list[dict[str, Any]] = []
    for folder in candidates if by != "last" else candidates[-1:]:
        row: dict[str, Any] = {"checkpoint": str(folder.relative_to(one.folder))}
        if by != "last":
            settings = replace(config.evaluate, split="dev")
            measured = evaluate_model(
                replace(with_model(config, folder), evaluate=settings), build_task(config), world
            )
            row |= {kind: _value(measured, kind) for kind in ("sampled", "greedy")}
            reporter.say(f"{folder.name} on dev: {share(measured['sampled']['accuracy'])}")
        rows.append(row)
    # The first of equals: fewer steps away from the reference.
    best = max(rows, key=lambda row: row.get(by) or 0.0)
    if world.is_first:
        write_json(one.choice, {"by": by, "chosen": best["checkpoint"], "candidates": rows})
    launch.wait(world)
    reporter.say(f"chosen: {best['checkpoint']}")


def _export(one: Round) -> None:
    """Save the chosen checkpoint as a whole model; an adapter is merged."""
    weights = str(one.folder / read_json(one.choice)["chosen"])
    with new_folder(one.model, force=False, apart_from=weights) as draft:
        found = load_merged(weights, one.train)
        found.model.save_pretrained(draft)
        found.tokenizer.save_pretrained(draft)


def _evaluate(config: Config, path: Path, world: World, reporter: Reporter) -> None:
    task = build_task(config)
    if not getattr(task, config.evaluate.split):
        reporter.say(f"task {task.name} has no {config.evaluate.split} split to evaluate on")
        return
    result = evaluate_model(config, task, world)
    reporter.say(sentence(result))
    if world.is_first:
        write_json(path, result)
    launch.wait(world)


def _facts(start: Config, latest: Config, one: Round) -> dict[str, Any]:
    """What a reader of `crew_dpo.json` wants to know of a round."""
    made = read_json(one.pairs.with_suffix(".json"))
    evaluated = read_json(one.evaluation) if one.evaluation.exists() else None
    return {
        "sampled_and_scored_by": latest.model.path or latest.model.name,
        "trained_from": start.model.path or start.model.name,
        "reference": (start.model.path or start.model.name)
        if method_of(start.trainer) == "dpo"
        else None,
        "pairs": {k: v for k, v in made.items() if k not in ("identity", "left_out", "file")},
        "chosen": read_json(one.choice)["chosen"],
        "evaluation": None
        if evaluated is None
        else {kind: _value(evaluated, kind) for kind in ("sampled", "greedy")},
    }


def _value(result: Mapping[str, Any], kind: str) -> float | None:
    measured = result[kind]
    if measured is None or measured["accuracy"] is None:
        return None
    return float(measured["accuracy"]["value"])


def _begin(config: Config, root: Path) -> None:
    """Make the folder, or go on in it if it holds rounds of these very settings."""
    path = root / "config.yaml"
    if not path.exists():
        root.mkdir(parents=True, exist_ok=True)
        compose.save(config, path)
        return
    before, now = (redact(to_dict(one)) for one in (compose.load(path), config))
    changed = {
        key: values
        for key, values in manifest.changes(before, now).items()
        if key.split(".")[0] not in MAY_CHANGE and key not in MAY_CHANGE_TOO
    }
    if changed:
        told = "\n".join(f"  {key}: {old!r} -> {new!r}" for key, (old, new) in changed.items())
        raise ConfigError(
            f"{root} holds rounds of other settings:\n{told}\nSet them back, or choose another "
            "folder: crew_dpo.path=FOLDER"
        )


def _check_method(config: Config) -> None:
    method, learns = config.pairs.method, method_of(config.trainer)
    wanted = "sft" if method == "rest_em" else "dpo"
    if learns != wanted:
        raise ConfigError(
            f"pairs.method={method} and trainer={learns}: "
            + ("right solutions are" if wanted == "sft" else "pairs are")
            + f" learnt with trainer={wanted}"
        )
    given = {"sampling.path": config.sampling.path, "pairs.scored": config.pairs.scored}
    for key, value in given.items():
        if value is not None:
            raise ConfigError(
                f"{key}={value}: every round of crew-dpo samples and scores for itself; leave it "
                "out, or type rlconf pairs and rlconf train trainer=dpo"
            )
    if config.crew_dpo.choose_by == "greedy" and not config.evaluate.greedy:
        raise ConfigError(
            "crew_dpo.choose_by=greedy and evaluate.greedy=false: nothing would be there to choose "
            "by; set evaluate.greedy=true"
        )


def _table(root: Path, rounds: int) -> str:
    """Accuracy of the start and of each round's model, in lines."""
    lines = []
    for number in range(rounds + 1):
        path = Round(root, number).evaluation if number else root / "start.json"
        if path.exists():
            lines.append(f"{f'round {number}' if number else 'start'}: {sentence(read_json(path))}")
    return "\n".join(lines)
