"""`task=file`: columns, answers, prompts, examples, splits, and what is said of malformed rows."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from data.tasks import Task, make_task
from rewards.errors import ConfigError


def write(path: Path, records: list[Any]) -> str:
    path.write_text("\n".join(json.dumps(record) for record in records))
    return str(path)


def maths(count: int) -> list[dict[str, Any]]:
    return [
        {
            "problem": f"What is {n} + 1?",
            "solution": rf"It is \boxed{{{n + 1}}}.",
            "level": f"Level {n % 5 + 1}",
            "book": f"book {n // 10}",
        }
        for n in range(count)
    ]


COLUMNS = {"prompt_column": "problem", "answer_column": "solution", "answer_how": "boxed"}


@pytest.fixture
def questions(tmp_path: Path) -> str:
    return write(tmp_path / "questions.jsonl", maths(60))


def load(path: str, seed: int = 0, **options: Any) -> Task:
    return make_task("file", {"path": path, "dev_size": 4, **COLUMNS, **options}, seed)


def one(tmp_path: Path, record: dict[str, Any], **options: Any) -> dict[str, Any]:
    """The only row of a file of one record."""
    path = write(tmp_path / "one.jsonl", [record])
    return make_task("file", {"path": path, "test_size": 0, "dev_size": 0, **options}).train[0]


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
    assert (task.rewards, task.max_completion_tokens, task.notes) == (("math",), 512, ())


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".tsv", ".parquet"])
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, questions: str, suffix: str):
    records, path = maths(60), tmp_path / f"same{suffix}"
    if suffix == ".json":
        path.write_text(json.dumps(records, indent=2))
    elif suffix == ".parquet":
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(records), path)
    elif suffix == ".jsonl":
        path.write_text(Path(questions).read_text())
    else:
        with path.open("w", newline="") as file:
            delimiter = "\t" if suffix == ".tsv" else ","
            writer = csv.DictWriter(file, list(records[0]), delimiter=delimiter)
            writer.writeheader()
            writer.writerows(records)
    same, first = (load(one, level_column="level") for one in (str(path), questions))
    assert (same.train, same.dev, same.test) == (first.train, first.dev, first.test)


@pytest.mark.parametrize(
    ("value", "how", "pattern", "answer"),
    [
        ("so\n#### 1,080", "hash", None, "1,080"),
        (r"so \boxed{\frac12}", "boxed", None, r"\frac12"),
        ("first 3, then 4.", "number", None, "4"),
        ("a <answer>x</answer>", "tag", None, "x"),
        (" plain ", "final", None, "plain"),
        ("A: 5\nA: 6", "regex", r"A: (\d+)", "6"),
        (7, "final", None, "7"),
        (7.0, "final", None, "7"),
        (0.5, "final", None, "0.5"),
        (10**30, "final", None, "1" + "0" * 30),
    ],
)
def test_the_answer_is_found_by_name(
    tmp_path: Path, value: Any, how: str, pattern: str | None, answer: str
):
    record = {"prompt": "q", "answer": value}
    assert one(tmp_path, record, answer_how=how, answer_pattern=pattern)["answer"] == answer


def test_templates_chats_and_ready_made_messages(tmp_path: Path):
    record = {"prompt": "1 {x}?", "answer": "1"}
    plain = one(tmp_path, record, template="Q: {question}\nA:")
    assert plain["prompt"] == "Q: 1 {x}?\nA:"
    system, user = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "1 {x}?"}
    assert one(tmp_path, record, chat=True, system="Be brief.")["prompt"] == [system, user]
    ready = {"prompt": [user], "answer": "1"}
    assert one(tmp_path, ready)["prompt"] == [user]
    assert one(tmp_path, ready, chat=True, system="Be brief.")["prompt"] == [system, user]
    own = {"prompt": [{"role": "system", "content": "Mine."}, user], "answer": "1"}
    assert one(tmp_path, own, chat=True, system="Be brief.")["prompt"] == own["prompt"]
    with pytest.raises(ConfigError, match="holds chat messages, which are sent as they are"):
        one(tmp_path, ready, template="Q: {question}")


def test_examples_come_from_train_and_leave_it(questions: str):
    task = load(questions, few_shot=2, template="Q: {question}", few_shot_completion=" {answer}")
    assert (len(task.train), len(task.dev), len(task.test)) == (48, 4, 6)
    *examples, own = task.train[0]["prompt"].split("\n\n")
    asked = {text.partition("? ")[0] + "?" for text in examples}
    assert len(asked) == 2
    assert own.startswith("Q: ")
    for rows in (task.train, task.dev, task.test):
        assert all(row["prompt"].split("\n\n")[:2] == examples for row in rows)
        assert not asked & {row["prompt"].split("\n\n")[2] for row in rows}
    assert load(questions, few_shot=2).train == load(questions, few_shot=2).train
    assert load(questions, few_shot=2).train != load(questions, 1, few_shot=2).train
    assert "2 training rows serve as examples and leave training" in task.notes


def test_examples_of_a_file_are_chat_turns_and_never_test_questions(questions: str, tmp_path: Path):
    test = load(questions, chat=True).test[0]["prompt"][-1]["content"]
    held = [record for record in maths(60) if record["problem"] == test]
    fresh = {"problem": "Other?", "solution": r"\boxed{1}"}
    path = write(tmp_path / "shots.jsonl", [*held, fresh])
    task = load(questions, chat=True, few_shot=1, few_shot_path=path, level_column="level")
    assert task.train[0]["prompt"][:2] == [
        {"role": "user", "content": "Other?"},
        {"role": "assistant", "content": r"\boxed{1}"},
    ]
    assert "1 examples are dev or test questions and not used" in task.notes
    with pytest.raises(ConfigError, match="few_shot=2: there are 1 questions in"):
        load(questions, chat=True, few_shot=2, few_shot_path=path)


def test_levels_are_filtered_and_counted(questions: str):
    task = load(questions, level_column="level", levels=[3, 5])
    assert {row["level"] for row in task.train} == {3, 5}
    assert len(task.train) + len(task.dev) + len(task.test) == 24  # 2 levels of 12
    assert task.notes == ("36 of 60 rows are of another level and left out",)


@pytest.mark.parametrize(
    ("value", "level"), [(5, 5), (3.0, 3), ("Level 4", 4), ("Level ?", 0), ("12", 12)]
)
def test_levels_are_read_from_numbers_and_texts(tmp_path: Path, value: Any, level: int):
    record = {"prompt": "a", "answer": "1", "level": value}
    assert one(tmp_path, record, level_column="level")["level"] == level


def test_further_columns_are_kept(tmp_path: Path):
    record = {"prompt": "a", "answer": "1", "source": "book", "level": "Level 2"}
    assert one(tmp_path, record, keep_columns=["source"])["source"] == "book"
    assert one(tmp_path, record, keep_columns=["level"])["level"] == 0  # ours wins


def test_a_small_file_has_small_held_out_splits(tmp_path: Path):
    path = write(tmp_path / "q.jsonl", maths(20))
    task = load(path, dev_size=None)
    assert (len(task.train), len(task.dev), len(task.test)) == (17, 1, 2)


def test_a_model_of_single_characters_can_be_built(questions: str):
    from random import Random

    task = load(questions)
    assert task.alphabet is not None
    assert set("What is 0123456789+?") - {" "} <= set(task.alphabet)
    assert task.demonstrate is not None
    assert task.demonstrate(task.train[0], Random(0)) in {row["answer"] for row in task.train}
    assert load(questions, chat=True).alphabet is None


MALFORMED = {
    "no prompt column": ({"answer": "1"}, "column 'prompt': is missing; the row has answer"),
    "null": (
        {"prompt": "a", "answer": None},
        "column 'answer': is null; expected text or a number",
    ),
    "NaN": ({"prompt": "a", "answer": float("nan")}, "column 'answer': is NaN; expected text"),
    "empty": ({"prompt": " ", "answer": "1"}, "column 'prompt': is text, ' '; expected text"),
    "number": ({"prompt": 3, "answer": "1"}, "column 'prompt': is a number, 3; expected text"),
    "true": ({"prompt": "a", "answer": True}, "column 'answer': is true or false, True; expected"),
    "list": ({"prompt": "a", "answer": ["1"]}, "column 'answer': is a list, ['1']; expected text"),
    "not found": ({"prompt": "a", "answer": "A: ?"}, "no answer is found by answer_how=regex (A: "),
    "surrogate": ({"prompt": "a\ud800", "answer": "A: 1"}, "column 'prompt': is not UTF-8"),
    "array": ([1, 2], "is [1, 2]; expected an object, such as"),
    "messages": ({"prompt": [{"role": "user"}], "answer": "1"}, "expected messages such as"),
    "unasked": (
        {"prompt": [{"role": "assistant", "content": "x"}], "answer": "1"},
        "the last message is by 'assistant'; expected the user's",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_row_is_named_by_file_line_and_column(tmp_path: Path, name: str):
    record, said = MALFORMED[name]
    good = {"prompt": "q", "answer": "A: 2"}
    path = write(tmp_path / "q.jsonl", [good, record, good])
    how = {"answer_how": "regex", "answer_pattern": r"A: (\d+)"} if name == "not found" else {}
    with pytest.raises(ConfigError) as error:
        make_task("file", {"path": path, **how})
    text = str(error.value)
    assert "task file: 1 of 3 rows is malformed:" in text
    assert f"{path}, line 2" in text
    assert said in text
    assert "task.malformed=skip" in text


def test_all_malformed_rows_are_counted_and_some_listed(tmp_path: Path):
    records = [{"prompt": f"q{n}", "answer": "1" if n % 2 else None} for n in range(40)]
    path = write(tmp_path / "q.jsonl", records)
    with pytest.raises(ConfigError, match="20 of 40 rows are malformed") as error:
        make_task("file", {"path": path})
    assert str(error.value).count("line ") == 8
    assert "and 12 more" in str(error.value)
    task = make_task("file", {"path": path, "malformed": "skip"})
    assert len(task.train) + len(task.dev) + len(task.test) == 20
    assert task.notes[0].startswith("20 of 40 rows are malformed and left out:")


def test_a_kept_column_has_one_type_and_fits_the_trainers_table(tmp_path: Path):
    from datasets import Dataset

    values = ["a", None, 3, 10**30, "b", "\ud800"]
    records = [{"prompt": f"q{n}", "answer": "1", "x": x} for n, x in enumerate(values)]
    path = write(tmp_path / "q.jsonl", records)
    with pytest.raises(ConfigError) as error:
        make_task("file", {"path": path, "keep_columns": ["x"]})
    text = str(error.value)
    assert "3 of 6 rows are malformed" in text
    assert "line 3, column 'x': is a number, 3, and in earlier rows it was text" in text
    options = {"path": path, "keep_columns": ["x"], "malformed": "skip", "test_size": 0}
    task = make_task("file", {**options, "dev_size": 0})
    assert Dataset.from_list(task.train)["x"] == ["a", None, "b"]


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
        ({"answer_how": "regex"}, "needs a pattern"),
        ({"answer_how": "regex", "answer_pattern": "("}, "no regular expression"),
        ({"answer_pattern": "x"}, "belongs to how=regex"),
        ({"few_shot": -1}, "0 or more"),
        ({"few_shot_path": "x.jsonl"}, "needs few_shot=N"),
        ({"few_shot_completion": "x"}, "expected {solution} or {answer}"),
        ({"split_column": "s", "test_path": "t.jsonl"}, "divides one source"),
        ({"malformed": "ignore"}, "malformed"),
    ],
)
def test_settings_that_do_not_go_together(options: dict[str, Any], part: str):
    with pytest.raises(ConfigError, match=part):
        make_task("file", {"path": "x.jsonl", **options})
