"""`rlconf judge`: measure how good solutions are, and how well each measure tells right from wrong.

| file | holds |
| --- | --- |
| `NAME.parquet`, `NAME.json` | the solutions with their scores; what was judged, and by whom |
| `NAME.figures.json` | each measure's figures with intervals |
| `NAME.html` | the same in pictures |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from data.solutions import Solution, read_solutions, score_to_file, scorer_fingerprint
from data.solutions.judging import (
    JUDGE_PROMPT,
    MEASURES,
    VERIFIER_PROMPT,
    JudgeSettings,
    judge_solutions,
)
from data.solutions.problems import read_problems
from data.solutions.ranking import MISSING, Question, calibration, questions_of, within
from data.solutions.vote import verdicts_of
from rewards.errors import ConfigError
from rlconf.building.parts import build_task
from rlconf.building.policy import build_model
from rlconf.console import Reporter, quiet_libraries
from rlconf.files import write_json
from rlconf.redact import redact
from rlconf.runs import launch
from rlconf.runs.launch import World
from rlconf.settings.schema import Config
from rlconf.solutions.bar import Bar
from rlconf.solutions.judged import beside, given, is_ours

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["UNTIED", "cells", "figures", "judge_command", "judge_file", "sentences"]

UNTIED = "crew_untied"
"""CRew with ties told apart by the mean log-probability of the answer's tokens."""

_PART = 16  # solutions of a part, at least


def judge_command(config: Config, file: Path) -> int:
    """Judge, write and say how well each measure does.

    Returns:
        The exit status, 0.

    Raises:
        ConfigError: the file or the model cannot be read, or the result is there and of other
            settings.
    """
    quiet_libraries()
    if not is_ours(file):
        read_problems(file, config.judge.steps)  # what is wrong with it, before the model loads
    world = launch.start(config.trainer.get("use_cpu"))
    reporter = Reporter(world.is_first)
    path = beside(config.judge.path, file, "judged")
    with Bar(reporter, "judging") as bar:
        try:
            manifest = judge_file(config, file, path, world, bar)
        except KeyboardInterrupt:
            reporter.say(f"stopped; the same command goes on from {path}.parts")
            raise
    if world.is_first:
        from rlconf.solutions.judge_page import write_page

        found = figures(
            read_solutions(path), config.judge.measures, bins=config.judge.bins, seed=config.seed
        )
        write_json(path.with_suffix(".figures.json"), found)
        write_page(path.with_suffix(".html"), config, file, found, manifest)
        for part in (table(found), *sentences(found)):
            reporter.say(part)
        reporter.say(f"written to {path}, with {path.with_suffix('.html').name} to look at")
    launch.wait(world)
    return 0


def judge_file(
    config: Config, file: Path, path: Path, world: World, bar: Bar | None = None
) -> dict[str, Any]:
    """Score the solutions of `file` into `path`; every process must call this.

    Returns:
        The manifest; see `data.solutions.score_to_file`.
    """
    task = build_task(config)
    model, tokenizer = build_model(config, task)
    found = given(config, file, tokenizer, task)
    settings = judge_settings(config)
    questions = len(found.problems)
    return score_to_file(
        path,
        found.solutions,
        partial(
            _judge,
            model=model.to(world.device),
            tokenizer=tokenizer,
            problems=found.problems,
            config=config,
            settings=settings,
        ),
        identity=_identity(config, model, tokenizer, settings, found.source, found.samples),
        questions_per_part=max(1, _part(config) * questions // max(1, len(found.solutions))),
        rank=world.rank,
        ranks=world.size,
        wait=partial(launch.wait, world),
        progress=None if bar is None else bar.show,
    )


def judge_settings(config: Config) -> JudgeSettings:
    """What the measures are told, from `crew` and `judge`."""
    crew, judge = config.crew, config.judge
    return JudgeSettings(
        locator=crew.locator,
        pattern=crew.pattern,
        aggregate=crew.aggregate,
        span=crew.span,
        judge_prompt=judge.judge_prompt or JUDGE_PROMPT,
        verifier_prompt=judge.verifier_prompt or VERIFIER_PROMPT,
        max_new_tokens=judge.max_new_tokens,
        deepconf_window=judge.deepconf_window,
        batch_size=crew.batch_size,
        seed=config.seed,
        chat_template_kwargs=config.trainer.get("chat_template_kwargs"),
    )


def figures(
    solutions: Sequence[Solution], measures: Sequence[str], *, bins: int = 10, seed: int = 0
) -> dict[str, Any]:
    """How well each measure tells right solutions from wrong ones, as a dictionary that is JSON.

    Args:
        solutions: judged ones.
        measures: names; with `crew`, `crew_untied` is reported too.
        bins: of the calibration.
        seed: of the bootstrap.

    Returns:
        `questions`, `solutions`, `right`, `wrong`, `unscored`; and under `measures`, by name, what
        `data.solutions.ranking.within` says, `missing` (solutions without a score) and
        `calibration` (None for a measure that cannot be read as a probability).
    """
    found: dict[str, Any] = {
        "questions": len({one.question_id for one in solutions}),
        "solutions": len(solutions),
        "right": sum(one.verdict is True for one in solutions),
        "wrong": sum(one.verdict is False for one in solutions),
        "unscored": sum(one.verdict is None for one in solutions),
        "measures": {},
    }
    for name in (one for one in MEASURES if one in measures):
        questions = questions_of(solutions, name)
        entry = within(questions, seed=seed)
        entry["missing"] = sum(name not in one.confidence for one in solutions)
        entry["calibration"] = None
        if (read := MEASURES[name].probability) is not None:
            as_shares = [
                Question(*(tuple(s if s == MISSING else read(s) for s in side) for side in sides))
                for sides in ((one.right, one.wrong) for one in questions)
            ]
            entry["calibration"] = calibration(as_shares, bins=bins, seed=seed)
        found["measures"][name] = entry
        if name == "crew":
            untied = within(questions_of(_untied(solutions), UNTIED), seed=seed)
            found["measures"][UNTIED] = {**untied, "missing": entry["missing"], "calibration": None}
    return found


def table(found: Mapping[str, Any]) -> Table:
    """The measures side by side."""
    shown = Table(
        title=f"{found['questions']} problems, {found['solutions']} solutions, of them "
        f"{found['right']} right and {found['wrong']} wrong [95 % interval over problems]",
        title_justify="left",
    )
    heads = (
        "measure",
        "AUROC within",
        "first right",
        "strict",
        "with ties",
        "MRR",
        "ECE",
        "missing",
    )
    for head in heads:
        shown.add_column(head, no_wrap=head == "measure")
    for name, one in found["measures"].items():
        shown.add_row(name, *cells(one))
    return shown


def cells(one: Mapping[str, Any]) -> list[str]:
    """A measure's figures as texts, in the order of the table's columns."""
    ece = (one["calibration"] or {}).get("ece")
    return [
        _with_interval(one["auroc"]),
        _with_interval(one["top_one"]),
        *(
            "" if one[name] is None else f"{one[name]['value']:.3f}"
            for name in ("strict", "with_ties", "mrr")
        ),
        _with_interval(ece),
        str(one["missing"]),
    ]


def sentences(found: Mapping[str, Any]) -> list[str]:
    """What the figures rest on."""
    first = next(iter(found["measures"].values()))
    if not first["mixed"]:
        return ["No problem has right and wrong solutions with a verdict, so nothing can be ranked"]
    said = (
        f"Ranked within the {first['mixed']} problems that have right and wrong solutions; a "
        f"score that says nothing puts a right one first in {first['guess']:.3f} of them"
    )
    if found["unscored"]:
        said += f"; {found['unscored']} solutions have no verdict"
    return [said]


def _judge(
    solutions: Sequence[Solution],
    *,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    problems: Mapping[str, str],
    config: Config,
    settings: JudgeSettings,
) -> list[Solution]:
    measures = config.judge.measures
    try:
        found = judge_solutions(
            model, tokenizer, solutions, problems, measures=measures, settings=settings
        )
    except ValueError as error:  # a model whose logits are made in a way that is not understood
        raise ConfigError(str(error)) from error
    groups: dict[str, list[Solution]] = {}
    for one in found:
        groups.setdefault(one.question_id, []).append(one)
    return [
        replace(one, verdict=verdict)
        for group in groups.values()
        for one, verdict in zip(group, verdicts_of(group, config.judge.equality), strict=True)
    ]


def _identity(
    config: Config,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    settings: JudgeSettings,
    source: Mapping[str, Any],
    samples: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What the scores depend on: another of these, another file."""
    own = asdict(settings)
    scorer = {name: own.pop(name) for name in ("locator", "aggregate", "span")}
    return redact(
        {
            "source": source,
            "samples": samples,
            "scorer": scorer_fingerprint(model, tokenizer, **scorer),
            "measures": config.judge.measures,
            "equality": config.judge.equality,
            **own,
            "versions": {name: version(name) for name in ("torch", "transformers")},
        }
    )


def _part(config: Config) -> int:
    """Solutions that are written together: two batches, or one where each is written about."""
    batches = 1 if "judge" in config.judge.measures else 2
    return max(_PART, batches * config.crew.batch_size)


def _untied(solutions: Sequence[Solution]) -> list[Solution]:
    """The solutions with their rank by CRew, then log-probability, as one more confidence."""
    keys = {
        (one.confidence["crew"], one.confidence["crew_log_prob"])
        for one in solutions
        if "crew" in one.confidence
    }
    ranks = {key: float(rank) for rank, key in enumerate(sorted(keys))}
    return [
        replace(
            one,
            confidence={UNTIED: ranks[one.confidence["crew"], one.confidence["crew_log_prob"]]},
        )
        if "crew" in one.confidence
        else replace(one, confidence={})
        for one in solutions
    ]


def _with_interval(figure: Mapping[str, float] | None) -> str:
    if figure is None:
        return ""
    return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"
