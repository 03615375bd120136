r"""Questions about tables: drawn, over real tables or yours, or of a published benchmark.

    task=tables                                         all drawn from the seed
    task=tables task.source=facts                       planets, countries, time zones, ...
    task=tables task.source=folder task.path=my_tables  the CSV files of a folder
    task=tables task.source=wtq task.path=FOLDER        a benchmark in its published layout

docs/tables.md explains it, and goes through a run with tables of your own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

from data.tables.facts import FACTS, OOD_FACTS, fact_tables
from data.tables.folder import folder_tables
from data.tables.prompts import Prompter, instruction_of
from data.tables.questions import Asked, Drawer, parts_of, split_tables
from data.tables.rendering import RenderForm, TooLarge, render
from data.tables.table import Table
from data.tables.templates import OOD, TEMPLATES, Template
from data.tables.themes import OOD_THEMES, THEMES, drawn_tables
from data.tasks.base import Row, Task, task
from data.tasks.levels import check_levels, check_sizes
from data.tasks.table_benchmarks import BENCHMARKS, read_benchmark
from rewards.errors import ConfigError
from rewards.registry import did_you_mean
from rewards.table.reply import Form, read_gold, write_reply

__all__ = ["TablesSettings", "build"]

Source = Literal["generated", "facts", "folder", "wtq", "tabfact", "hitab", "finqa", "tabmwp"]

DRAWN = {"train": 2048, "dev": 128, "test": 256}
"""Questions of each split where no size is set and a source has no end."""


@dataclass(frozen=True)
class TablesSettings:
    """Settings of `task=tables`.

    Attributes:
        source: Where tables come from: drawn, facts, a folder of CSV files, or a benchmark.
        path: The folder; of a benchmark also a file or a hub id.
        facts: Names of the tables of `facts`.
        render: How a table is written into the prompt.
        form: How the answer is asked for: json (the method's) or plain.
        levels: Levels of the questions that are made from templates.
        templates: Templates to train on; null: all but `ood_templates`.
        ood: What the out-of-domain split is of: tables of other domains, other templates, or both.
        ood_templates: Templates that only the out-of-domain split has.
        rows: Fewest and most rows of a drawn table, or of the part of a larger one that is shown.
        columns: Fewest and most columns of a drawn table; the most of any other.
        questions_per_table: Questions about one table before the next one is taken.
        train_size: Questions to train on; null: 2048, of a benchmark all.
        dev_size: Questions for evaluation during training; null: 128, of a benchmark all.
        test_size: Questions for the final evaluation; null: 256, of a benchmark all.
        ood_size: Questions of the out-of-domain split.
        max_rows: Most rows of a benchmark's table; null: any number.
        max_columns: Most columns of it.
        too_large: What to do about a larger one: leave its questions out and say how many, cut it
            to its first rows and columns and say so in the prompt, or stop.
        files: Files of a benchmark by split, where they are not called as published; of a hub data
            set its splits; "": there is none, so it is held out of train.
        fields: Columns of a benchmark by what they hold, where they are not called as published.
        subset: Name of a configuration of a hub data set.
        revision: Branch, tag or commit of a hub id.
        malformed: What to do about a benchmark's rows that cannot be read: stop, or skip and say.
        template: The prompt, with {table} and {question} in it.
        instruction: What asks for the form, in front or as the system message; null: our words.
        chat: Send the prompt as chat messages, for models with a chat template.
        max_completion_tokens: Longest completion to allow for.
    """

    source: Source = "generated"
    path: str | None = None
    facts: list[str] = field(default_factory=lambda: list(FACTS))
    render: RenderForm = "markdown"
    form: Form = "json"
    levels: list[int] = field(default_factory=lambda: [1, 2, 3, 4, 5])
    templates: list[str] | None = None
    ood: list[Literal["tables", "templates"]] = field(
        default_factory=lambda: ["tables", "templates"]
    )
    ood_templates: list[str] = field(default_factory=lambda: list(OOD))
    rows: list[int] = field(default_factory=lambda: [4, 10])
    columns: list[int] = field(default_factory=lambda: [3, 6])
    questions_per_table: int = 4
    train_size: int | None = None
    dev_size: int | None = None
    test_size: int | None = None
    ood_size: int = 256
    max_rows: int | None = 60
    max_columns: int | None = 12
    too_large: TooLarge = "leave_out"
    files: dict[str, str] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)
    subset: str | None = None
    revision: str | None = None
    malformed: Literal["stop", "skip"] = "stop"
    template: str = "{table}\n\nQuestion: {question}"
    instruction: str | None = None
    chat: bool = False
    max_completion_tokens: int = 512

    def __post_init__(self) -> None:
        """Check ranges and what belongs together."""
        check_levels(self.levels, low=1, high=5)
        for name in ("rows", "columns"):
            _check_range(name, getattr(self, name))
        for name in [*(self.templates or ()), *self.ood_templates]:
            if name not in TEMPLATES:
                raise ValueError(f"there is no template {name!r}. {did_you_mean(name, TEMPLATES)}")
        both = set(self.templates or ()) & set(self.ood_templates)
        if both:
            raise ValueError(f"templates and ood_templates share {', '.join(sorted(both))}")
        for part in ("{table}", "{question}"):
            if part not in self.template:
                raise ValueError(f"template={self.template!r}: expected {part} somewhere in it")
        sizes = (self.train_size, self.dev_size, self.test_size)
        check_sizes(*(1 if size is None else size for size in sizes))
        if self.ood_size < 0 or self.questions_per_table < 1 or self.max_completion_tokens < 1:
            raise ValueError(
                f"ood_size={self.ood_size}, questions_per_table={self.questions_per_table}, "
                f"max_completion_tokens={self.max_completion_tokens}: expected 0, 1 and 1 or more"
            )
        for name in ("max_rows", "max_columns"):
            most = getattr(self, name)
            if most is not None and most < 1:
                raise ValueError(f"{name}={most}: expected 1 or more, or null")
        if self.source not in ("generated", "facts") and not self.path:
            raise ValueError(f"source={self.source} needs path, a folder such as path=tables")


@task("tables", settings=TablesSettings)
def build(settings: TablesSettings, seed: int) -> Task:
    """Build the task; `seed` draws tables, questions and splits.

    Raises:
        ConfigError: A source cannot be read, or nothing is left to train on.
    """
    rng = Random(f"tables/{settings.source}/{seed}")
    prompter = Prompter(
        form=settings.form,
        template=settings.template,
        instruction=instruction_of(settings.form, settings.instruction),
        chat=settings.chat,
    )
    if settings.source in BENCHMARKS:
        splits, notes = read_benchmark(settings, prompter, rng)
    else:
        splits, notes = _from_templates(settings, prompter, rng)
    if not splits["train"]:
        told = "".join(f"\n  - {note}" for note in notes)
        raise ConfigError(f"task tables: no training question is left{told}")
    alphabet, demonstrate = _for_a_tiny_model(splits, prompter)
    return Task(
        name="tables",
        train=splits["train"],
        dev=splits["dev"],
        test=splits["test"],
        ood=splits.get("ood", []),
        rewards=("table_exact",),
        max_completion_tokens=settings.max_completion_tokens,
        alphabet=alphabet,
        demonstrate=demonstrate,
        notes=tuple(notes),
    )


def _from_templates(
    settings: TablesSettings, prompter: Prompter, rng: Random
) -> tuple[dict[str, list[Row]], list[str]]:
    """Rows by split, no table in two of them; and what to say of them."""
    drawer = Drawer(settings.questions_per_table)
    own, other = _templates(settings)
    sources, unseen, notes = _sources(settings, rng)
    splits: dict[str, list[Row]] = {}
    # Held-out questions first: where tables are few, the splits that measure are the full ones.
    for split in ("test", "dev", "train"):
        given = getattr(settings, f"{split}_size")
        size = DRAWN[split] if given is None else given
        asked = drawer.draw(sources[split], own, size, rng, split)
        splits[split] = [_row(one, settings, prompter) for one in asked]
    splits["ood"] = []
    kinds = {"tables": (unseen, own), "templates": (sources["test"], other)}
    chosen = [kind for kind in settings.ood if kinds[kind][0] is not None and kinds[kind][1]]
    for number, kind in enumerate(chosen):
        size = settings.ood_size // len(chosen) + (number < settings.ood_size % len(chosen))
        stream, templates = kinds[kind]
        assert stream is not None
        asked = drawer.draw(stream, templates, size, rng, f"ood ({kind})") if size else []
        splits["ood"] += [{**_row(one, settings, prompter), "ood": kind} for one in asked]
    return splits, [*notes, *drawer.notes]


def _templates(settings: TablesSettings) -> tuple[list[Template], list[Template]]:
    """Those to train on, and those of the out-of-domain split, of the wanted levels."""
    held = settings.ood_templates
    own = [name for name in TEMPLATES if name not in held]
    own = own if settings.templates is None else settings.templates

    def of_level(names: Sequence[str]) -> list[Template]:
        return [TEMPLATES[name] for name in names if TEMPLATES[name].level in settings.levels]

    if not of_level(own):
        raise ConfigError(
            f"task.levels={list(settings.levels)}: no template to train on is of such a level; "
            f"they are {', '.join(f'{name} ({TEMPLATES[name].level})' for name in own)}"
        )
    return of_level(own), of_level(held)


def _sources(
    settings: TablesSettings, rng: Random
) -> tuple[dict[str, Iterator[Table]], Iterator[Table] | None, list[str]]:
    """Tables by split, those of other domains (None if there are none), and notes."""
    rows, columns = _pair(settings.rows), _pair(settings.columns)
    if settings.source == "generated":
        # A stream of its own for each split, so that a larger one does not change the others.
        def drawn(split: str) -> Iterator[Table]:
            themes = OOD_THEMES if split == "ood" else THEMES
            return drawn_tables(themes, Random(f"{rng_name}/{split}"), rows, columns)

        rng_name = str(rng.getrandbits(64))
        return {name: drawn(name) for name in ("train", "dev", "test")}, drawn("ood"), []
    notes: list[str] = []
    if settings.source == "facts":
        unseen = fact_tables([name for name in settings.facts if name in OOD_FACTS])
        tables = fact_tables([name for name in settings.facts if name not in OOD_FACTS])
    else:
        tables, notes = folder_tables(str(settings.path))
        unseen = []
    shares = {"test": 0.2, "dev": 0.1}
    if not unseen and len(tables) >= 8 and "tables" in settings.ood:
        shares["ood"] = 0.2
    if len(tables) <= len(shares):
        raise ConfigError(
            f"task.source={settings.source}: there are {len(tables)} tables; expected "
            f"{len(shares) + 1} or more, since train, dev and test never share one"
        )
    parts = split_tables(tables, shares, rng)
    unseen = unseen or parts.pop("ood", [])
    told = ", ".join(f"{name} {len(own)}" for name, own in parts.items())
    notes.append(f"tables: {told}, other domains {len(unseen)}")

    def views(own: Sequence[Table], split: str) -> Iterator[Table]:
        return parts_of(own, Random(f"tables/{split}/{rng.getrandbits(64)}"), rows, columns[1])

    streams = {name: views(parts[name], name) for name in ("train", "dev", "test")}
    return streams, views(unseen, "ood") if unseen else None, notes


def _row(asked: Asked, settings: TablesSettings, prompter: Prompter) -> Row:
    """The row of a question made from a template."""
    return {
        "prompt": prompter.prompt(render(asked.table, settings.render), asked.draft.text),
        **prompter.gold_columns(asked.draft.gold, asked.draft.steps),
        "level": asked.template.level,
        "id": asked.id,
        "template": asked.template.name,
        "table_id": asked.table.id,
    }


def _for_a_tiny_model(splits: dict[str, list[Row]], prompter: Prompter) -> tuple[Any, Any]:
    """An alphabet and demonstrations for `model=tiny`; None where prompts are chat messages.

    A demonstration is the answer of some other question: the form of an answer, and right by luck.
    """
    if prompter.chat:
        return None, None
    rows = [row for own in splits.values() for row in own]
    golds = [row["gold"] for row in splits["train"]]

    def demonstrate(row: Row, rng: Random) -> str:
        return write_reply(read_gold(rng.choice(golds)), form=prompter.form)

    texts = [write_reply(read_gold(row["gold"]), form=prompter.form) for row in rows]
    texts += [text for row in rows for text in (row["prompt"], row["answer"])]
    return "".join(sorted({character for text in texts for character in text})), demonstrate


def _pair(values: Sequence[int]) -> tuple[int, int]:
    return values[0], values[1]


def _check_range(name: str, values: Sequence[int]) -> None:
    if len(values) != 2 or not 3 <= values[0] <= values[1]:
        raise ValueError(
            f"{name}={list(values)}: expected the fewest and the most, at least 3, as {name}=[4,10]"
        )
