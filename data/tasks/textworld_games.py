"""TextWorld games on the disk: made from seeds, or found in a folder."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from random import Random
from typing import TypeVar

from filelock import FileLock
from tqdm import tqdm

from data.cache import default_cache, made_whole
from data.environments.textworld_engine import (
    ONE_AT_A_TIME,
    SUFFIXES,
    Commands,
    Engine,
    import_textworld,
)
from data.words import words_of
from rewards.errors import ConfigError

WALKS, STEPS = 8, 6
"""Random plays kept with each game that is made, for demonstrations, and commands of each at most.
"""

FAILURES = 20
"""Seeds in a row without a new game, after which there are held to be no more."""


Item = TypeVar("Item")


@dataclass(frozen=True)
class Recipe:
    """What a game is made from, beside its seed.

    Attributes:
        rooms: Rooms of the map.
        objects: Things in it.
        quest_length: Commands that do a quest.
        quests: Quests; each is worth a point, and the game is won when all are done.
    """

    rooms: int
    objects: int
    quest_length: int
    quests: int

    @property
    def folder(self) -> str:
        """Where its games are, relative to the cache."""
        numbers = f"{self.rooms}-{self.objects}-{self.quest_length}-{self.quests}"
        return f"textworld/{version('textworld')}/rooms-objects-length-quests-{numbers}"


@dataclass(frozen=True)
class Game:
    """A game and how it begins.

    Attributes:
        path: Of its file; relative to the cache if it was made there.
        objective: What is to be done; "" where the first observation says it.
        observation: What is seen first.
        solution: Commands that win it; none where nobody knows.
        walks: Random plays, the commands of each.
        words: The vocabulary of these plays.
    """

    path: str
    objective: str
    observation: str
    solution: list[str]
    walks: list[list[str]]
    words: list[str]

    @property
    def opening(self) -> tuple[str, str]:
        """What a player sees before the first command."""
        return self.objective, self.observation


def made_games(
    recipe: Recipe, count: int, *, first_seed: int, taken: set[tuple[str, str]]
) -> list[Game]:
    """Games of the seeds from `first_seed` on, made if the cache lacks them.

    Args:
        recipe: What they are made from.
        count: How many.
        first_seed: Of the first one. A seed that gives no game, or one that begins like another,
            is passed over.
        taken: Openings that no game may have; those of the games found are added.

    Raises:
        ConfigError: `FAILURES` seeds in a row gave no new game, or one cannot be compiled.
    """
    games: list[Game] = []
    seed, lacking = first_seed, 0
    while len(games) < count:
        seeds = range(seed, seed + count - len(games))
        _make(recipe, seeds)
        for seed in seeds:
            game = _read(default_cache() / recipe.folder / str(seed))
            lacking += 1
            if game is not None and game.opening not in taken:
                taken.add(game.opening)
                games.append(game)
                lacking = 0
            elif lacking == FAILURES:
                raise ConfigError(
                    f"rooms={recipe.rooms}, objects={recipe.objects}: the last {FAILURES} seeds, "
                    f"up to {seed}, gave no new game of {recipe.quest_length} commands after "
                    f"{len(games)} of {count}; ask for fewer games, shorter quests or more objects"
                )
        seed = seeds.stop
    return games


def found_games(paths: Sequence[Path], what: str) -> list[Game]:
    """Games that are there already; how each begins is kept in the cache for the next time.

    Args:
        paths: Their files.
        what: Which games they are, for the progress bar.

    Raises:
        ConfigError: A game cannot be played.
    """
    cache = default_cache() / "textworld" / "found"
    cache.mkdir(parents=True, exist_ok=True)
    games, engine = [], Engine(keep=False)
    with FileLock(f"{cache}.lock"):
        for path in _bar(paths, len(paths), f"reading TextWorld games {what}"):
            facts = path.stat()
            key = f"{path.resolve()}/{facts.st_size}/{facts.st_mtime_ns}"
            kept = cache / sha256(key.encode()).hexdigest()[:24]
            if not kept.exists():
                found = _opening(engine, path, str(path.resolve()), walks=0)
                made_whole(kept, partial(_write, game=found))
            game = _read(kept)
            assert game is not None
            games.append(game)
    engine.close()
    return games


def find(folder: Path) -> list[Path]:
    """All games below a folder, in alphabetical order.

    Raises:
        ConfigError: There are none, or only such as TextWorld no longer plays.
    """
    if not folder.is_dir():
        raise ConfigError(f"task.games={folder}: there is no such folder")
    found = sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES)
    if not found:
        old = any(folder.rglob("*.ulx"))
        why = "only .ulx games, which TextWorld no longer plays" if old else "no game is below it"
        raise ConfigError(f"task.games={folder}: {why}; expected {' or '.join(SUFFIXES)} files")
    return found


def _make(recipe: Recipe, seeds: Sequence[int]) -> None:
    """Make the games that the cache lacks, several at once.

    One process does; others that want games of the same recipe wait for it.
    """
    folder = default_cache() / recipe.folder
    if all((folder / str(seed)).exists() for seed in seeds):
        return
    import_textworld()
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        lacking = [seed for seed in seeds if not (folder / str(seed)).exists()]
        what = f"making TextWorld games of {recipe.quest_length} commands"
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            made = pool.map(lambda seed: _make_one(recipe, seed), lacking)
            for _ in _bar(made, len(lacking), what):
                pass


def _make_one(recipe: Recipe, seed: int) -> None:
    place = f"{recipe.folder}/{seed}"
    made_whole(default_cache() / place, lambda new: _fill(recipe, seed, new, f"{place}/game.z8"))


def _fill(recipe: Recipe, seed: int, folder: Path, path: str) -> None:
    textworld = import_textworld()
    generator = textworld.generator
    options = textworld.GameOptions()
    options.seeds = seed
    options.nb_rooms, options.nb_objects = recipe.rooms, recipe.objects
    options.quest_length, options.nb_parallel_quests = recipe.quest_length, recipe.quests
    options.path = str(folder / "game.z8")
    try:
        with ONE_AT_A_TIME:
            game = generator.make_game(options)
    except generator.QuestGenerationError:
        return  # nothing is written: this seed gives no game
    try:
        generator.compile_game(game, options)
    except generator.CouldNotCompileGameError as error:
        raise ConfigError(f"TextWorld could not compile game {seed}: {error}") from error
    (folder / "game.ni").unlink()  # the source, which nobody reads
    engine = Engine(keep=False)
    _write(folder, _opening(engine, folder / "game.z8", path, walks=WALKS))
    engine.close()


def _opening(engine: Engine, file: Path, path: str, *, walks: int) -> Game:
    """Begin a game, and play it at random `walks` times."""
    first = engine.state(file)
    texts = [first.objective, first.text, *first.admissible]
    played = []
    for number in range(walks):
        rng, state = Random(f"{path}/{number}"), first
        taken: Commands = ()
        while not state.done and len(taken) < STEPS:
            taken += (rng.choice(state.admissible),)
            state = engine.state(file, taken)
            texts += [state.text, *state.admissible]
        played.append(list(taken))
    return Game(
        path=path,
        objective=first.objective,
        observation=first.text,
        solution=list(engine.solution(file)),
        walks=played,
        words=sorted({word for text in texts for word in words_of(text)}),
    )


def _write(folder: Path, game: Game) -> None:
    (folder / "facts.json").write_text(json.dumps(asdict(game)), encoding="utf-8")


def _read(folder: Path) -> Game | None:
    file = folder / "facts.json"
    return Game(**json.loads(file.read_text(encoding="utf-8"))) if file.exists() else None


def _bar(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    """Show progress on standard error; where nobody watches, a line every half minute."""
    pause = 0.5 if sys.stderr.isatty() else 30.0
    yield from tqdm(items, total=total, desc=what, mininterval=pause, delay=2.0)
