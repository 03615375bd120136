"""`rlconf difficulty`: a model's pass rate on each question, in a Parquet file with a manifest.

The solutions are drawn as `rlconf sample` draws them, shared out over the ranks and resumable, and
stay beside the pass rates: those that are right are demonstrations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.difficulty import BANDS, EDGES, Difficulty, measure, split_stages, write_difficulty
from data.solutions import read_verdicts
from rlconf.console import Reporter, quiet_libraries
from rlconf.files import write_json
from rlconf.runs import launch
from rlconf.settings.check_curriculum import curriculum_settings
from rlconf.settings.schema import Config
from rlconf.solutions.bar import Bar
from rlconf.solutions.sample import draw_solutions

__all__ = ["difficulty_command"]


def difficulty_command(config: Config) -> int:
    """Draw, verify, count, write, and say how the questions split.

    Returns:
        The exit status, 0.

    Raises:
        ConfigError: as `rlconf sample`.
    """
    quiet_libraries()
    world = launch.start(config.trainer.get("use_cpu"))
    reporter = Reporter(world.is_first)
    path = Path(config.sampling.path or f"difficulty/{config.name}.parquet").expanduser()
    solutions = path.with_name(f"{path.stem}.solutions.parquet")
    with Bar(reporter) as bar:
        try:
            manifest = draw_solutions(config, solutions, world, progress=bar.show)
        except KeyboardInterrupt:
            reporter.say(f"stopped; the same command goes on from {solutions}.parts")
            raise
    if world.is_first:
        edges, threshold, enough = _bands(config)
        measured = measure(read_verdicts(solutions), edges, min_rollouts=enough)
        write_difficulty(path, measured)
        facts = _facts(measured, threshold)
        write_json(
            path.with_suffix(".json"),
            {
                "file": path.name,
                "solutions": solutions.name,
                "identity": manifest["identity"],
                "k": config.sampling.n,
                "edges": list(edges),
                "threshold": threshold,
                **facts,
            },
        )
        _say(reporter, facts, config.sampling.n, threshold)
        reporter.say(f"written to {path}; to train with it: curriculum=star curriculum.path={path}")
    launch.wait(world)
    return 0


def _bands(config: Config) -> tuple[Sequence[float], float, int]:
    """Edges, threshold, and rollouts that say never: the curriculum's, if one is chosen."""
    if config.curriculum is None:
        return EDGES, 0.6, 8
    settings = curriculum_settings(config.curriculum)
    return settings.edges, settings.threshold, settings.min_rollouts


def _facts(measured: Sequence[Difficulty], threshold: float) -> dict[str, Any]:
    easy, hard = split_stages({one.question_id: one.pass_rate for one in measured}, threshold)
    bands = Counter(one.band for one in measured)
    known = [one.pass_rate for one in measured if one.pass_rate is not None]
    levels = sorted({one.level for one in measured if one.level is not None})
    return {
        "questions": len(measured),
        "easy": len(easy),
        "hard": len(hard),
        "bands": {band: bands[band] for band in BANDS},
        "mean_pass_rate": _mean(known),
        "levels": {
            str(level): _mean(
                [one.pass_rate for one in measured if one.level == level and one.k > 0]
            )
            for level in levels
        },
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _say(reporter: Reporter, facts: dict[str, Any], k: int, threshold: float) -> None:
    bands = ", ".join(f"{count} {band}" for band, count in facts["bands"].items() if count)
    reporter.say(f"{facts['questions']} questions, {k} solutions each: {bands}")
    reporter.say(
        f"at a pass rate of {threshold:g}: {facts['easy']} easy, {facts['hard']} hard"
        + ("" if facts["easy"] and facts["hard"] else "; set curriculum.threshold for two stages")
    )
