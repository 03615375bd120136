"""What a run writes down of single tokens: ``tokens/GENERATION.parquet``.

For a few completions of each recorded generation: the text of every token, how certain the policy
was of it, and its advantage after the shapers. The first process records rows of its own, so
nothing is gathered, and only the chosen rows leave the device.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import pyarrow as pa
from torch import Tensor

from rlconf.records.pieces import Pieces
from rlconf.records.record import is_due, plain, rollout_path, storable, write_table
from trainers.rollout import Rollout, RolloutTokens

logger = logging.getLogger(__name__)

LONGEST = 4096  # tokens recorded of one completion: the first half and the last
SCHEMA = pa.schema(
    {name: pa.int64() for name in ("generation", "step", "row", "left_out")}
    | {"piece": pa.list_(pa.string())}
    | {name: pa.list_(pa.float32()) for name in ("certainty", "advantage", "log_prob")}
)


class TokenFiles:
    """Write the tokens of a few completions (an `on_rollout` listener).

    One row a completion: `generation`, `step`, `row` (its place in the file of the same name under
    ``rollouts/``), `left_out` (tokens cut from the middle), and equally long lists `piece`,
    `certainty`, `advantage` and `log_prob`, null where there is no value.

    Args:
        folder: where to write ``GENERATION.parquet``.
        tokenizer: gives the tokens' texts.
        samples: completions of a generation.
        every: record the first generation and every one divisible by this.
        writes: whether this process writes; one of all does.
    """

    def __init__(
        self, folder: Path, tokenizer: Any, samples: int, every: int = 1, writes: bool = True
    ) -> None:
        self.folder = folder
        self.samples = samples
        self.every = every
        self.writes = writes
        if writes:
            folder.mkdir(parents=True, exist_ok=True)
            self._pieces = Pieces(tokenizer)

    def __call__(self, rollout: Rollout) -> None:
        """Write the tokens of one generation batch, if it is one to write."""
        if not self.writes or rollout.tokens is None or not is_due(rollout.generation, self.every):
            return
        try:
            table = self._table(rollout, rollout.tokens)
        except Exception:  # a tokenizer of the user's own: no reason to end a run
            logger.warning("tokens/ is recorded no longer, because it failed", exc_info=True)
            self.writes = False
            return
        write_table(table, rollout_path(self.folder, rollout.generation))

    def _table(self, rollout: Rollout, tokens: RolloutTokens) -> pa.Table:
        own = range(tokens.first, tokens.first + len(tokens.completion_ids))
        chosen = choose(rollout.columns, own, self.samples)
        place = {"generation": rollout.generation, "step": rollout.step}
        rows = [place | {"row": row} | self._row(tokens, row - tokens.first) for row in chosen]
        return pa.Table.from_pylist(rows, SCHEMA)

    def _row(self, tokens: RolloutTokens, row: int) -> dict[str, Any]:
        """One completion of this rank, `row` counted in its own batch."""
        kept = tokens.present[row].nonzero()[:, 0].tolist()
        left_out = max(0, len(kept) - LONGEST)
        if left_out:
            kept = kept[: LONGEST // 2] + kept[-LONGEST // 2 :]
        ids = tokens.completion_ids[row, kept].tolist()
        generated = tokens.mask[row, kept].tolist()

        def numbers(values: Tensor | None) -> list[float | None]:
            if values is None:
                return [None] * len(kept)
            found = values[row].expand(tokens.mask.size(1)) if values.dim() == 1 else values[row]
            pairs = zip(found[kept].tolist(), generated, strict=True)
            return [plain(value) if own else None for value, own in pairs]

        return {
            "left_out": left_out,
            "piece": [storable(piece) for piece in self._pieces(ids)],
            "certainty": numbers(tokens.certainty),
            "advantage": numbers(tokens.advantages),
            "log_prob": numbers(tokens.log_prob),
        }


def choose(columns: Mapping[str, Sequence[Any]], rows: Sequence[int], count: int) -> list[int]:
    """The completions that are most worth reading, in the order of the batch.

    In turn: the greatest advantage, the least, the surest with a negative one, the least sure with
    a positive one, the next of each, until `count` are found or all are taken.

    Args:
        columns: of a `Rollout`; reads `advantage` and, where there is one, `certainty`.
        rows: indices to choose from.
        count: how many.
    """
    advantage = columns["advantage"]
    certainty = columns.get("certainty")
    turns = [
        sorted(rows, key=lambda row: -advantage[row]),
        sorted(rows, key=lambda row: advantage[row]),
    ]
    if certainty is not None:
        known = [row for row in rows if math.isfinite(certainty[row])]  # not of an empty one
        wrong = [row for row in known if advantage[row] < 0]
        right = [row for row in known if advantage[row] > 0]
        turns.append(sorted(wrong, key=lambda row: -certainty[row]))
        turns.append(sorted(right, key=lambda row: certainty[row]))
    in_turn = (row for row in chain.from_iterable(zip_longest(*turns)) if row is not None)
    return sorted(list(dict.fromkeys(in_turn))[:count])
