"""Play many episodes at once, turn by turn: in training, in evaluation, for demonstrations.

One turn of every episode that goes on is generated as a batch; then each environment is given its
turn and answers. What the model wrote and what it was answered are one sequence of tokens, with a
mask that says which is which.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from data.environments.pool import Pool, Said
from data.environments.wording import Wording
from data.row import Row

COLUMNS = ("success", "turns", "num_tool_calls", "invalid_actions", "truncated")
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

    def room(self, limits: Limits) -> int:
        """How many tokens fit behind it; 0 or less: none."""
        room = limits.max_tokens - len(self.completion_ids)
        if limits.max_context is None:
            return room
        return min(room, limits.max_context - len(self.prompt_ids) - len(self.completion_ids))

    def hear(self, said: Said) -> None:
        """Note how the episode stands now."""
        self.success, self.failed = said.reward, said.failed
        self.seconds += said.seconds

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
    then it failed and its reward is 0. One that never had room for a turn has no completion.

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
    opened = pool.reset(rows)
    for one, said in zip(episodes, opened, strict=True):
        one.hear(said)
    first = [said.reply.observation if said.reply is not None else "" for said in opened]
    prompts = wording.prompts([row["prompt"] for row in rows], first)
    for one, ids in zip(episodes, prompts, strict=True):
        one.prompt_ids = ids
        if not ids and one.failed is None:
            one.failed, one.success = "the prompt has no tokens, and reset added none", 0.0
        one.truncated = one.failed is None and one.room(limits) <= 0
    # A turn that nobody reads follows a single token, which fits any context.
    spare_context = [*next(filter(None, prompts), [min(wording.ends, default=0)])[:1]]
    while True:
        active, most = _next(episodes, limits)
        wanted = needed(len(active))
        if not wanted:
            return episodes
        contexts = [episodes[at].prompt_ids + episodes[at].completion_ids for at in active]
        spare = max(0, wanted - len(active))
        written = generate([*active, *[-1] * spare], [*contexts, *[spare_context] * spare], most)
        whole = {}
        for at, turn in zip(active, written[: len(active)], strict=True):
            if _add(episodes[at], turn, wording, limits):
                whole[at] = wording.turn(turn.ids)
        for at, said in pool.act(whole).items():
            _answer(episodes[at], said, wording, limits)


def _next(episodes: Sequence[Episode], limits: Limits) -> tuple[list[int], int]:
    """Which episodes get a turn now, and of how many tokens at most.

    All that go on, but where the model cannot read a whole turn more behind some: these wait until
    the others are over. A batch has one limit, and neither may cost the others a part of their turn
    nor run beyond what the model can read.
    """
    turn = min(limits.max_turn_tokens, limits.max_tokens)
    context = sys.maxsize if limits.max_context is None else limits.max_context
    most = {
        at: min(turn, context - len(one.prompt_ids) - len(one.completion_ids))
        for at, one in enumerate(episodes)
        if not one.over
    }
    longest = max(most.values(), default=turn)
    return [at for at, tokens in most.items() if tokens == longest], longest


def _add(one: Episode, turn: Turn, wording: Wording, limits: Limits) -> bool:
    """Add a turn of the model; whether it is a whole one, for the environment to answer."""
    if not turn.ids:  # nothing was written, so nothing comes of it
        one.truncated = True
        return False
    room = one.room(limits)
    cut = len(turn.ids) > room or (len(turn.ids) == room and not wording.ended(turn.ids))
    one.append(Turn(turn.ids[:room], turn.log_probs[:room], turn.entropy[:room]), by_model=True)
    one.turns += 1
    one.truncated = cut
    return not cut


def _answer(one: Episode, said: Said, wording: Wording, limits: Limits) -> None:
    """Add what the environment says to the turn, if the episode goes on."""
    one.hear(said)
    if said.reply is None:
        return
    one.num_tool_calls += said.reply.valid
    one.invalid_actions += not said.reply.valid
    one.done = said.reply.done
    if one.done:
        return
    chat, ended = not isinstance(one.row["prompt"], str), wording.ended(one.completion_ids)
    try:
        ids = wording.observation(said.reply.observation, chat=chat, ended=ended)
    except ValueError as error:
        one.failed, one.success = str(error), 0.0
        return
    if one.turns >= limits.max_turns or len(ids) >= one.room(limits):
        one.truncated = True
        return
    nothing = [0.0] * len(ids)
    zeros = (nothing if one.log_probs else [], nothing if one.entropy else [])
    one.append(Turn(ids, *zeros), by_model=False)
