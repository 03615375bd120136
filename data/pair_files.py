"""Keep pairs in a Parquet file, with beside it what they were made of and what was left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data.pairs import PairSet
from data.solutions.solution import Solution, check_own_words
from data.solutions.store import whole_or_not_at_all
from rewards.errors import ConfigError

_IDS = pa.list_(pa.int32())

SCHEMA = pa.schema(
    [
        pa.field("question_id", pa.string(), nullable=False),
        pa.field("iteration", pa.int32(), nullable=False),
        pa.field("gap", pa.float64(), nullable=False),
        pa.field("chosen_confidence", pa.float64(), nullable=False),
        pa.field("rejected_confidence", pa.float64(), nullable=False),
        pa.field("chosen_index", pa.int32(), nullable=False),
        pa.field("rejected_index", pa.int32(), nullable=False),
        pa.field("gold", pa.string()),
        pa.field("level", pa.int32()),
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("chosen", pa.string(), nullable=False),
        pa.field("rejected", pa.string(), nullable=False),
        pa.field("prompt_ids", _IDS, nullable=False),
        pa.field("chosen_ids", _IDS, nullable=False),
        pa.field("rejected_ids", _IDS, nullable=False),
        pa.field("chosen_answer", _IDS, nullable=False),
        pa.field("rejected_answer", _IDS, nullable=False),
    ]
)
"""A row is a pair. `prompt` is what the model read, as text; `chosen_answer` and `rejected_answer`
are the places of the answer's tokens in `chosen_ids` and `rejected_ids`."""


def write_pairs(
    path: str | Path,
    pairs: PairSet,
    *,
    show: Callable[[Sequence[int]], str],
    answer: Callable[[Solution], Sequence[int]],
    identity: Mapping[str, Any],
    iteration: int = 1,
) -> dict[str, Any]:
    """Write the pairs with `SCHEMA`, and the manifest beside them; each whole or not at all.

    Args:
        path: The Parquet file; the manifest is the same name with `.json`.
        pairs: In the order of the file. The same ones give the same bytes.
        show: A prompt's tokens as text, special tokens and all.
        answer: Places of the answer's tokens in a completion.
        identity: What the pairs were made of and how, as JSON.
        iteration: The round, from 1.

    Returns:
        The manifest: `file`, `identity`, and the counts of `describe`.

    Raises:
        ConfigError: If there is no pair, with the reasons; or a solution is of several turns.
    """
    pairs.check_not_empty()
    check_own_words((s for one in pairs for s in (one.chosen, one.rejected)), "made into pairs")
    path = Path(path)
    rows = [
        {
            "question_id": one.question_id,
            "iteration": iteration,
            "gap": one.gap,
            "chosen_confidence": one.chosen_confidence,
            "rejected_confidence": one.rejected_confidence,
            "chosen_index": one.chosen.index,
            "rejected_index": one.rejected.index,
            "gold": one.chosen.gold,
            "level": one.chosen.level,
            "prompt": show(one.chosen.prompt_ids),
            "chosen": one.chosen.text,
            "rejected": one.rejected.text,
            "prompt_ids": one.chosen.prompt_ids,
            "chosen_ids": one.chosen.completion_ids,
            "rejected_ids": one.rejected.completion_ids,
            "chosen_answer": list(answer(one.chosen)),
            "rejected_answer": list(answer(one.rejected)),
        }
        for one in pairs
    ]
    manifest = {"file": path.name, "identity": dict(identity), **describe(pairs)}
    # The manifest first: the file itself says that all is there.
    with whole_or_not_at_all(path.with_suffix(".json")) as draft:
        draft.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    with whole_or_not_at_all(path) as draft:
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), draft)
    return manifest


def describe(pairs: PairSet) -> dict[str, Any]:
    """Counts of pairs, questions and solutions, and why some are left out."""
    chosen = {(one.question_id, one.chosen.index) for one in pairs}
    rejected = {(one.question_id, one.rejected.index) for one in pairs}
    gaps = [one.gap for one in pairs]
    return {
        "pairs": len(pairs),
        "questions": pairs.questions,
        "questions_with_pairs": pairs.questions - len(pairs.left_out),
        "questions_left_out": dict(sorted(pairs.reasons.items())),
        "solutions_left_out": dict(sorted(pairs.unused.items())),
        "shortfall": pairs.shortfall,
        "distinct_chosen": len(chosen),
        "distinct_rejected": len(rejected),
        "negative_gaps": sum(gap < 0 for gap in gaps),
        "mean_gap": sum(gaps) / len(gaps) if gaps else None,
        "left_out": dict(sorted(pairs.left_out.items())),
    }


def read_pairs(path: str | Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows of a file of pairs and its manifest.

    Raises:
        ConfigError: If it is no such file, or its manifest is gone.
    """
    path = Path(path).expanduser()
    beside = path.with_suffix(".json")
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file; write it with rlconf pairs")
    with pq.ParquetFile(path) as file:
        missing = [name for name in SCHEMA.names if name not in file.schema_arrow.names]
        if missing:
            raise ConfigError(
                f"{path} holds no pairs: it lacks {', '.join(missing)}. Name a file that "
                "rlconf pairs wrote"
            )
        rows = file.read(columns=SCHEMA.names).to_pylist()
    if not beside.is_file():
        raise ConfigError(
            f"{path} is there without {beside.name}, which says by which model the pairs were "
            "sampled and scored: keep the two together"
        )
    manifest: dict[str, Any] = json.loads(beside.read_text(encoding="utf-8"))
    return rows, manifest


SAME = ("model", "weights", "chat_template_sha256")
"""What the sampler and the scorer of a file must have in common."""


def check_same_model(sampler: Mapping[str, Any], scorer: Mapping[str, Any]) -> None:
    """Refuse confidences that are not those of the model that wrote the solutions.

    Args:
        sampler: `identity` of the manifest of `sample_to_file`.
        scorer: Of `scorer_fingerprint`.

    Raises:
        ConfigError: They are of two models, or of two states of one.
    """
    differing = [name for name in SAME if sampler.get(name) != scorer.get(name)]
    if differing:
        told = "; ".join(f"{n}: {sampler.get(n)!r} and {scorer.get(n)!r}" for n in differing)
        raise ConfigError(
            f"the solutions were sampled by one model and scored by another ({told}), so their "
            "confidences say nothing about the one that wrote them: score them again with it"
        )
