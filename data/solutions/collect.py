"""Sample or score solutions into a file: in parts, to be stopped, gone on with, and shared out.

A part is a handful of questions, always the same ones, and every solution has random numbers of its
own; so the file that is joined at the end does not depend on how many processes made it, nor on
where it was interrupted.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from data.solutions.solution import Solution
from data.solutions.statistics import accuracy
from data.solutions.store import (
    join_solutions,
    read_solutions,
    whole_or_not_at_all,
    write_solutions,
)
from data.solutions.verify import verify
from data.tasks import Row
from rewards.errors import ConfigError

IDENTITY = "identity.json"

Item = TypeVar("Item")


def sample_to_file(
    path: str | Path,
    draw: Callable[[Sequence[Row]], list[Solution]],
    rows: Iterable[Row],
    *,
    reward: Callable[..., Sequence[float | None]],
    identity: Mapping[str, Any],
    questions_per_part: int,
    rank: int = 0,
    ranks: int = 1,
    wait: Callable[[], None] = lambda: None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Draw and verify solutions of `rows` and write them to `path`, with a manifest beside it.

    What is drawn so far lies in `PATH.parts/`; the same call goes on from there. A file that this
    very call has finished already is left as it is.

    Args:
        path: The Parquet file; its manifest is the same name with `.json`.
        draw: Solutions of some rows, those of a row together, such as a partial of
            `data.solutions.sample`. The same rows must give the same solutions.
        rows: The questions. One that occurs again (by `id`) is asked once.
        reward: A solution is right where it gives 1 or more.
        identity: What the solutions depend on, as JSON: model, task, seed, settings. It goes into
            the manifest, and solutions of another identity are never mixed with these.
        questions_per_part: At least 1. Another number makes other parts.
        rank: This process among `ranks`.
        ranks: Processes that share the work; all must call this, and see the same folder.
        wait: Returns once all processes have called it.
        progress: Called as `progress(done, total)`, in this process's questions.

    Returns:
        The manifest, on every process: `identity`, `questions`, `solutions`, `right`, `wrong`,
        `unscored`, `cut_off` and `tokens` (of the completions) as counts, `accuracy` with its
        interval (None if nothing is scored), and accuracies by level.

    Raises:
        ConfigError: If `path` or its parts hold solutions of another identity, or of none.
    """
    unique = list({str(row["id"]): row for row in reversed(list(rows))}.values())[::-1]

    def make(chunk: list[Row]) -> list[Solution]:
        return verify(draw(chunk), reward, chunk)

    return _in_parts(
        Path(path),
        [unique[i : i + questions_per_part] for i in range(0, len(unique), questions_per_part)],
        make,
        {
            **_as_json(identity),
            "questions_sha256": _digest([row["id"] for row in unique]),
            "questions_per_part": questions_per_part,
        },
        rank,
        ranks,
        wait,
        progress,
    )


def score_to_file(
    path: str | Path,
    solutions: Iterable[Solution],
    score: Callable[[list[Solution]], list[Solution]],
    *,
    identity: Mapping[str, Any],
    questions_per_part: int,
    rank: int = 0,
    ranks: int = 1,
    wait: Callable[[], None] = lambda: None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Score solutions that were sampled before and write them to `path`, as `sample_to_file` does.

    Args:
        path: The Parquet file; its manifest is the same name with `.json`.
        solutions: Those to score. A question's are scored together, in the order in which the
            questions first occur.
        score: Given solutions, returns them with what it found out, such as a partial of
            `data.solutions.score`. The same ones must give the same scores.
        identity: What the scores depend on beside the solutions themselves, as JSON.
        questions_per_part: At least 1.
        rank: This process among `ranks`.
        ranks: Processes that share the work; all must call this, and see the same folder.
        wait: Returns once all processes have called it.
        progress: Called as `progress(done, total)`, in this process's questions.

    Returns:
        The manifest, as from `sample_to_file`.

    Raises:
        ConfigError: If `path` or its parts hold other solutions, or scores of another identity.
    """
    questions: dict[str, list[Solution]] = {}
    for one in solutions:
        questions.setdefault(one.question_id, []).append(one)
    groups = list(questions.values())

    def make(chunk: list[list[Solution]]) -> list[Solution]:
        return score([one for group in chunk for one in group])

    return _in_parts(
        Path(path),
        [groups[i : i + questions_per_part] for i in range(0, len(groups), questions_per_part)],
        make,
        {
            **_as_json(identity),
            "solutions_sha256": solutions_digest(one for group in groups for one in group),
            "questions_per_part": questions_per_part,
        },
        rank,
        ranks,
        wait,
        progress,
    )


def solutions_digest(solutions: Iterable[Solution]) -> str:
    """A hash of what was sampled and how it was judged; scores have no part in it."""
    found = hashlib.sha256()
    for one in solutions:
        what = [one.question_id, one.index, one.prompt_ids, one.completion_ids, one.verdict]
        found.update(json.dumps(what).encode())
    return found.hexdigest()[:16]


def _in_parts(
    path: Path,
    chunks: Sequence[list[Item]],
    make: Callable[[list[Item]], list[Solution]],
    identity: dict[str, Any],
    rank: int,
    ranks: int,
    wait: Callable[[], None],
    progress: Callable[[int, int], None] | None,
) -> dict[str, Any]:
    """Make the solutions of each chunk that is not there yet, then join them."""
    parts, manifest = path.with_name(f"{path.name}.parts"), path.with_suffix(".json")
    if path.exists():
        if not manifest.exists():
            raise ConfigError(f"{path} is there without {manifest.name}: name another file")
        _check_identity(path, _read(manifest).get("identity", {}), identity)
        if rank == 0:  # an interruption may have come between the file and this
            shutil.rmtree(parts, ignore_errors=True)
        return _read(manifest)
    if (parts / IDENTITY).exists():
        _check_identity(path, _read(parts / IDENTITY), identity)
    elif rank == 0:
        _write(parts / IDENTITY, identity)
    files = [parts / f"{number:06d}.parquet" for number in range(len(chunks))]
    own = range(rank, len(chunks), ranks)
    done, total = 0, sum(len(chunks[number]) for number in own)
    for number in own:
        if not files[number].exists():
            write_solutions(files[number], make(chunks[number]))
        done += len(chunks[number])
        if progress is not None:
            progress(done, total)
    wait()
    if rank == 0:
        # The manifest first: `path` itself says that all is there.
        _write(manifest, {"file": path.name, "identity": identity, **_count(files)})
        join_solutions(path, files)
        shutil.rmtree(parts)
    wait()
    return _read(manifest)


def _count(files: Iterable[Path]) -> dict[str, Any]:
    """The figures of the manifest; of each solution only what they need is held."""
    tokens, light = 0, []
    for file in files:
        for one in read_solutions(file):
            tokens += len(one.completion_ids)
            heavy: dict[str, Any] = {"prompt_ids": [], "completion_ids": [], "text": ""}
            light.append(replace(one, **heavy, log_probs=[], entropy=[]))
    levels = sorted({one.level for one in light if one.level is not None})
    return {
        "questions": len({one.question_id for one in light}),
        "solutions": len(light),
        "right": sum(one.verdict is True for one in light),
        "wrong": sum(one.verdict is False for one in light),
        "unscored": sum(one.verdict is None for one in light),
        "cut_off": sum(one.finish == "length" for one in light),
        "tokens": tokens,
        "accuracy": _accuracy(light),
        "levels": {str(at): _accuracy([one for one in light if one.level == at]) for at in levels},
    }


def _accuracy(solutions: Sequence[Solution]) -> dict[str, Any] | None:
    measured = accuracy(solutions)
    return None if measured is None else asdict(measured)


def _check_identity(path: Path, seen: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    names = sorted({*seen, *wanted})
    differing = [name for name in names if seen.get(name) != wanted.get(name)]
    if differing:
        told = "; ".join(f"{n}: {seen.get(n)!r} there, {wanted.get(n)!r} now" for n in differing)
        raise ConfigError(
            f"{path} was begun with other settings ({told}). Name another file, or delete "
            f"{path}, {path.with_suffix('.json').name} and {path.name}.parts/ to begin anew."
        )


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as they will read back: a tuple becomes a list."""
    plain: dict[str, Any] = json.loads(json.dumps(values))
    return plain


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _write(path: Path, content: Mapping[str, Any]) -> None:
    with whole_or_not_at_all(path) as draft:
        draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
