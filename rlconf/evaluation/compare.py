"""`rlconf compare A B`: the same questions, the same draws, and a paired interval.

A and B are models, which are evaluated here, or the JSON files of evaluations made before. One of
the two leads, and the other is asked what it is asked, with its seed, its measure of being right
and its tools: a file before a run, a run before a model, A before B.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from data.solutions import differences, shared
from data.solutions.paired import RESAMPLES
from rewards.errors import ConfigError
from rlconf.building.parts import build_task
from rlconf.console import Reporter, quiet_libraries
from rlconf.evaluation import evaluate
from rlconf.evaluation.evaluations import outcomes_of, provenance, read_file
from rlconf.evaluation.targets import compose_for, run_of
from rlconf.files import write_json
from rlconf.runs import launch
from rlconf.runs.launch import World
from rlconf.settings.check_tools import check_task_suits_tools
from rlconf.settings.fields import read_section
from rlconf.settings.problems import raise_all
from rlconf.settings.schema import Config, EvaluateSection

if TYPE_CHECKING:
    from data.tasks import Task

__all__ = ["compare_command", "compared", "difference_table", "sentence"]

_OF_THE_MODEL = ("model", "plugins")
"""Sections that say nothing about what is asked."""

_ASKED = ("temperature", "top_p", "max_new_tokens", "seed", "samples")
_MOST_CALLS = "max_tool_calling_iterations"


@dataclass(eq=False)
class Side:
    """One of the two.

    Attributes:
        target: as the user named it.
        result: its evaluation; None until there is one.
        config: how to evaluate it; None for a file.
        task: the questions that `config` asks; None for a file.
    """

    target: str
    result: dict[str, Any] | None = None
    config: Config | None = None
    task: Task | None = None

    def keys(self) -> list[tuple[str, str | None]]:
        """Id and right answer of each question, the same as `Outcome.key`."""
        if self.result is not None:
            return [outcome.key for outcome in outcomes_of(self.result)]
        assert self.config is not None
        assert self.task is not None
        return [_key(row) for row in evaluate.questions(self.config, self.task)]


def compare_command(
    a: str,
    b: str,
    overrides: Sequence[str] = (),
    *,
    shared_only: bool = False,
    resamples: int = RESAMPLES,
    json_file: Path | None = None,
) -> int:
    """Evaluate what has to be, compare, print the table.

    Args:
        a: a target of `rlconf evaluate`, or the JSON file of an evaluation.
        b: likewise.
        overrides: of the configuration that both are evaluated with.
        shared_only: where their questions differ, compare on those that both have.
        resamples: of the bootstrap.
        json_file: written besides.

    Returns:
        The exit status, 0.

    Raises:
        ConfigError: they are asked different questions, or the overrides can have no effect.
        CheckpointError: a target has no usable weights.
    """
    if resamples < 1:
        raise ConfigError(f"--resamples {resamples}: expected 1 or more")
    quiet_libraries()
    sides = _sides((a, b), overrides)
    _agree_on_questions(sides, shared_only)
    devices = [side.config.trainer.get("use_cpu") for side in sides if side.config is not None]
    world = launch.start(devices[0] if devices else True)
    reporter = Reporter(world.is_first)
    results = [_evaluated(side, world, reporter) for side in sides]
    if world.is_first:
        report = compared(*results, resamples=resamples)
        names = dict(zip("AB", (side.target for side in sides), strict=True))
        for line in (*(f"{label}: {name}" for label, name in names.items()), *_settings(*results)):
            reporter.say(line)
        reporter.say(difference_table(report), sentence(report))
        if json_file is not None:
            write_json(json_file, {**report, "a": results[0], "b": results[1]})
            reporter.say(f"written to {json_file}")
    return 0


def compared(
    a: Mapping[str, Any], b: Mapping[str, Any], *, resamples: int = RESAMPLES
) -> dict[str, Any]:
    """Compare two evaluations on the questions that they share; see `differences`."""
    ks = sorted({int(k) for one in (a, b) for k in one["sampled"]["pass@k"]})
    pairs = shared(outcomes_of(a), outcomes_of(b))
    seed = int(a["seed"])
    report = differences(pairs, ks, resamples=resamples, seed=seed)
    return {"resamples": resamples, "bootstrap_seed": seed, **report}


def difference_table(report: Mapping[str, Any]) -> Table:
    """What `compared` returned as a table."""
    title = f"{report['questions']} questions; A - B with its paired 95 % interval"
    shown = Table(title=title, title_justify="left")
    shown.add_column("")
    for heading in ("A", "B", "A - B", "resamples for A"):
        shown.add_column(heading, justify="right")
    for label, one in _rows(report):
        low, high = f"{one['low']:+.3f}", f"{one['high']:+.3f}"
        shown.add_row(
            label,
            f"{one['a']:.3f}",
            f"{one['b']:.3f}",
            f"{one['value']:+.3f} [{low}, {high}]",
            f"{100 * one['favours_a']:.1f} %",
        )
    return shown


def sentence(report: Mapping[str, Any]) -> str:
    """What the sampled accuracies say."""
    one = report["sampled"]
    if one is None:
        return "no question is scored for both, so nothing can be compared"
    if one["low"] <= 0 <= one["high"]:
        return "the interval of the sampled accuracy holds 0: these questions show no difference"
    better = "A" if one["value"] > 0 else "B"
    return f"{better} is better: the interval of the sampled accuracy excludes 0"


def _rows(report: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    rows = [("sampled", report["sampled"]), ("greedy", report["greedy"])]
    # pass@1 is the sampled accuracy.
    rows += [(f"pass@{k}", one) for k, one in report["pass@k"].items() if k != "1"]
    rows += [(f"level {level}", one["sampled"]) for level, one in report["levels"].items()]
    return [(label, one) for label, one in rows if one is not None]


def _sides(targets: Sequence[str], overrides: Sequence[str]) -> list[Side]:
    """Read or compose both, and let one decide what both are asked."""
    sides = [Side(target, result=_file(target)) for target in targets]
    files = [side for side in sides if side.result is not None]
    about_questions = [text for text in overrides if not _of_the_model(text)]
    if files and about_questions:
        raise ConfigError(
            f"{' '.join(about_questions)}: the questions of {files[0].target} are fixed, so this "
            "would have no effect on them. Leave it out, or name models instead of files"
        )
    if len(files) == len(sides) and overrides:
        raise ConfigError(f"{' '.join(overrides)}: both are files, so there is nothing to set")
    recorded = [side for side in sides if side.result is None and run_of(side.target) is not None]
    for side in recorded:
        side.config = compose_for(side.target, list(overrides))
    rest = [side for side in sides if side.result is None and side.config is None]
    for side in rest:
        given = filter(_of_the_model, overrides) if recorded or files else overrides
        side.config = compose_for(side.target, list(given))
    lead = next(iter([*files, *recorded, *sides]))
    for side in sides:
        if side.config is None:
            continue
        if side is not lead:
            side.config = _asked_like(side.config, lead, own_task=side in recorded)
        side.task = build_task(side.config)
        check_task_suits_tools(side.config, side.task)
    _same_limit(sides)
    return sides


def _asked_like(config: Config, lead: Side, *, own_task: bool) -> Config:
    """The configuration, asking what the lead asks, with the lead's seed, measure and tools."""
    if lead.config is not None:
        asked = lead.config
    else:
        assert lead.result is not None
        recorded = lead.result.get("settings") or {}
        section, problems = read_section(EvaluateSection, recorded.get("evaluate", {}), "evaluate")
        raise_all(problems)
        asked = replace(
            config,
            seed=lead.result["seed"],
            task=recorded.get("task", config.task),
            environment=recorded.get("environment", {}),
            reward=recorded.get("reward", {}),
            tools=lead.result.get("tools", {}),
            trainer={_MOST_CALLS: lead.result.get(_MOST_CALLS)},
            evaluate=section,
        )
        own_task = False
    return replace(
        config,
        seed=asked.seed,
        tools=asked.tools,
        trainer={**config.trainer, _MOST_CALLS: asked.trainer.get(_MOST_CALLS)},
        task=config.task if own_task else asked.task,
        environment=config.environment if own_task else asked.environment,
        reward=asked.reward,
        evaluate=asked.evaluate,
    )


def _same_limit(sides: Sequence[Side]) -> None:
    """Let both write equally long: as long as a file says, else as the longer of the two."""
    given = [int(side.result["max_new_tokens"]) for side in sides if side.result is not None]
    live = [side for side in sides if side.config is not None and side.task is not None]
    given = given or [evaluate.longest(side.config, side.task) for side in live]  # type: ignore[arg-type]  # live ones have both
    for side in live:
        assert side.config is not None
        section = replace(side.config.evaluate, max_new_tokens=max(given))
        side.config = replace(side.config, evaluate=section)


def _agree_on_questions(sides: Sequence[Side], shared_only: bool) -> None:
    """Refuse different questions, or keep those that both are asked.

    Raises:
        ConfigError: they differ and `shared_only` is off, or they share none.
    """
    keys = [set(side.keys()) for side in sides]
    common = keys[0] & keys[1]
    if keys[0] == keys[1]:
        return
    if not shared_only or not common:
        how = "choose the same ones for both with task=NAME and its options"
        if common:
            how += f", or add --shared to compare on the {len(common)}"
        raise ConfigError(
            f"A is asked {len(keys[0])} questions and B {len(keys[1])}, of which they share "
            f"{len(common)}: {how}"
        )
    order = {key: place for place, key in enumerate(sides[0].keys())}
    for side in sides:
        if side.config is None or side.task is None:
            continue
        rows = evaluate.questions(side.config, side.task)
        kept = sorted((row for row in rows if _key(row) in common), key=lambda r: order[_key(r)])
        split: dict[str, Any] = {side.config.evaluate.split: kept}
        side.task = replace(side.task, **split)
        side.config = replace(side.config, evaluate=replace(side.config.evaluate, limit=None))


def _evaluated(side: Side, world: World, reporter: Reporter) -> dict[str, Any]:
    """The side's evaluation, made now unless it was read from a file."""
    if side.result is not None:
        return side.result
    assert side.config is not None
    assert side.task is not None
    config = evaluate.with_weights(side.config, side.target)
    reporter.say(f"evaluating {config.model.path}")
    run = run_of(side.target)
    if run is not None:
        rows = evaluate.questions(config, side.task)
        for note in evaluate.seen_in_training(run, config, rows).values():
            reporter.say(note)
    source = provenance(config, side.target, config.model.path)
    return {**source, **evaluate.evaluate_model(config, side.task, world)}


def _settings(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """How both were asked, and where files were asked otherwise."""
    asked = [*_ASKED, *(name for name in ("tools", _MOST_CALLS) if a.get(name) or b.get(name))]
    same = [name for name in asked if a.get(name) == b.get(name)]
    lines = [", ".join(f"{name} {a.get(name)}" for name in same)] if same else []
    return lines + [
        f"{name} differs: A {a.get(name)}, B {b.get(name)}" for name in asked if name not in same
    ]


def _file(target: str) -> dict[str, Any] | None:
    """The evaluation in the file, or None if the target is no JSON file."""
    path = Path(target).expanduser()
    return read_file(path) if path.suffix == ".json" else None


def _of_the_model(override: str) -> bool:
    return override.lstrip("+").partition("=")[0].partition(".")[0] in _OF_THE_MODEL


def _key(row: Mapping[str, Any]) -> tuple[str, str | None]:
    answer = row.get("answer")
    return str(row["id"]), None if answer is None else str(answer)
