"""The task `tables` over drawn tables, facts and a folder."""

import json
from collections import Counter
from random import Random

import pytest

import rewards
from data.tables.templates import OOD, TEMPLATES
from data.tasks import make_task
from rewards.errors import ConfigError
from rewards.table import read_gold, write_reply

SIZES = {"train_size": 120, "dev_size": 10, "test_size": 30, "ood_size": 20}
SPLITS = ("train", "dev", "test", "ood")


@pytest.fixture(scope="module")
def drawn():
    return make_task("tables", SIZES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Nine tables of one kind, as CSV files."""
    root = tmp_path_factory.mktemp("mine")
    rng = Random(0)
    for number in range(9):
        rows = [
            f"item{number}{n},{rng.choice('xyz')},{rng.randrange(100)},{rng.randrange(1, 50)}"
            for n in range(12 if number else 40)
        ]
        (root / f"t{number}.csv").write_text("\n".join(["name,kind,amount,weight", *rows]))
    return root


def all_rows(task):
    return [row for split in SPLITS for row in getattr(task, split)]


def test_the_sizes_are_those_asked_for(drawn):
    assert [len(getattr(drawn, split)) for split in SPLITS] == [120, 10, 30, 20]
    assert drawn.notes == ()


def test_no_table_no_question_and_no_id_is_in_two_splits(drawn):
    for key in ("table_id", "id", "prompt"):
        found = [{str(row[key]) for row in getattr(drawn, split)} for split in SPLITS[:3]]
        assert sum(map(len, found)) == len(set().union(*found))
    # The out-of-domain split may share tables with test, whose stream its templates go on with.
    train = {row["table_id"] for row in (*drawn.train, *drawn.dev)}
    assert not train & {row["table_id"] for row in drawn.ood}
    assert len({row["id"] for row in all_rows(drawn)}) == len(all_rows(drawn))


def test_the_out_of_domain_split_is_of_other_tables_and_other_templates(drawn):
    seen = {row["template"] for row in drawn.train}
    assert seen <= set(TEMPLATES) - set(OOD)
    by_kind = {kind: [r for r in drawn.ood if r["ood"] == kind] for kind in ("tables", "templates")}
    assert [len(rows) for rows in by_kind.values()] == [10, 10]
    assert {row["template"] for row in by_kind["templates"]} <= set(OOD)
    assert {row["template"] for row in by_kind["tables"]} <= set(TEMPLATES) - set(OOD)


def test_levels_are_even(drawn):
    counts = Counter(row["level"] for row in drawn.train)
    assert counts == dict.fromkeys((1, 2, 3, 4, 5), 24)


def test_rows_depend_on_the_seed_and_nothing_else(drawn):
    assert all_rows(make_task("tables", SIZES)) == all_rows(drawn)
    other = make_task("tables", SIZES, seed=1)
    assert not {row["id"] for row in all_rows(other)} & {row["id"] for row in all_rows(drawn)}
    # A larger train split leaves the questions that measure as they are.
    larger = make_task("tables", {**SIZES, "train_size": 130})
    assert (larger.test, larger.dev) == (drawn.test, drawn.dev)


def test_the_same_rows_on_every_machine(drawn):
    # Recorded once: figures and difficulty files of other people belong to these rows.
    assert [(row["id"], row["gold"]) for row in drawn.test[:3]] == RECORDED


def test_gold_answers_and_demonstrations_get_full_marks(drawn):
    rows = all_rows(drawn)
    columns = {key: [row[key] for row in rows] for key in ("gold", "form")}
    for name in ("table_format", "table_partial", "table_exact"):
        for texts in (
            [write_reply(read_gold(row["gold"])) for row in rows],
            [row["demonstration"] for row in rows],
        ):
            assert rewards.get(name)(texts, **columns) == [1.0] * len(rows)


@pytest.mark.parametrize("form", ["json", "plain"])
def test_what_a_tiny_model_needs(form):
    task = make_task("tables", {**SIZES, "train_size": 20, "form": form})
    rng = Random(0)
    shown = [task.demonstrate(row, rng) for row in task.train]
    assert {
        *"".join(row["prompt"] + row["answer"] for row in all_rows(task)),
        *"".join(shown),
    } <= set(task.alphabet)
    scores = rewards.get("table_format")(shown, form=[form] * len(shown))
    assert scores == [1.0] * len(shown)
    right = rewards.get("table_exact")(
        shown, gold=[r["gold"] for r in task.train], form=[form] * 20
    )
    assert sum(right) < 10


@pytest.mark.parametrize("render", ["markdown", "csv", "json", "html", "records"])
def test_the_prompt_holds_table_and_question(render):
    options = {"render": render, "train_size": 2, "dev_size": 0, "test_size": 0, "ood_size": 0}
    (row, _) = make_task("tables", {**options, "template": "{question}\n{table}"}).train
    assert row["prompt"].startswith("Answer the question from the table. Think")
    mark = {
        "markdown": "| --- |",
        "csv": ",",
        "json": '"columns"',
        "html": "<td>",
        "records": "col: ",
    }
    assert mark[render] in row["prompt"]
    chat = make_task("tables", {**options, "chat": True, "instruction": "Be brief."})
    assert [message["role"] for message in chat.train[0]["prompt"]] == ["system", "user"]
    assert chat.train[0]["prompt"][0]["content"] == "Be brief."
    assert chat.alphabet is None


def test_facts():
    task = make_task("tables", {**SIZES, "source": "facts"})
    tables = {split: {row["table_id"] for row in getattr(task, split)} for split in SPLITS}
    assert tables["ood"] >= {"http", "zones"}
    assert not tables["train"] & (tables["dev"] | tables["test"] | {"http", "zones"})
    assert not tables["dev"] & tables["test"]
    assert len(task.train) == 120
    assert task.notes[0] == "tables: train 3, test 1, dev 1, other domains 2"


def test_a_folder_of_tables_is_divided_by_file(folder):
    task = make_task("tables", {**SIZES, "source": "folder", "path": str(folder)})
    tables = [
        {row["table_id"] for row in getattr(task, split)} for split in ("train", "dev", "test")
    ]
    assert sum(map(len, tables)) == len(set().union(*tables)) == 8  # one is of the other domain
    assert task.notes[0] == "tables: train 6, test 1, dev 1, other domains 1"
    for row in all_rows(task):
        assert row["prompt"].count("\n| item") <= 10  # rows: the most that are shown


def test_too_few_tables_for_three_splits(folder, tmp_path):
    for number in range(2):
        (tmp_path / f"{number}.csv").write_text((folder / f"t{number}.csv").read_text())
    with pytest.raises(ConfigError, match="there are 2 tables; expected 3 or more"):
        make_task("tables", {"source": "folder", "path": str(tmp_path)})


def test_tables_that_do_not_allow_a_level_say_so(tmp_path):
    for number in range(3):
        rows = [f"a{number}{n},w{n}" for n in range(4)]
        (tmp_path / f"{number}.csv").write_text("\n".join(["name,word", *rows]))
    sizes = {"train_size": 8, "dev_size": 0, "test_size": 4, "ood_size": 0}
    options = {"source": "folder", "path": str(tmp_path), **sizes}
    task = make_task("tables", options)
    assert {row["level"] for row in task.train} <= {1, 2}
    assert "train: the tables allow only 0 questions of level 5" in task.notes
    with pytest.raises(
        ConfigError, match=r"(?s)no training question is left\n  - tables: .*level 5"
    ):
        make_task("tables", {**options, "levels": [5]})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"source": "folder"}, "source=folder needs path"),
        ({"levels": [6]}, "levels="),
        ({"rows": [2, 5]}, "rows=.*at least 3"),
        ({"columns": [5, 3]}, "columns="),
        ({"templates": ["lookups"]}, "Did you mean 'lookup'"),
        ({"templates": ["ratio"]}, "templates and ood_templates share ratio"),
        ({"template": "{table}"}, "{question}"),
        ({"max_rows": 0}, "max_rows=0"),
        ({"train_size": 0}, "train_size=0"),
        ({"questions_per_table": 0}, "questions_per_table=0"),
        ({"templates": ["lookup"], "levels": [5]}, "no template to train on is of such a level"),
        ({"render": "latex"}, "one of 'markdown'"),
    ],
)
def test_wrong_settings(options, told):
    with pytest.raises(ConfigError, match=told):
        make_task("tables", options)


def test_a_table_that_holds_the_words_of_the_template(folder, tmp_path):
    for number in range(3):
        rows = [f"x{number}{n},{{question}},{n + 1}" for n in range(4)]
        (tmp_path / f"{number}.csv").write_text("\n".join(["name,{table},amount", *rows]))
    sizes = {"train_size": 4, "dev_size": 0, "test_size": 0, "ood_size": 0}
    for row in make_task("tables", {"source": "folder", "path": str(tmp_path), **sizes}).train:
        assert row["prompt"].count("| {question} |") == 4
        assert row["prompt"].count("Question: ") == 1
        assert json.loads(row["gold"])


RECORDED = [
    ("92bc0fa658a89178", '["Halm"]'),
    ("cd22a30327953d68", '["yes"]'),
    ("46084d3e7e0f628b", '["10"]'),
]
