"""TextWorld's engine behind one method: the state of a game after some commands.

`textworld` is an extra and takes two seconds to import, so it is imported when a game is first
played. Games know nothing of chance: the same commands lead to the same state, so a state that was
seen is kept, and an engine starts only for one that was not.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from rewards.errors import ConfigError

KEPT = 20_000
"""States kept in memory, about a kilobyte each; the one not asked for longest goes first."""

SUFFIXES = (".z8", ".tw-pddl")
"""Of games that can be played; beside a `.z8` stands the `.json` that TextWorld made with it."""

INSTALL = "pip install 'rlconf[agents]'"
INSTALL_PDDL = "pip install fast-downward-textworld"

ONE_AT_A_TIME = Lock()
"""Held to make or load a game: textworld has one parser, and two threads in it break both."""

Commands = tuple[str, ...]


@dataclass(frozen=True)
class State:
    """What a player sees.

    Attributes:
        text: What the game says, without TextWorld's banner and status line.
        objective: What is to be done; "" where the text says it.
        admissible: Every command that does something here, sorted; ALFWorld's `help` does nothing.
        score: Points over the most that can be had, from 0 to 1.
        won: Whether the game is won.
        done: Whether it is over.
    """

    text: str
    objective: str
    admissible: Commands
    score: float
    won: bool
    done: bool


class Engine:
    """Plays one game at a time.

    Args:
        keep: Whether states are kept for the engines of this process, and found among theirs.
    """

    def __init__(self, keep: bool = True) -> None:
        self._keep = keep
        self._game: Any = None
        self._path: Path | None = None
        self._shown: Any = None
        self._taken: Commands = ()

    def state(self, path: Path, commands: Commands = ()) -> State:
        """The state of a game after `commands`, each of them admissible where it is given.

        Raises:
            ConfigError: There is no such game, or it cannot be played.
        """
        if not self._keep:
            return self._play(path, commands)
        if (known := _SEEN.get((path, commands))) is None:
            known = self._play(path, commands)
            _SEEN.put((path, commands), known)
        return known

    def solution(self, path: Path) -> Commands:
        """Commands that win the game from its beginning; none where nobody knows."""
        self._play(path, ())
        return tuple(self._shown.policy_commands or ())

    def close(self) -> None:
        """Stop the game that is being played."""
        if self._game is not None:
            self._game.close()
        self._game = self._path = self._shown = None

    def _play(self, path: Path, commands: Commands) -> State:
        if self._path != path:
            self.close()
            self._game, self._path = _start(path), path
        if self._shown is None or commands[: len(self._taken)] != self._taken:
            self._shown, self._taken = self._game.reset(), ()
        for command in commands[len(self._taken) :]:
            self._shown, _, _ = self._game.step(command)
            self._taken += (command,)
        return _state(self._shown, path)


class _Seen:
    """The states that were seen, of all engines of this process."""

    def __init__(self, most: int) -> None:
        self._states: OrderedDict[tuple[Path, Commands], State] = OrderedDict()
        self._most = most
        self._lock = Lock()

    def get(self, key: tuple[Path, Commands]) -> State | None:
        with self._lock:
            if key in self._states:
                self._states.move_to_end(key)
            return self._states.get(key)

    def put(self, key: tuple[Path, Commands], state: State) -> None:
        with self._lock:
            self._states[key] = state
            if len(self._states) > self._most:
                self._states.popitem(last=False)


_SEEN = _Seen(KEPT)


def import_textworld() -> Any:
    """The package; numpy's global random state, from which it draws, is left as it was.

    Raises:
        ConfigError: It is not installed; the text says what to type.
    """
    import numpy as np

    before = np.random.get_state()  # noqa: NPY002 (the global state itself is meant)
    try:
        import textworld
    except ImportError as error:
        raise ConfigError(f"TextWorld games need the package textworld: {INSTALL}") from error
    finally:
        np.random.set_state(before)  # noqa: NPY002
    return textworld


def _start(path: Path) -> Any:
    textworld = import_textworld()
    if not path.is_file():
        raise ConfigError(f"there is no game {path}: it was moved, or the cache was emptied")
    wanted = textworld.EnvInfos(
        feedback=True,
        objective=True,
        admissible_commands=True,
        policy_commands=path.suffix == ".z8",  # of others a planner would have to find them
        score=True,
        max_score=True,
        won=True,
        lost=True,
    )
    try:
        with ONE_AT_A_TIME, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # jericho: that it does not know this very game
            game = textworld.start(str(path), wanted)
    except ImportError as error:
        raise ConfigError(f"{path.name} is played by a planner: {INSTALL_PDDL}") from error
    if path.suffix == ".tw-pddl":
        infos = {info.id: info for info in game._entity_infos.values()}
        for name, shown in readable_names(infos).items():
            infos[name].name = shown
    return game


def _state(shown: Any, path: Path) -> State:
    if shown.admissible_commands is None:
        raise ConfigError(
            f"{path.name} says nothing of its commands: beside the game belongs the .json of the "
            "same name that TextWorld made with it"
        )
    score = shown.score or 0
    return State(
        text=clean(shown.feedback or ""),
        objective=(shown.objective or "").strip(),
        admissible=tuple(one for one in shown.admissible_commands if one != "help"),
        score=min(1.0, max(0.0, score / shown.max_score)) if shown.max_score else float(shown.won),
        won=bool(shown.won),
        done=bool(shown.won or shown.lost),
    )


def clean(feedback: str) -> str:
    """What a game says, from its first heading on and without blank lines and status line."""
    text = re.sub(r"\n>[^\n]*\s*\Z", "\n", feedback)
    text = re.sub(r"\A.*?(?=^-= )", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"\s*\n\s*", "\n", text).strip()


def readable_names(names: Iterable[str]) -> dict[str, str]:
    """Names of ALFWorld's things, `apple_bar__plus_01_dot_10_bar_...`, as it shows them: `apple 2`.

    Numbers go down from how many there are, in the order of the names. Names of another form are
    left as they are.

    Source: ALFWorld, `alfworld/agents/utils/misc.py`, `Demangler`.
    """
    kinds: dict[str, str] = {}
    for name in sorted(names):
        kind, bar, _ = name.partition("_bar_")
        if bar:
            kinds[name] = kind + ("basin" if "basin" in name else "")
    left = Counter(kinds.values())
    readable = {}
    for name, kind in kinds.items():
        readable[name] = f"{kind} {left[kind]}"
        left[kind] -= 1
    return readable
