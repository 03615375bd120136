"""Win text adventures: `task=textworld`, played in the environment of that name.

    task=textworld 'task.levels=[1,2]' task.rooms=1 task.objects=4     made by TextWorld from seeds
    task=textworld task.games=FOLDER                                   such as ALFWorld's

The level is the number of commands that win a game. How often random play wins falls with each of
them, so a long quest is a task of sparse reward.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from random import Random

from data.environments.textworld import OWN_WORDS
from data.environments.textworld_engine import import_textworld
from data.row import Row
from data.tasks.base import Task, task
from data.tasks.levels import check_levels, check_sizes
from data.tasks.splits import DEV_SHARE, TEST_SHARE, share_out
from data.tasks.textworld_games import Game, Recipe, find, found_games, made_games
from data.words import words_of
from rewards.errors import ConfigError

FOLDERS = {
    "train": ("train",),
    "dev": ("dev", "valid", "valid_seen"),
    "test": ("test", "valid_unseen"),
}
"""Folders below `games` that are a split of their own; the last names are ALFWorld's."""

SHOWN = 2
"""Turns of a demonstration: the form of a command is the same in each."""

Splits = dict[str, list[tuple[Game, int]]]
"""Games of each split, with their levels."""


@dataclass(frozen=True)
class TextWorldTaskSettings:
    """Settings of `task=textworld`.

    Attributes:
        levels: Commands that win a game, of the games that are made.
        rooms: Rooms of a game that is made.
        objects: Things in it.
        quests: Quests of it, each of `level` commands; more than one gives points on the way.
        first_seed: Seed of the first game of each level that is made; the others count up from it.
        games: Folder of games that are there already; null: games are made.
        train_size: Games to train on, of a folder at most.
        dev_size: Games for evaluation during training, likewise.
        test_size: Games for the final evaluation, likewise.
        template: The prompt, with {objective} and {observation}, what is seen first, in it.
        chat: Send the prompt as a chat message, for models with a chat template.
        system: System message of the chat.
        max_completion_tokens: Of a whole episode, observations included.
    """

    levels: list[int] = field(default_factory=lambda: [1, 2])
    rooms: int = 1
    objects: int = 4
    quests: int = 1
    first_seed: int = 0
    games: str | None = None
    train_size: int = 64
    dev_size: int = 16
    test_size: int = 32
    template: str = "{objective}\n{observation}"
    chat: bool = False
    system: str | None = None
    max_completion_tokens: int = 1024

    def __post_init__(self) -> None:
        """Check ranges."""
        check_levels(self.levels, low=1, high=30)
        check_sizes(self.train_size, self.dev_size, self.test_size)
        for name in ("rooms", "objects", "quests", "max_completion_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: expected 1 or more")
        if self.first_seed < 0:
            raise ValueError(f"first_seed={self.first_seed}: expected 0 or more")
        if not any(part in self.template for part in ("{objective}", "{observation}")):
            raise ValueError(
                f"template={self.template!r}: expected {{objective}} or {{observation}} in it"
            )
        if self.system is not None and not self.chat:
            raise ValueError("system needs chat=true; a plain prompt has it in its template")


@task("textworld", settings=TextWorldTaskSettings)
def build(settings: TextWorldTaskSettings, seed: int) -> Task:
    """Make or find the games; `seed` only shuffles them, so that runs share what took long to make.

    Raises:
        ConfigError: TextWorld is not installed, too few games can be made, or the folder has none.
    """
    import_textworld()  # here, because a call of an environment has a time limit
    notes: list[str] = []
    if settings.games is None:
        splits = _made(settings)
    else:
        splits, notes = _found(settings, seed)
    rows = {
        split: [_row(game, level, settings) for game, level in games]
        for split, games in splits.items()
    }
    for split in rows.values():
        Random(f"textworld/{seed}").shuffle(split)
    games = [game for split in splits.values() for game, _ in split]
    walks = {game.path: game.walks for game in games}
    words = {word for game in games for word in game.words}
    words |= {word for text in (OWN_WORDS, settings.template) for word in words_of(text)}
    can_walk = all(game.walks for game, _ in splits["train"])

    def demonstrate(row: Row, rng: Random) -> list[str]:
        """The first commands of a random play: the form of a command, not which one wins."""
        return rng.choice(walks[row["game"]])[:SHOWN]

    return Task(
        name="textworld",
        train=rows["train"],
        dev=rows["dev"],
        test=rows["test"],
        rewards=("success",),
        max_completion_tokens=settings.max_completion_tokens,
        words=tuple(sorted(words)),
        demonstrate=demonstrate if can_walk else None,
        notes=tuple(notes),
        environment="textworld",
    )


def _made(settings: TextWorldTaskSettings) -> Splits:
    """Games made from consecutive seeds: of each level the first are held out, for test and dev.

    So a larger `train_size` leaves the held-out games as they were.
    """
    shares = {
        split: share_out(size, dict.fromkeys(settings.levels, size))
        for split, size in _sizes(settings).items()
    }
    taken: set[tuple[str, str]] = set()
    splits: Splits = {split: [] for split in shares}
    for level in settings.levels:
        recipe = Recipe(settings.rooms, settings.objects, level, settings.quests)
        count = sum(share[level] for share in shares.values())
        games = iter(made_games(recipe, count, first_seed=settings.first_seed, taken=taken))
        for split, share in shares.items():
            splits[split] += [(next(games), level) for _ in range(share[level])]
    return splits


def _found(settings: TextWorldTaskSettings, seed: int) -> tuple[Splits, list[str]]:
    """Games of a folder, each split from its folder of `FOLDERS`, else held out of the train split.

    The level is the number of commands that win a game, 0 where nobody knows.
    """
    assert settings.games is not None
    folder = Path(settings.games).expanduser()
    pools: dict[str | None, list[Path]] = {split: [] for split in (*FOLDERS, None)}
    for path in find(folder):
        first = path.relative_to(folder).parts[0]
        split = next((split for split, names in FOLDERS.items() if first in names), None)
        pools[split].append(path)
    notes = []
    if not pools["train"]:
        pools["train"] = pools[None]
    elif pools[None]:
        notes.append(f"{len(pools[None])} games in folders of no split were left out")
    rng = Random(f"textworld/{seed}")
    for pool in pools.values():
        rng.shuffle(pool)
    sizes = _sizes(settings)
    for split, share in (("test", TEST_SHARE), ("dev", DEV_SHARE)):
        if not pools[split]:
            held = min(sizes[split], len(pools["train"]) // share)
            pools[split], pools["train"] = pools["train"][:held], pools["train"][held:]
    taken: set[tuple[str, str]] = set()
    splits: Splits = {}
    for split, size in sizes.items():
        games = found_games(pools[split][:size], f"for {split}")
        new = [game for game in games if game.opening not in taken]
        if len(new) < len(games):
            notes.append(f"{len(games) - len(new)} {split} games begin like one held out: left out")
        taken |= {game.opening for game in new}
        splits[split] = [(game, len(game.solution)) for game in new]
    if not splits["train"]:
        raise ConfigError(f"task.games={folder}: no game is left to train on")
    return splits, notes


def _sizes(settings: TextWorldTaskSettings) -> dict[str, int]:
    """Games of each split; those held out come first."""
    return {"test": settings.test_size, "dev": settings.dev_size, "train": settings.train_size}


def _row(game: Game, level: int, settings: TextWorldTaskSettings) -> Row:
    text = settings.template.replace("{objective}", game.objective)
    text = text.replace("{observation}", game.observation).strip()
    system = [] if settings.system is None else [{"role": "system", "content": settings.system}]
    return {
        "prompt": [*system, {"role": "user", "content": text}] if settings.chat else text,
        "answer": "; ".join(game.solution),
        "level": level,
        "id": f"textworld-{sha256(repr(game.opening).encode()).hexdigest()[:12]}",
        "game": game.path,
    }
