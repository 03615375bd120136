"""Which tokens of a completion are turns of the model, and which were said to it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

__all__ = ["last_turn", "own_turns"]


def own_turns(
    ids: Sequence[int], mask: Sequence[int], ends: Collection[int] = ()
) -> list[tuple[int, int]]:
    """Begin and end of each turn of the model, in order.

    Args:
        ids: (T,) token ids of a completion.
        mask: (T,) 1 where the model wrote the token; empty where it wrote all.
        ends: Tokens that end a turn, for two with nothing said between them. Empty: such two count
            as one.
    """
    turns: list[tuple[int, int]] = []
    begin: int | None = None
    for at, token in enumerate(ids):
        own = not mask or mask[at]
        if own and begin is None:
            begin = at
        if begin is not None and (not own or token in ends):
            turns.append((begin, at + 1 if own else at))
            begin = None
    return turns if begin is None else [*turns, (begin, len(ids))]


def last_turn(
    ids: Sequence[int], mask: Sequence[int], ends: Collection[int] = ()
) -> tuple[int, int]:
    """Begin and end of the model's last turn; (0, 0) if it wrote nothing."""
    return next(reversed(own_turns(ids, mask, ends)), (0, 0))
