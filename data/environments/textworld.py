"""`textworld`: text adventures of TextWorld, and of ALFWorld, which is built on it.

    prompt   ... make sure that the locker within the study is shut.
             -= Study =-
             You are in a study. You see an opened locker. ...
             Commands: close locker; examine locker; inventory; look; take bug
             >
    model    close locker          reward 1, the episode is over

A turn is one command. Only commands that the game lists as admissible reach it; anything else is
answered with a sentence and counted as invalid. The engine would take more (`get` for `take`), but
also `save` and `script`, which write files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data.cache import default_cache
from data.environments.base import Reply, environment
from data.environments.textworld_engine import Commands, Engine, State
from data.row import Row

INVALID = "That is not possible."
LISTED = "\nCommands: "
CUE = "\n> "

OWN_WORDS = f"{INVALID}{LISTED};{CUE}"
"""What the environment says beside the game, for a vocabulary."""

_ACTION = re.compile(r"<action>(.*?)</action>", re.DOTALL)


@dataclass(frozen=True)
class TextWorldSettings:
    """Settings of `environment=textworld`.

    Attributes:
        admissible: List the admissible commands behind the prompt and each observation.
        form: What of a turn is the command: its first line ("line"), or what stands last between
            <action> and </action> ("tag").
        dense: Reward an episode that was not won with its share of the game's points. False: 0.
    """

    admissible: bool = True
    form: Literal["line", "tag"] = "line"
    dense: bool = False


@environment("textworld", settings=TextWorldSettings, max_turns=16)
class TextWorld:
    """Plays the game in a row's column `game`: a path, or one relative to the cache."""

    def __init__(self, settings: TextWorldSettings) -> None:
        self._settings = settings
        self._engine = Engine()
        self._path = Path()
        self._taken: Commands = ()
        self._state: State | None = None

    def reset(self, row: Row) -> str:
        """Begin the game; the prompt has the first observation, so only the commands follow."""
        self._path = default_cache() / row["game"]
        self._taken = ()
        self._state = self._engine.state(self._path)
        return self._ask(self._state)

    def act(self, text: str) -> Reply:
        """Give a command."""
        state = self._now()
        wanted = command_of(text, self._settings.form)
        known = {plain(command): command for command in state.admissible}
        if wanted not in known:
            return Reply(f"\n{INVALID}{self._ask(state)}", valid=False)
        self._taken += (known[wanted],)
        self._state = state = self._engine.state(self._path, self._taken)
        return Reply(f"\n{state.text}{self._ask(state)}", done=state.done)

    @property
    def reward(self) -> float:
        """1 if the game is won; before, 0 or the share of its points."""
        state = self._now()
        if state.won:
            return 1.0
        # All points and not won is no success.
        return min(state.score, 0.99) if self._settings.dense else 0.0

    def close(self) -> None:
        """Stop the engine."""
        self._engine.close()

    def _now(self) -> State:
        if self._state is None:
            raise RuntimeError("the game has not begun: call reset(row) first")
        return self._state

    def _ask(self, state: State) -> str:
        listed = LISTED + "; ".join(state.admissible) if self._settings.admissible else ""
        return listed + CUE


def command_of(text: str, form: Literal["line", "tag"]) -> str:
    """The command in what a model wrote, as `plain` has it; "" for none."""
    if form == "tag":
        found = _ACTION.findall(text)
        return plain(found[-1]) if found else ""
    return plain(text.strip().partition("\n")[0].lstrip("> "))


def plain(command: str) -> str:
    """A command in lower case, words one space apart."""
    return " ".join(command.lower().split())
