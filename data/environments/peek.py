"""`peek`: digits are hidden, and a turn of the model shows one of them.

    prompt  2?      two digits are hidden, at a and b
    model   b
            7
    model   a
            4
    model   47      all digits in order: the episode is over, with reward 1 if they are right

Looking costs turns and nothing else. Whoever answers without looking guesses, and is right once in
10^k times.
"""

from __future__ import annotations

from dataclasses import dataclass

from data.environments.base import Reply, environment
from data.row import Row

POSITIONS = "abcdefgh"
DIGITS = "0123456789"
REFUSED = "-"
"""The reply to a turn that is neither a position nor an answer."""


@dataclass(frozen=True)
class PeekSettings:
    """Settings of `environment=peek`.

    Attributes:
        spare_turns: Turns of an episode beyond those needed, k looks and an answer; with the last
            one the episode ends, whatever it was.
    """

    spare_turns: int = 2

    def __post_init__(self) -> None:
        """Check ranges."""
        if self.spare_turns < 0:
            raise ValueError(f"spare_turns={self.spare_turns}: expected 0 or more")


@environment(
    "peek",
    settings=PeekSettings,
    max_turns=32,
    max_turn_tokens=len(POSITIONS) + 1,
    needs=("hidden",),
)
class Peek:
    """Reads the column `hidden` of a row: its digits."""

    def __init__(self, settings: PeekSettings) -> None:
        self._spare = settings.spare_turns
        self._hidden = ""
        self._left = 0
        self.reward = 0.0

    def reset(self, row: Row) -> str:
        """Hide the row's digits; nothing is said."""
        self._hidden = row["hidden"]
        self._left = len(self._hidden) + 1 + self._spare
        self.reward = 0.0
        return ""

    def act(self, text: str) -> Reply:
        """Show a digit, or take an answer."""
        self._left -= 1
        at = POSITIONS.find(text) if len(text) == 1 else -1
        if 0 <= at < len(self._hidden):
            return Reply(self._hidden[at], done=self._left == 0)
        if text and set(text) <= set(DIGITS):
            self.reward = float(text == self._hidden)
            return Reply("", done=True)
        return Reply(REFUSED, done=self._left == 0, valid=False)
