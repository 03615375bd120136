"""`rlconf vote`: one answer for each question, by each method, and how often it is right.

| file | holds |
| --- | --- |
| `NAME.parquet` | every vote: question, method, answer, verdict, share of the votes |
| `NAME.json` | accuracy with intervals, curves over the number of solutions, calibration |
| `NAME.html` | the same in pictures |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.table import Table

from data.solutions import Solution, Vote, accuracy
from data.solutions.ranking import Question, calibration
from data.solutions.statistics import accuracy_of_counts
from data.solutions.store import whole_or_not_at_all
from data.solutions.vote import Electorate
from rewards.errors import ConfigError
from rlconf.console import Reporter, quiet_libraries
from rlconf.evaluation.evaluate import share
from rlconf.files import write_json
from rlconf.redact import redact
from rlconf.runs import launch
from rlconf.settings.schema import Config, to_dict
from rlconf.solutions.judged import answered, beside

__all__ = ["SCHEMA", "table", "vote_command", "votes_of", "write_votes"]

SCHEMA = pa.schema(
    [
        pa.field("question_id", pa.string(), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        pa.field("answer", pa.string()),
        pa.field("verdict", pa.bool_()),
        pa.field("share", pa.float64(), nullable=False),
        pa.field("index", pa.int32()),  # of the solution that wrote the answer
        pa.field("scores", pa.map_(pa.string(), pa.float64()), nullable=False),
        pa.field("solutions", pa.int32(), nullable=False),
        pa.field("missing", pa.int32(), nullable=False),
        pa.field("gold", pa.string()),
        pa.field("level", pa.int32()),
    ]
)


def vote_command(config: Config, file: Path) -> int:
    """Vote by each method of `config.vote`, write, and say how often the answers are right.

    Returns:
        The exit status, 0.

    Raises:
        ConfigError: the file holds no solutions, no answer is found in them, or they lack what a
            method weighs by.
    """
    quiet_libraries()
    world = launch.start(config.trainer.get("use_cpu"))
    reporter = Reporter(world.is_first)
    path = beside(config.vote.path, file, "votes")
    found = launch.on_first(world, lambda: _vote(config, file, path))
    reporter.say(table(found))
    for name, one in found["methods"].items():
        if one["accuracy"] is None:
            reporter.say(f"{name}: no question has a verdict or a gold answer")
    reporter.say(f"written to {path}, with {path.with_suffix('.html').name} to look at")
    return 0


def votes_of(
    config: Config, solutions: Sequence[Solution]
) -> tuple[dict[str, list[Vote]], dict[str, Any]]:
    """The votes by method, and their figures as a dictionary that is JSON.

    Returns:
        The votes; and `questions`, `solutions`, `one_solution` (accuracy of single solutions), and
        under `methods`, by name, `accuracy`, `unanswered` (questions nobody voted on), `curve` (by
        number of solutions) and `calibration` of the winner's share.
    """
    settings = config.vote
    asked = Electorate(solutions, settings.equality)
    how: dict[str, Any] = {"measure": settings.measure, "scale": settings.scale}
    single = accuracy(solutions)
    figures: dict[str, Any] = {
        "questions": len({one.question_id for one in solutions}),
        "solutions": len(solutions),
        "without_answer": sum(one.answer is None for one in solutions),
        "one_solution": None if single is None else asdict(single),
        "methods": {},
    }
    votes: dict[str, list[Vote]] = {}
    for name in settings.methods:
        how["options"] = settings.options.get(name)
        votes[name] = asked.vote(name, **how)
        curve = asked.curve(
            name, **how, sizes=settings.sizes, subsets=settings.subsets, seed=config.seed
        )
        verdicts = [one.verdict for one in votes[name] if one.verdict is not None]
        right = accuracy_of_counts([(1, int(verdict)) for verdict in verdicts])
        figures["methods"][name] = {
            "accuracy": None if right is None else asdict(right),
            "unanswered": sum(one.answer is None for one in votes[name]),
            "curve": {str(n): asdict(one) for n, one in curve.items()},
            "calibration": calibration(
                [
                    Question((one.share,), ()) if one.verdict else Question((), (one.share,))
                    for one in votes[name]
                    if one.verdict is not None
                ],
                seed=config.seed,
            ),
        }
    return votes, figures


def write_votes(path: Path, votes: Mapping[str, Sequence[Vote]]) -> None:
    """Write every vote with `SCHEMA`, whole or not at all."""
    rows = [
        {
            "question_id": one.question_id,
            "method": name,
            "answer": one.answer,
            "verdict": one.verdict,
            "share": one.share,
            "index": None if one.solution is None else one.solution.index,
            "scores": list(one.scores),
            "solutions": one.solutions,
            "missing": one.missing,
            "gold": one.gold,
            "level": one.level,
        }
        for name, them in votes.items()
        for one in them
    ]
    with whole_or_not_at_all(path) as draft:
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), draft)


def table(found: Mapping[str, Any]) -> Table:
    """Accuracy of each method over the number of solutions that vote."""
    sizes = sorted({int(n) for one in found["methods"].values() for n in one["curve"]})
    shown = Table(
        title=f"{found['questions']} questions, {found['solutions']} solutions: share of right "
        "answers over the number of solutions that vote",
        title_justify="left",
    )
    shown.add_column("method")
    for n in sizes:
        shown.add_column(str(n))
    shown.add_column("all [95 % interval]")
    for name, one in found["methods"].items():
        curve = [one["curve"].get(str(n)) for n in sizes]
        cells = ["" if at is None else f"{at['value']:.3f}" for at in curve]
        shown.add_row(name, *cells, share(one["accuracy"]))
    return shown


def _vote(config: Config, file: Path, path: Path) -> dict[str, Any]:
    from rlconf.solutions.vote_page import write_page

    if path.resolve() == file.resolve():
        raise ConfigError(f"vote.path={path} is the file to vote on: name another one")
    solutions, manifest = answered(config, file)
    if not any(one.answer is not None for one in solutions):
        raise ConfigError(
            f"{file}: no solution has an answer as crew.locator={config.crew.locator} finds them: "
            "choose another with crew.locator=final, number, hash, tag or regex"
        )
    votes, figures = votes_of(config, solutions)
    found = {
        "file": file.name,
        "identity": manifest.get("identity"),
        "vote": redact(to_dict(config)["vote"]),
        "seed": config.seed,
        **figures,
    }
    write_votes(path, votes)
    write_json(path.with_suffix(".json"), found)
    write_page(path.with_suffix(".html"), file, found)
    return found
