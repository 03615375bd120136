"""The published layouts, in small files written like them; the real WikiTableQuestions sample."""

import json
from pathlib import Path

import pytest

import rewards
from data.tasks import make_task
from rewards.errors import ConfigError
from rewards.table import read_gold, write_reply

SAMPLE = Path(__file__).resolve().parents[5] / "shared" / "data" / "wtq"
SPLITS = ("train", "dev", "test")


def write(folder, name, content):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))


def load(source, path, **options):
    return make_task("tables", {"source": source, "path": str(path), **options})


def judged(row, *answers):
    """What the benchmark's own rules say of some answers."""
    count = len(answers)
    columns = {key: [value] * count for key, value in row.items() if key != "prompt"}
    exact = rewards.get("table_exact", profile="row")
    return exact([write_reply([answer]) for answer in answers], **columns)


def gold_is_right(rows):
    texts = [write_reply(read_gold(row["gold"])) for row in rows]
    columns = {key: [row.get(key) for row in rows] for key in rows[0] if key != "prompt"}
    return set(rewards.get("table_exact", profile="row")(texts, **columns)) == {1.0}


@pytest.fixture
def wtq(tmp_path):
    header = "id\tutterance\tcontext\ttargetValue"
    write(tmp_path, "csv/200-csv/1.csv", '"Year","Song"\n"1999","Say \\"x\\""\n"2000","a, b\nc"\n')
    write(tmp_path, "csv/200-csv/2.csv", '"Year","Pop."\n"1999","12,467"\n"2000","5"\n')
    write(tmp_path, "csv/200-csv/3.csv", '"k","v"\n"a","1"\n')
    write(tmp_path, "csv/200-csv/4.csv", '"k","v"\n"z","1"\n')
    write(
        tmp_path,
        "data/random-split-1-train.tsv",
        f'{header}\nnt-1\twhich "song" was first?\tcsv/200-csv/1.csv\tSay "x"\n'
        "nt-2\twhat has 1?\tcsv/200-csv/4.csv\tz\n",
    )
    write(
        tmp_path,
        "data/random-split-1-dev.tsv",
        f"{header}\nnt-3\twhich came last?\tcsv/200-csv/1.csv\ta, b\\nc\n",
    )
    write(
        tmp_path,
        "tagged/data/pristine-unseen-tables.tagged",
        f"{header}\ttokens\ttargetCanon\ttargetCanonType\n"
        "nu-1\thow many in 1999?\tcsv/200-csv/2.csv\t12,467\thow|many\t12467.0\tnumber\n"
        "nu-2\twhich?\tcsv/200-csv/3.csv\ta|b\\pc\twhich\ta|b\\pc\tstring\n",
    )
    return tmp_path


def test_wtq(wtq):
    task = load("wtq", wtq)
    assert [row["name"] for row in task.test] == ["nu-1", "nu-2"]
    first, second = task.test
    assert (first["gold"], first["canon"]) == ('["12,467"]', '["12467.0"]')
    assert json.loads(second["gold"]) == ["a", "b|c"]
    assert "| 1999 | 12,467 |" in first["prompt"]
    assert first["prompt"].endswith("Question: how many in 1999?\n")
    # The rules help a gold answer that has a canonical value.
    assert judged(first, "12467", "12,467", 12467, "12468") == [1.0, 1.0, 1.0, 0.0]
    assert [row["gold"] for row in task.dev] == ['["a, b\\nc"]']
    assert "a, b<br>c" in task.dev[0]["prompt"]
    # The other training question is about the table of the dev question.
    assert [row["name"] for row in task.train] == ["nt-2"]
    assert task.notes == ("1 of 2 train rows share a question or key with dev and are left out",)
    assert gold_is_right([*task.train, *task.dev, *task.test])


def test_a_training_table_that_is_held_out_leaves_training_by_its_table(wtq):
    header = "id\tutterance\tcontext\ttargetValue\n"
    row = "nt-9\tanother question\tcsv/200-csv/3.csv\ta\n"
    train = wtq / "data/random-split-1-train.tsv"
    train.write_text(header + row + row.replace("nt-9", "nt-10").replace("3.csv", "4.csv"))
    task = load("wtq", wtq)
    assert [row["name"] for row in task.train] == ["nt-10"]


def test_tabfact(tmp_path):
    write(tmp_path, "data/all_csv/1-1.html.csv", 'team#won\n"reds#5\nblues#3\n')
    write(tmp_path, "data/all_csv/1-2.html.csv", "team#won\ngreens#1\n")
    write(tmp_path, "data/all_csv/1-3.html.csv", "team#won\nwhites#2\n")
    for split, name in (("train", "1-1"), ("val", "1-2"), ("test", "1-3")):
        statements = [f"the #team;0,0# of {split} won", f"{split} lost"]
        found = {f"{name}.html.csv": [statements, [1, 0], f"{split} league"]}
        write(tmp_path, f"tokenized_data/{split}_examples.json", found)
    task = load("tabfact", tmp_path)
    assert [len(getattr(task, split)) for split in SPLITS] == [2, 2, 2]
    first, second = task.train
    assert (first["gold"], second["gold"]) == ('["entailed"]', '["refuted"]')
    assert 'train league\n| team | won |\n| --- | --- |\n| "reds | 5 |' in first["prompt"]
    assert "Answer entailed or refuted.\nthe team of train won\n" in first["prompt"]
    assert judged(first, "true", "refuted", 1) == [1.0, 0.0, 1.0]
    assert task.dev[0]["table_id"] == "1-2.html.csv"


def test_hitab(tmp_path):
    table = {
        "title": "workers",
        "texts": [["", "men", ""], ["", "full", "part"], ["a", "1", "2"], ["b", "3", "4"]],
        "merged_regions": [{"first_row": 0, "last_row": 0, "first_column": 1, "last_column": 2}],
        "top_header_rows_num": 2,
        "left_header_columns_num": 1,
    }
    for number, split in enumerate(SPLITS):
        sample = {
            "id": f"s{number}",
            "table_id": f"t{number}",
            "question": f"how many in {split}?",
            "answer": [154983.0] if number else ["a", "b"],
            "aggregation": ["none"] if number else ["sum", "div"],
        }
        write(tmp_path, f"data/{split}_samples.jsonl", json.dumps(sample) + "\n")
        write(tmp_path, f"data/tables/raw/t{number}.json", table)
    task = load("hitab", tmp_path)
    (row,) = task.train
    assert "workers\n|  | men / full | men / part |" in row["prompt"]
    assert (row["level"], task.dev[0]["level"]) == (2, 0)
    # In order, as HiTab has it.
    exact = rewards.get("table_exact", profile="row")
    texts = [write_reply(["a", "b"]), write_reply(["b", "a"])]
    assert exact(texts, gold=[row["gold"]] * 2, metric=["hitab"] * 2) == [1.0, 0.0]
    assert judged(task.test[0], "154,983", "154983.5") == [1.0, 0.0]


def test_finqa(tmp_path):
    for number, split in enumerate(SPLITS):
        page = {
            "pre_text": ["before .", "it ."],
            "post_text": ["after ."],
            "filename": f"X/201{number}/page_1.pdf",
            "id": f"X/201{number}/page_1.pdf-1",
            "table": [["", "2016", "2015"], ["net revenue", "$ 5829", "$ 5735"]],
            "qa": {
                "question": "what is the growth?",
                "program": "subtract(5829, 5735), divide(#0, 5735)",
                "exe_ans": 0.01639,
            },
        }
        write(tmp_path, f"dataset/{split}.json", [page])
    task = load("finqa", tmp_path)
    (row,) = task.train
    assert (row["level"], row["gold"]) == (2, "[0.01639]")
    assert "before . it .\n\n|  | 2016 | 2015 |" in row["prompt"]
    assert "| net revenue | $ 5829 | $ 5735 |\n\nafter .\n\nQuestion: what is" in row["prompt"]
    program = "table_max(net revenue, none), subtract(#0, 5735), divide(#1, 5735)"
    assert judged(row, program, "1.64%", "0.0164", "0.05") == [1.0, 1.0, 1.0, 0.0]
    assert row["table_id"] == "X/2010/page_1.pdf"


def test_tabmwp(tmp_path):
    for number, split in enumerate(SPLITS):
        problem = {
            "question": f"How many in {split}?",
            "choices": ["5", "6"] if split == "test" else None,
            "answer": "1,250",
            "unit": "cars",
            "table_title": "Cars",
            "table": f"Day | Cars\nMonday | {number}\nTuesday | 2",
            "grade": 3,
        }
        write(tmp_path, f"data/tabmwp/problems_{split}.json", {str(number): problem})
    task = load("tabmwp", tmp_path)
    (row,) = task.train
    assert "Cars\n| Day | Cars |\n| --- | --- |\n| Monday | 0 |" in row["prompt"]
    assert (row["level"], row["name"], row["unit"]) == (3, "0", "cars")
    assert row["prompt"].endswith("How many in train? (Unit: cars)\n")
    assert task.test[0]["prompt"].endswith("(Unit: cars)\nOptions: 5, 6\n")
    assert judged(row, "1250", "$1,250.00", "1250 cars", "1251") == [1.0, 1.0, 1.0, 0.0]


# A benchmark as rows of a hub data set or a single file -------------------------------------------

RECORDS = {
    "wtq": {
        "id": "nt-0",
        "question": "which was last?",
        "answers": ["Turkish"],
        "table": {"header": ["Year", "Place"], "rows": [["2001", "Turkish"]], "name": "x"},
    },
    "tabfact": {
        "id": 0,
        "table_id": "2-1",
        "table_text": "year#venue\n2001#Ankara\n",
        "table_caption": "games",
        "statement": "2001 was in Ankara",
        "label": 1,
    },
    "hitab": {
        "id": "h",
        "table_id": "t",
        "question": "how many?",
        "answer": [3.0],
        "aggregation": ["none"],
        "table": {"texts": [["", "n"], ["a", "3"]], "top_header_rows_num": 1, "title": "x"},
    },
    "finqa": {
        "id": "f",
        "question": "what?",
        "answer": "yes",
        "table": [["", "2016"], ["net", "1"]],
        "pre_text": ["b"],
        "post_text": [],
        "program": "greater(1, 0)",
    },
    "tabmwp": {
        "id": "1",
        "question": "what?",
        "answer": "3/4",
        "unit": None,
        "choices": None,
        "table": "a | b\n1 | 2",
        "table_title": "t",
        "grade": 1,
    },
}


def many(source, count=12):
    """Copies of a record with tables of their own."""
    question = "statement" if source == "tabfact" else "question"
    found = []
    for number in range(count):
        record = json.loads(json.dumps(RECORDS[source]).replace("2001", str(2001 + number)))
        record[question] = f"{record[question]} {number}"
        if source == "finqa":
            record["table"][1][1] = str(number)
        if source == "tabmwp":
            record["table"] += str(number)
        if "table_id" in record:
            record["table_id"] += str(number)
        found.append(record)
    return found


@pytest.mark.parametrize("source", RECORDS)
def test_rows_of_a_file_or_of_the_hub(source, tmp_path, monkeypatch):
    rows = many(source)
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    task = load(source, file, dev_size=2, test_size=3)
    assert [len(getattr(task, split)) for split in SPLITS] == [7, 2, 3]
    assert {row["metric"] for row in task.train} == {source}
    assert gold_is_right([*task.train, *task.dev, *task.test])

    import datasets

    asked = []

    def load_dataset(path, subset, *, split, revision):
        asked.append((path, subset, split, revision))
        return {"train": rows[:6], "validation": rows[6:8], "test": rows[8:]}[split]

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.chdir(tmp_path)
    hub = load(source, "owner/name", revision="main")
    assert [len(getattr(hub, split)) for split in SPLITS] == [6, 2, 4]
    assert [one[2] for one in asked] == ["train", "validation", "test"]
    assert asked[0] == ("owner/name", None, "train", "main")
    other = load(source, "owner/name", files={"dev": "", "test": "validation"}, dev_size=1)
    assert [one[2] for one in asked[3:]] == ["train", "validation"]
    assert [len(getattr(other, split)) for split in SPLITS] == [5, 1, 2]


def test_columns_can_be_called_otherwise(tmp_path):
    file = tmp_path / "rows.jsonl"
    rows = [
        {
            "q": one["question"],
            "a": "['Turkish']",
            "t": {"header": ["k"], "rows": [[str(n)], ["x"]]},
        }
        for n, one in enumerate(many("wtq"))
    ]
    file.write_text("\n".join(map(json.dumps, rows)))
    fields = {"question": "q", "answer": "a", "table": "t"}
    task = load("wtq", file, fields=fields, dev_size=1, test_size=1)
    assert (len(task.train), task.train[0]["gold"]) == (10, '["Turkish"]')
    with pytest.raises(ConfigError, match=r"task\.fields\.questoin.*Did you mean 'question'"):
        load("wtq", file, fields={"questoin": "q"})
    with pytest.raises(
        ConfigError, match=r"line 1: has no column 'table' \(table\); it has q, a, t"
    ):
        load("wtq", file)


# What goes wrong ----------------------------------------------------------------------------------


def test_malformed_rows_are_counted_and_listed_or_left_out(wtq):
    file = wtq / "data/random-split-1-train.tsv"
    good = file.read_text()
    bad = "nt-5\tq\tcsv/200-csv/9.csv\ta\nnt-6\tq\n" + "nt-7\t \tcsv/200-csv/3.csv\ta\n"
    file.write_text(good + bad + "nt-8\tq\t../secret.csv\ta\n")
    with pytest.raises(ConfigError) as error:
        load("wtq", wtq)
    told = str(error.value)
    assert "task tables: 4 of 9 rows of wtq are malformed:" in told
    assert "line 4: the table csv/200-csv/9.csv is not in the folder" in told
    assert "line 5: has too few cells" in told
    assert "line 6: column 'utterance' holds ' '; expected text" in told
    assert "line 7: the table ../secret.csv is not in the folder" in told
    assert told.endswith("Correct them, or leave them out with task.malformed=skip.")
    task = load("wtq", wtq, malformed="skip")
    assert "4 of 9 rows of wtq are malformed and left out" in task.notes[0]


@pytest.mark.parametrize(
    ("policy", "left", "told"),
    [
        ("leave_out", 1, "test: 1 questions are about tables beyond max_rows=1, max_columns=12"),
        ("cut", 2, "max_columns=12 and shown in part"),
        ("stop", None, r"Raise the limits, or choose task\.too_large=leave_out or cut"),
    ],
)
def test_tables_beyond_the_limits(wtq, policy, left, told):
    options = {"max_rows": 1, "too_large": policy}
    (wtq / "data/random-split-1-train.tsv").write_text(
        "id\tutterance\tcontext\ttargetValue\nnt-1\twhat?\tcsv/200-csv/4.csv\ta\n"
    )
    if left is None:
        with pytest.raises(ConfigError, match=told):
            load("wtq", wtq, **options)
        return
    task = load("wtq", wtq, **options)
    assert len(task.test) == left
    assert any(told in note for note in task.notes)
    if policy == "cut":
        assert "\n(1 more row is not shown)\n" in task.test[0]["prompt"]


def test_a_folder_in_another_layout(tmp_path, wtq):
    with pytest.raises(
        ConfigError, match=r"published with dataset/train\.json, which is not there"
    ):
        load("finqa", wtq)
    with pytest.raises(ConfigError, match=r"task\.files\.tests: expected one of train, dev, test"):
        load("wtq", wtq, files={"tests": "x.tsv"})
    with pytest.raises(ConfigError, match=r"published with x\.tsv, which is not there"):
        load("wtq", wtq, files={"test": "x.tsv"})
    with pytest.raises(ConfigError, match="there is no such file or folder"):
        load("wtq", tmp_path / "nothing.jsonl")
    write(wtq, "dataset/train.json", {"not": "a list"})
    with pytest.raises(ConfigError, match=r"element 0: is 'not'; expected an object"):
        load("finqa", wtq)
    write(wtq, "dataset/train.json", "{")
    with pytest.raises(ConfigError, match=r"is not as finqa has it \(.*is not JSON"):
        load("finqa", wtq)


def test_a_split_that_is_not_there_is_held_out_by_table(wtq):
    (wtq / "data/random-split-1-dev.tsv").unlink()
    rows = ["id\tutterance\tcontext\ttargetValue"]
    for number in range(10, 18):
        write(wtq, f"csv/200-csv/{number}.csv", f'"k","v"\n"a","{number}"\n"b","1"\n')
        rows += [f"nt-{number}{n}\tq{n}?\tcsv/200-csv/{number}.csv\ta" for n in range(3)]
    (wtq / "data/random-split-1-train.tsv").write_text("\n".join(rows) + "\n")
    task = load("wtq", wtq, dev_size=4)
    assert any(
        note.startswith("dev: there is no data/random-split-1-dev.tsv") for note in task.notes
    )
    train, dev = ({row["table_id"] for row in rows} for rows in (task.train, task.dev))
    assert len(dev) == 2
    assert not train & dev


@pytest.mark.skipif(
    not SAMPLE.is_dir(), reason="needs ../shared/data/wtq, a sample of the data set"
)
def test_every_gold_answer_of_the_real_sample_is_right_by_the_official_rules():
    task = load("wtq", SAMPLE, max_rows=None, max_columns=None)
    assert [len(getattr(task, split)) for split in SPLITS] == [2129, 526, 598]
    assert task.notes == ()
    assert gold_is_right(task.test)
    assert gold_is_right([*task.train, *task.dev])
    tables = [{row["table_id"] for row in getattr(task, split)} for split in SPLITS]
    assert sum(map(len, tables)) == len(set().union(*tables))
