"""`task=hub` on local files: columns, levels, splits, prompts."""

import json
from pathlib import Path
from typing import Any

import pytest

from data.tasks import Task, make_task
from data.tasks.hub import HubSettings, make_rows
from rewards.errors import ConfigError


def write(path: Path, records: list[dict[str, Any]]) -> str:
    path.write_text("\n".join(json.dumps(record) for record in records))
    return str(path)


def maths(count: int) -> list[dict[str, Any]]:
    return [
        {
            "problem": f"What is {n} + 1?",
            "solution": rf"It is \boxed{{{n + 1}}}.",
            "level": f"Level {n % 5 + 1}",
        }
        for n in range(count)
    ]


COLUMNS = {"prompt_column": "problem", "answer_column": "solution", "answer_how": "boxed"}


@pytest.fixture
def questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    return write(tmp_path / "questions.jsonl", maths(60))


def load(path: str, seed: int = 0, **options: Any) -> Task:
    return make_task("hub", {"path": path, "dev_size": 4, **COLUMNS, **options}, seed)


def prompts(rows: list[dict[str, Any]]) -> set[str]:
    return {row["prompt"] for row in rows}


def test_rows_have_the_tasks_columns(questions: str):
    task = load(questions, level_column="level")
    row = task.train[0]
    number = int(row["prompt"].split()[2])
    assert row == {
        "prompt": f"What is {number} + 1?",
        "answer": str(number + 1),
        "level": number % 5 + 1,
        "id": row["id"],
    }
    assert (task.rewards, task.max_completion_tokens) == (("math",), 512)


def test_a_single_file_is_split_and_the_splits_share_nothing(questions: str):
    task = load(questions)
    # 60 questions: 10 % for test, 4 for dev.
    assert (len(task.train), len(task.dev), len(task.test)) == (50, 4, 6)
    assert len(prompts(task.train) | prompts(task.dev) | prompts(task.test)) == 60


def test_the_seed_draws_what_is_held_out(questions: str):
    assert load(questions, seed=1) == load(questions, seed=1)
    assert prompts(load(questions, seed=1).test) != prompts(load(questions, seed=2).test)


def test_levels_are_filtered(questions: str):
    task = load(questions, level_column="level", levels=[3, 5])
    assert {row["level"] for row in task.train} == {3, 5}
    assert len(task.train) + len(task.dev) + len(task.test) == 24  # 2 levels of 12


def test_a_test_file_of_its_own_takes_its_questions_out_of_training(questions: str, tmp_path: Path):
    other = write(tmp_path / "test.jsonl", maths(10))  # the first ten of the sixty
    task = load(questions, test_path=other, test_split="train")
    assert len(task.test) == 10
    assert len(task.train) == 60 - 10 - 4
    assert not prompts(task.test) & prompts(task.train)


def test_a_question_without_an_answer_is_left_out():
    records = [{"prompt": "a", "answer": r"\boxed{1"}, {"prompt": "b", "answer": None}]
    records += [{"prompt": "c", "answer": r"\boxed{3}"}]
    settings = HubSettings(path="x.jsonl", answer_how="boxed")
    assert [row["answer"] for row in make_rows(records, settings, "train")] == ["3"]


def test_templates_and_chats():
    record = {"prompt": "1 {x}?", "answer": "1"}
    plain = HubSettings(path="x.jsonl", template="Q: {question}\nA:")
    assert make_rows([record], plain, "train")[0]["prompt"] == "Q: 1 {x}?\nA:"
    chat = HubSettings(path="x.jsonl", chat=True, system="Be brief.")
    assert make_rows([record], chat, "train")[0]["prompt"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "1 {x}?"},
    ]


def test_further_columns_are_kept(questions: str):
    assert load(questions, keep_columns=["level"]).train[0]["level"] == 0  # ours wins
    record = {"prompt": "a", "answer": "1", "source": "book"}
    settings = HubSettings(path="x.jsonl", keep_columns=["source"])
    assert make_rows([record], settings, "train")[0]["source"] == "book"


def test_copies_of_a_question_stay_on_one_side(tmp_path: Path):
    path = write(tmp_path / "twice.jsonl", maths(20) * 2)
    task = load(path, test_size=5)
    assert (len(task.test), len(task.dev), len(task.train)) == (5, 4, 22)
    assert not prompts(task.train) & (prompts(task.test) | prompts(task.dev))


@pytest.mark.parametrize(
    ("value", "level"), [(5, 5), (3.0, 3), ("Level 4", 4), ("Level ?", 0), ("12", 12)]
)
def test_levels_are_read_from_numbers_and_texts(value: Any, level: int):
    settings = HubSettings(path="x.jsonl", level_column="level")
    (row,) = make_rows([{"prompt": "a", "answer": "1", "level": value}], settings, "train")
    assert row["level"] == level


def test_a_missing_column_names_the_nearest(questions: str):
    with pytest.raises(ConfigError, match=r"prompt_column=problm: .* Did you mean 'problem'"):
        load(questions, prompt_column="problm")


def test_a_missing_file_and_too_large_a_split(questions: str, tmp_path: Path):
    with pytest.raises(ConfigError, match="there is no such file"):
        load(str(tmp_path / "none.jsonl"))
    with pytest.raises(ConfigError, match="dev_size=100: of 54 questions"):
        load(questions, dev_size=100)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"path": ""}, "path is not set"),
        ({"template": "Q"}, "expected {question}"),
        ({"system": "x"}, "needs chat=true"),
        ({"levels": [3]}, "needs level_column"),
        ({"rewards": []}, "at least one name"),
        ({"max_completion_tokens": 0}, "1 or more"),
        ({"answer_how": "guess"}, "answer_how"),
    ],
)
def test_settings_that_do_not_go_together(options: dict[str, Any], part: str):
    with pytest.raises(ConfigError, match=part):
        make_task("hub", {"path": "x.jsonl", **options})


def test_offline_says_what_was_expected(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"cannot be loaded: .* a network, or a local file"):
        load(str(tmp_path / "folder"))
