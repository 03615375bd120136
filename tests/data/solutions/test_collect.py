"""Sampling into a file: resumed and shared out, the file is the same."""

import json
import threading
from collections import Counter
from dataclasses import replace
from functools import partial

import pytest

from data.solutions import Solution, read_solutions, sample, sample_to_file, score_to_file
from data.tasks import make_task
from rewards.errors import ConfigError
from trainers.models.tiny import TinySettings, build_tiny

TASK = make_task("sort", {"train_size": 8, "dev_size": 0, "test_size": 10})
IDENTITY = {"model": "m", "seed": 0, "levels": (3, 4)}


def solve(rows):
    """Two solutions of each row: the answer, and one that is cut off and wrong."""
    return [
        Solution(
            question_id=row["id"],
            index=index,
            prompt_ids=[1, 2],
            completion_ids=[3] * (index + 1),
            text=row["answer"] if index == 0 else "x",
            finish="stop" if index == 0 else "length",
            log_probs=[-0.5] * (index + 1),
            entropy=[0.1] * (index + 1),
            gold=row["answer"],
            level=row["level"],
        )
        for row in rows
        for index in range(2)
    ]


def exact(completions, answer, **_):
    return [float(text == gold) for text, gold in zip(completions, answer, strict=True)]


def collect(path, draw=solve, rows=TASK.test, **options):
    settings = {"reward": exact, "identity": IDENTITY, "questions_per_part": 3} | options
    return sample_to_file(path, draw, rows, **settings)


def test_the_file_and_its_manifest(tmp_path):
    path = tmp_path / "new" / "s.parquet"
    told = []
    manifest = collect(path, progress=lambda done, total: told.append((done, total)))
    found = read_solutions(path)
    assert [(one.question_id, one.index) for one in found] == [
        (row["id"], index) for row in TASK.test for index in range(2)
    ]
    assert [one.verdict for one in found] == [True, False] * 10
    assert told == [(3, 10), (6, 10), (9, 10), (10, 10)]
    assert manifest == json.loads(path.with_suffix(".json").read_text())
    counts = {"questions": 10, "solutions": 20, "right": 10, "wrong": 10, "unscored": 0}
    assert manifest.items() >= {**counts, "cut_off": 10, "tokens": 30}.items()
    assert manifest["accuracy"]["value"] == 0.5
    assert manifest["accuracy"]["low"] < 0.5 < manifest["accuracy"]["high"]
    assert set(manifest["levels"]) == {str(row["level"]) for row in TASK.test}
    assert manifest["identity"]["levels"] == [3, 4]
    assert sorted(file.name for file in path.parent.iterdir()) == ["s.json", "s.parquet"]


def test_an_interrupted_call_goes_on_where_it_was(tmp_path):
    asked = Counter()

    def stumble(rows, after):
        if len(asked) >= after:
            raise KeyboardInterrupt
        asked.update(row["id"] for row in rows)
        return solve(rows)

    with pytest.raises(KeyboardInterrupt):
        collect(tmp_path / "s.parquet", partial(stumble, after=6))
    assert not (tmp_path / "s.parquet").exists()
    collect(tmp_path / "s.parquet", partial(stumble, after=99))
    assert asked == Counter(row["id"] for row in TASK.test)  # each once
    collect(tmp_path / "whole.parquet")
    assert read_solutions(tmp_path / "s.parquet") == read_solutions(tmp_path / "whole.parquet")


def test_a_finished_file_is_not_drawn_again(tmp_path):
    first = collect(tmp_path / "s.parquet")
    assert collect(tmp_path / "s.parquet", lambda rows: pytest.fail("drawn again")) == first


@pytest.mark.parametrize("ranks", [2, 3, 7])
def test_the_file_does_not_depend_on_the_number_of_workers(tmp_path, ranks):
    settings = TinySettings(hidden=16, layers=1, heads=2, intermediate=32, warm_steps=0)
    draw = partial(sample, *build_tiny(settings, TASK, 0), samples=2, max_new_tokens=4)
    collect(tmp_path / "one.parquet", draw)
    many = tmp_path / "many.parquet"
    for rank in range(1, ranks):
        _up_to_the_wait(many, draw, rank=rank, ranks=ranks)
    collect(many, draw, rank=0, ranks=ranks)  # the first joins what all have drawn
    one = tmp_path / "one.parquet"
    assert one.read_bytes() == many.read_bytes()
    assert read_solutions(one)[0].completion_ids


def _up_to_the_wait(path, draw, **options):
    """One process's share; the others are not there yet, so it gets no further than waiting."""

    class Waiting(Exception):
        pass

    def wait():
        raise Waiting

    with pytest.raises(Waiting):
        collect(path, draw, wait=wait, **options)


def test_other_settings_are_never_mixed_in(tmp_path):
    def stop(rows):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect(tmp_path / "s.parquet", stop)
    with pytest.raises(ConfigError, match="seed: 0 there, 1 now"):
        collect(tmp_path / "s.parquet", identity={**IDENTITY, "seed": 1})
    collect(tmp_path / "s.parquet")
    with pytest.raises(ConfigError, match=r"other settings .*delete .*s\.parquet"):
        collect(tmp_path / "s.parquet", identity={**IDENTITY, "seed": 1})
    with pytest.raises(ConfigError, match="questions_sha256"):
        collect(tmp_path / "s.parquet", rows=TASK.test[:5])


def test_a_file_without_its_manifest_is_left_alone(tmp_path):
    collect(tmp_path / "s.parquet")
    (tmp_path / "s.json").unlink()
    with pytest.raises(ConfigError, match=r"is there without s\.json"):
        collect(tmp_path / "s.parquet")


def test_an_interruption_after_the_file_leaves_no_parts(tmp_path):
    collect(tmp_path / "s.parquet")
    (tmp_path / "s.parquet.parts").mkdir()
    collect(tmp_path / "s.parquet")
    assert not (tmp_path / "s.parquet.parts").exists()


def test_a_question_that_occurs_again_is_asked_once(tmp_path):
    manifest = collect(tmp_path / "s.parquet", rows=[*TASK.test, *TASK.test[:4]])
    assert manifest["questions"] == 10


def test_no_questions(tmp_path):
    manifest = collect(tmp_path / "s.parquet", rows=[])
    assert (manifest["solutions"], manifest["accuracy"]) == (0, None)
    assert read_solutions(tmp_path / "s.parquet") == []


def scored(path, solutions, **options):
    """Confidence is the length of the tokens scored together: their company shows."""

    def score(chunk):
        assert len({one.question_id for one in chunk}) <= 3
        return [replace(one, confidence={"crew": len(chunk) / 100}) for one in chunk]

    settings = {"identity": {"model": "m"}, "questions_per_part": 3} | options
    return score_to_file(path, solutions, score, **settings)


def test_scores_into_a_file_whatever_the_number_of_ranks(tmp_path):
    collect(tmp_path / "s.parquet")
    sampled = read_solutions(tmp_path / "s.parquet")
    manifest = scored(tmp_path / "one.parquet", sampled)
    found = read_solutions(tmp_path / "one.parquet")
    assert [one.confidence for one in found] == [{"crew": 0.06}] * 18 + [{"crew": 0.02}] * 2
    assert [replace(one, confidence={}) for one in found] == sampled
    assert (manifest["solutions"], manifest["right"]) == (20, 10)

    # Another order of solutions within a question, another number of ranks: the same file.
    barrier = threading.Barrier(2)
    ranks = [
        threading.Thread(
            target=scored,
            args=(tmp_path / "two.parquet", sampled),
            kwargs={"rank": rank, "ranks": 2, "wait": barrier.wait},
        )
        for rank in range(2)
    ]
    for one in ranks:
        one.start()
    for one in ranks:
        one.join()
    assert (tmp_path / "two.parquet").read_bytes() == (tmp_path / "one.parquet").read_bytes()


def test_scores_of_other_solutions_are_refused(tmp_path):
    collect(tmp_path / "s.parquet")
    sampled = read_solutions(tmp_path / "s.parquet")
    first = scored(tmp_path / "c.parquet", sampled)
    assert scored(tmp_path / "c.parquet", sampled) == first
    other = [replace(one, verdict=not one.verdict) for one in sampled]
    for changes in ({"solutions": other}, {"identity": {"model": "n"}}):
        with pytest.raises(ConfigError, match="begun with other settings"):
            scored(tmp_path / "c.parquet", **({"solutions": sampled} | changes))
