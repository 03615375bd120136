"""`rlconf pairs`: sample, verify and score solutions of a task, and make preference pairs of them.

| file                       | holds                                                     |
| -------------------------- | --------------------------------------------------------- |
| `NAME.solutions.parquet`   | the solutions, verified (`sampling.path` names another)   |
| `NAME.scored.parquet`      | the same with their confidence under the same model       |
| `NAME.judged.parquet`      | with `pairs=judge` and the like: the same, judged by it   |
| `NAME.parquet`             | the pairs; with `pairs=rest_em` the right solutions taken |
| `NAME.html`                | confidence and pairs in pictures                          |

Each but the last has a manifest beside it, and is taken as it is if it is there and was made with
these very settings.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.demonstrations import right_ones
from data.pair_files import check_same_model, write_pairs
from data.pairs import PairSet, build_pairs, random_pairs
from data.solutions import (
    read_solutions,
    score,
    score_to_file,
    scorer_fingerprint,
    write_solutions,
)
from data.solutions.judging import MEASURES
from data.solutions.solution import check_own_words, other_words
from rewards.errors import ConfigError
from rewards.spans import AnswerFinder
from rlconf.building.parts import build_reward, build_task, check_same_tokens, short_enough
from rlconf.building.policy import build_model, build_tokenizer
from rlconf.console import Reporter, quiet_libraries
from rlconf.evaluation.evaluate import share
from rlconf.files import write_json
from rlconf.redact import redact
from rlconf.runs import launch
from rlconf.runs.launch import World
from rlconf.settings.schema import Config
from rlconf.solutions.bar import Bar
from rlconf.solutions.judge import judge_file
from rlconf.solutions.sample import draw_solutions

if TYPE_CHECKING:
    from data.solutions import Solution
    from data.tasks import Row, Task

__all__ = ["PairFiles", "make_pairs", "pairs_command", "seed_questions"]


class PairFiles:
    """The files of one call, by the name of the file of pairs."""

    def __init__(self, config: Config) -> None:
        self.pairs = Path(config.pairs.file or f"pairs/{config.name}.parquet").expanduser()
        sampled = config.sampling.path
        self.solutions = Path(sampled).expanduser() if sampled else self._beside(".solutions")
        self.scored = self._beside(".scored")
        self.judged = self._beside(".judged")
        taken = config.pairs.scored
        own = self.judged if _is_judged(config) else self.scored
        self.source = Path(taken).expanduser() if taken else own
        self.page = self.pairs.with_suffix(".html")

    def _beside(self, suffix: str) -> Path:
        return self.pairs.with_name(f"{self.pairs.stem}{suffix}.parquet")


def pairs_command(config: Config) -> int:
    """Make the pairs and say how many.

    Returns:
        The exit status, 0.

    Raises:
        ConfigError: the model cannot be loaded, a file holds something else, or no pair comes out.
    """
    quiet_libraries()
    world = launch.start(config.trainer.get("use_cpu"))
    make_pairs(config, world, Reporter(world.is_first))
    return 0


def make_pairs(
    config: Config, world: World, reporter: Reporter, iteration: int = 1
) -> dict[str, Any]:
    """All of it; every process must call this.

    Args:
        config: composed and checked.
        world: the process group.
        reporter: says what is done.
        iteration: the round of CRew-DPO, from 1.

    Returns:
        The manifest of the pairs (or of the right solutions, with `pairs=rest_em`).
    """
    files = PairFiles(config)
    if config.pairs.scored is None:
        sample_and_score(config, files, world, reporter)
    manifest = launch.on_first(world, lambda: _choose(config, files, iteration))
    reporter.say(sentence(manifest))
    reporter.say(f"written to {files.pairs}, with {files.page.name} to look at")
    return manifest


def check_locator(config: Config, task: Task) -> None:
    """Refuse a confidence in another text than the one that the verdict is about.

    Raises:
        ConfigError: the task's reward looks for the answer elsewhere than `crew.locator`.
    """
    name = task.rewards[0]
    spec = getattr(build_reward(config, name), "spec", None)
    how = None if spec is None else spec.options.get("how")
    if how is not None and how != config.crew.locator:
        raise ConfigError(
            f"crew.locator={config.crew.locator} and {name} looks for the answer by how={how}: "
            f"verdict and confidence would be about different texts. Set crew.locator={how}, or "
            f"reward.{name}.how={config.crew.locator}"
        )


def sample_and_score(config: Config, files: PairFiles, world: World, reporter: Reporter) -> None:
    """The files up to the pairs, unless they are there; every process must call this."""
    task = build_task(config)
    if config.pairs.method != "rest_em" and (config.tools or task.environment is not None):
        raise other_words("made into pairs")
    check_locator(config, task)
    rows, notes = seed_questions(config, task)
    for note in notes:
        reporter.say(note)
    try:
        with Bar(reporter, "sampling") as bar:
            sampled = draw_solutions(config, files.solutions, world, bar.show, rows)
        reporter.say(
            f"{sampled['solutions']} solutions of {sampled['questions']} questions: accuracy "
            f"{share(sampled['accuracy'])}, {sampled['cut_off']} cut off"
        )
        with Bar(reporter, "scoring") as bar:
            score_solutions(config, task, files, world, bar.show)
        if _is_judged(config):
            judge = replace(config.judge, measures=[config.pairs.confidence], limit=None)
            with Bar(reporter, "judging") as bar:
                judge_file(replace(config, judge=judge), files.scored, files.judged, world, bar)
    except KeyboardInterrupt:
        reporter.say("stopped; the same command goes on from here")
        raise


def score_solutions(
    config: Config,
    task: Task,
    files: PairFiles,
    world: World,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Score the solutions with the model that sampled them, into the second file.

    Raises:
        ConfigError: the model is another one than the solutions were sampled with.
    """
    model, tokenizer = build_model(config, task)
    settings = config.crew
    how: dict[str, Any] = {
        "locator": settings.locator,
        "aggregate": settings.aggregate,
        "span": settings.span,
    }
    fingerprint = redact(scorer_fingerprint(model, tokenizer, **how))
    sampled = _manifest(files.solutions)["identity"]
    check_same_model(sampled, fingerprint)
    return score_to_file(
        files.scored,
        read_solutions(files.solutions),
        partial(
            score,
            model.to(world.device),
            tokenizer,
            pattern=settings.pattern,
            batch_size=settings.batch_size,
            **how,
        ),
        identity={
            "samples": sampled,
            "scorer": fingerprint,
            "pattern": settings.pattern,
            "batch_size": settings.batch_size,
        },
        questions_per_part=max(1, config.sampling.batch_size // config.sampling.n),
        rank=world.rank,
        ranks=world.size,
        wait=partial(launch.wait, world),
        progress=progress,
    )


def seed_questions(config: Config, task: Task) -> tuple[list[Row], list[str]]:
    """The questions to sample, without any that the evaluation asks, and what to tell the user.

    A question counts as the same by its id or by its prompt, so that one which stands in two files
    of a task is held out too. With `sampling.split=dev` the dev questions themselves are sampled.
    """
    split = config.sampling.split
    held_out = [row for name in ("dev", "test") if name != split for row in getattr(task, name)]
    ids = {str(row["id"]) for row in held_out}
    prompts = {_prompt(row) for row in held_out}
    every = getattr(task, split)[: config.sampling.limit]
    rows = [row for row in every if str(row["id"]) not in ids and _prompt(row) not in prompts]
    notes = []
    if len(rows) < len(every):
        notes.append(
            f"{len(every) - len(rows)} of {len(every)} questions are in the task's other splits, "
            "which measure the result, and are left out"
        )
    if config.model.max_prompt_tokens is not None:
        rows, long = short_enough(rows, build_tokenizer(config, task), config)
        notes += long
    if not rows:
        raise ConfigError(
            f"task {task.name} has no questions in its {split} split that its other splits do not "
            "ask: choose another with sampling.split, or raise sampling.limit"
        )
    return rows, notes


def sentence(manifest: Mapping[str, Any]) -> str:
    """What came out, in one line."""
    if "pairs" not in manifest:
        told = _listed(manifest["solutions_left_out"])
        return f"{manifest['solutions']} right solutions to learn from; left out: {told}"
    return (
        f"{manifest['pairs']} pairs of {manifest['questions_with_pairs']} of "
        f"{manifest['questions']} questions (left out: {_listed(manifest['questions_left_out'])}); "
        f"mean gap {manifest['mean_gap']:.3f}, {manifest['negative_gaps']} negative, "
        f"{manifest['distinct_chosen']} different chosen and {manifest['distinct_rejected']} "
        f"rejected solutions, {manifest['shortfall']} pairs short of what was asked"
    )


def _choose(config: Config, files: PairFiles, iteration: int) -> dict[str, Any]:
    """Make the pairs of the scored solutions and write them; on the first process."""
    from rlconf.solutions.pairs_page import write_page

    scored = _manifest(files.source)
    scorer = _scorer(config, files.source, scored)
    settings = asdict(replace(config.pairs, file=None, scored=None))
    identity = {
        "samples": scored["identity"].get("samples"),
        "scorer": scorer,
        "solutions_sha256": scored["identity"].get("solutions_sha256"),
        "pairs": {k: v for k, v in settings.items() if k not in ("file", "scored", "any_model")},
        "seed": config.seed,
        "iteration": iteration,
    }
    identity = json.loads(json.dumps(redact(identity)))
    if files.pairs.exists():
        there = _manifest(files.pairs)
        if there.get("identity") == identity:
            return there
        raise ConfigError(
            f"{files.pairs} holds pairs of other solutions or settings: name another file with "
            "pairs.file, or delete it"
        )
    solutions = read_solutions(files.source)
    if config.pairs.method == "rest_em":
        return _write_right_ones(config, files, solutions, identity)
    check_own_words(solutions, "made into pairs")
    pairs = choose_pairs(config, solutions)
    tokenizer = build_tokenizer(config, build_task(config))
    check_same_tokens(str(files.source), solutions, tokenizer)
    pattern = scored["identity"].get("pattern")
    find = AnswerFinder(tokenizer, scorer["locator"], pattern, scorer["span"])

    def answer(one: Solution) -> tuple[int, ...]:
        found = find(one.completion_ids)
        return () if found is None else found.tokens

    manifest = write_pairs(
        files.pairs,
        pairs,
        show=tokenizer.decode,
        answer=answer,
        identity=identity,
        iteration=iteration,
    )
    write_page(files.page, config, solutions, pairs, manifest)
    return manifest


def choose_pairs(config: Config, solutions: list[Solution]) -> PairSet:
    """The pairs that `config.pairs` asks for."""
    settings = config.pairs
    if settings.method == "random":
        return random_pairs(
            solutions, config.seed, settings.per_question, confidence=settings.confidence
        )
    return build_pairs(
        solutions,
        settings.top_k,
        settings.gap,
        settings.min_gap,
        settings.max_uses,
        confidence=settings.confidence,
    )


def _write_right_ones(
    config: Config, files: PairFiles, solutions: list[Solution], identity: dict[str, Any]
) -> dict[str, Any]:
    """ReST-EM: the right solutions themselves, as `trainer=sft` takes them."""
    from rlconf.solutions.pairs_page import write_page

    found, left_out = right_ones(solutions, max_per_question=config.pairs.per_question)
    if not found:
        raise ConfigError(f"no solution is right and finished ({_listed(left_out)})")
    manifest = {
        "file": files.pairs.name,
        "identity": identity,
        "solutions": len(found),
        "questions": len({one.question_id for one in found}),
        "solutions_left_out": dict(sorted(left_out.items())),
    }
    write_json(files.pairs.with_suffix(".json"), manifest)
    write_solutions(files.pairs, found)
    write_page(files.page, config, solutions, PairSet(), manifest)
    return manifest


def _is_judged(config: Config) -> bool:
    """Whether the gap is of a measure that `rlconf judge` takes, not of the scoring's own."""
    return config.pairs.confidence in MEASURES and config.pairs.confidence != "crew"


def _scorer(config: Config, path: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The fingerprint of who scored the file; refuses confidences of another than the sampler."""
    scorer = manifest.get("identity", {}).get("scorer")
    if not scorer:
        raise ConfigError(
            f"pairs.scored={path}: its manifest {path.with_suffix('.json').name} does not say by "
            "which model it was scored; expected a file that rlconf pairs or rlconf judge wrote"
        )
    samples = manifest["identity"].get("samples")
    if samples and not config.pairs.any_model:
        check_same_model(samples, scorer)
    return dict(scorer)


def _manifest(path: Path) -> dict[str, Any]:
    beside = path.with_suffix(".json")
    if not (path.is_file() and beside.is_file()):
        missing = beside if path.is_file() else path
        raise ConfigError(f"{missing}: there is no such file, expected it beside {path.name}")
    content: dict[str, Any] = json.loads(beside.read_text(encoding="utf-8"))
    return content


def _prompt(row: Row) -> str:
    return json.dumps(row["prompt"], sort_keys=True)


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in counts.items()) or "none"
