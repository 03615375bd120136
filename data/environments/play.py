"""Play many episodes at once, turn by turn: in training, in evaluation, for demonstrations.

One turn of every episode that goes on is generated as a batch; then each environment is given its
turn and answers. What the model wrote and what it was answered are one sequence of tokens, with a
mask that says which is which.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any

from data.environments.pool import EpisodeError, Pool
from data.environments.wording import Wording
from data.row import Row

COLUMNS = ("success", "turns", "num_tool_calls", "invalid_actions")
"""Columns that playing adds to a row, for rewards to read."""


@dataclass(frozen=True)
class Turn:
    """What the model wrote, its end token included; the lists beside it are as long, or empty."""

    ids: list[int]
    log_probs: list[float] = field(default_factory=list)
    entropy: list[float] = field(default_factory=list)


Generate = Callable[[Sequence[int], Sequence[list[int]], int], Sequence[Turn]]
"""`f(episodes, contexts, most) -> turns`: one turn of at most `most` tokens behind each context.

`episodes` are indices of the rows; -1 stands for a context whose turn nobody will read.
"""


@dataclass(frozen=True)
class Limits:
    """How long an episode may be.

    Attributes:
        max_turns: Turns of the model.
        max_turn_tokens: Tokens of one turn.
        max_tokens: Tokens of the completion, observations included.
        max_context: Tokens that the model can read, prompt included. None: no limit.
    """

    max_turns: int
    max_turn_tokens: int
    max_tokens: int
    max_context: int | None = None


@dataclass
class Episode:
    """What came of a row, T the tokens behind the prompt.

    Attributes:
        row: The question.
        prompt_ids: Token ids of the prompt and of what the environment said first.
        completion_ids: (T,) token ids: turns of the model and observations.
        env_mask: (T,) 1 where the model wrote the token, 0 where the environment did.
        log_probs: (T,) of the model's tokens, 0.0 at others; empty if `Generate` gives none.
        entropy: Likewise.
        success: The environment's reward; 0 where the episode failed.
        turns: Turns of the model.
        num_tool_calls: Turns that were legal actions.
        invalid_actions: Turns that were none.
        done: Whether the environment ended it.
        truncated: Whether a limit did.
        failed: How the environment broke; None if it did not.
        seconds: Spent in the environment.
    """

    row: Row
    prompt_ids: list[int] = field(default_factory=list)
    completion_ids: list[int] = field(default_factory=list)
    env_mask: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    entropy: list[float] = field(default_factory=list)
    success: float = 0.0
    turns: int = 0
    num_tool_calls: int = 0
    invalid_actions: int = 0
    done: bool = False
    truncated: bool = False
    failed: str | None = None
    seconds: float = 0.0

    @property
    def over(self) -> bool:
        """Whether nothing more is generated."""
        return self.done or self.truncated or self.failed is not None

    @property
    def columns(self) -> dict[str, float]:
        """What rewards may read of it, `COLUMNS`."""
        return {name: getattr(self, name) for name in COLUMNS}

    def append(self, turn: Turn, *, by_model: bool) -> None:
        """Add tokens at the end."""
        self.completion_ids += turn.ids
        self.env_mask += [int(by_model)] * len(turn.ids)
        self.log_probs += turn.log_probs
        self.entropy += turn.entropy


def play(
    generate: Generate,
    rows: Sequence[Row],
    pool: Pool,
    wording: Wording,
    limits: Limits,
    *,
    needed: Callable[[int], int] = lambda active: active,
) -> list[Episode]:
    """Play an episode of each row.

    An episode ends when its environment says so, when it has no turn or no token left (an
    observation that leaves no room for another turn is left out), or when its environment breaks:
    then it failed and its reward is 0.

    Args:
        generate: Writes the turns.
        rows: Questions, with a `prompt` of one kind: text or messages.
        pool: Instances of the environment; the first len(rows) slots are used.
        wording: How text becomes tokens.
        limits: Of each episode.
        needed: Given how many of these episodes go on, how many contexts `generate` is to be given:
            more where processes that share a model must generate in step.

    Returns:
        An episode for each row, in order.
    """
    episodes = [Episode(row) for row in rows]
    said = [
        _guarded(one, partial(pool.reset, at, one.row)) or "" for at, one in enumerate(episodes)
    ]
    prompts = wording.prompts([row["prompt"] for row in rows], said)
    for one, ids in zip(episodes, prompts, strict=True):
        one.prompt_ids = ids
    most = min(limits.max_turn_tokens, limits.max_tokens)
    active = [at for at, one in enumerate(episodes) if not one.over]
    while wanted := needed(len(active)):
        contexts = [episodes[at].prompt_ids + episodes[at].completion_ids for at in active]
        spare = max(0, wanted - len(active))
        turns = generate([*active, *[-1] * spare], [*contexts, *[prompts[0]] * spare], most)
        for at, turn in zip(active, turns[: len(active)], strict=True):
            _step(episodes[at], turn, at, pool, wording, limits)
        active = [at for at in active if not episodes[at].over]
    return episodes


def _step(
    one: Episode, turn: Turn, slot: int, pool: Pool, wording: Wording, limits: Limits
) -> None:
    """Add a turn, and what the environment says to it."""
    if not turn.ids:  # nothing was written, so nothing comes of it
        one.truncated = True
        return
    room = limits.max_tokens - len(one.completion_ids)
    cut = len(turn.ids) > room or (len(turn.ids) == room and not wording.ended(turn.ids))
    turn = Turn(turn.ids[:room], turn.log_probs[:room], turn.entropy[:room])
    one.append(turn, by_model=True)
    one.turns += 1
    if cut:  # not a whole turn
        one.truncated = True
        return
    ended = wording.ended(turn.ids)
    text = wording.turn(turn.ids)
    answer = _guarded(one, partial(pool.act, slot, text))
    if answer is None:
        return
    reply, one.success = answer
    one.num_tool_calls += reply.valid
    one.invalid_actions += not reply.valid
    if reply.done:
        one.done = True
        return
    chat = not isinstance(one.row["prompt"], str)
    try:
        ids = wording.observation(reply.observation, chat=chat, ended=ended)
    except ValueError as error:
        _fail(one, str(error))
        return
    length = len(one.completion_ids) + len(ids)
    context = len(one.prompt_ids) + length
    if (
        one.turns >= limits.max_turns
        or length >= limits.max_tokens
        or (limits.max_context is not None and context >= limits.max_context)
    ):
        one.truncated = True
        return
    nothing = [0.0] * len(ids)
    zeros = (nothing if turn.log_probs else [], nothing if turn.entropy else [])
    one.append(Turn(ids, *zeros), by_model=False)


def _guarded(one: Episode, call: Callable[[], Any]) -> Any:
    """What a call of the environment returns, on its clock; None where it broke."""
    began = perf_counter()
    try:
        return call()
    except EpisodeError as error:
        _fail(one, str(error))
        return None
    finally:
        one.seconds += perf_counter() - began


def _fail(one: Episode, how: str) -> None:
    one.failed, one.success = how, 0.0
