"""`task=reasoning_gym`: splits, levels, prompts, and what is said of a wrong name or option."""

import json
from typing import Any

import pytest

import rewards
from data.tasks import Task, make_task
from rewards.errors import ConfigError

pytest.importorskip("reasoning_gym")

SIZES = {"train_size": 48, "dev_size": 8, "test_size": 8}


def load(seed: int = 0, **options: Any) -> Task:
    return make_task("reasoning_gym", {"dataset": "chain_sum", **SIZES, **options}, seed)


def test_splits_are_disjoint_and_follow_the_seed():
    task = load()
    assert (len(task.train), len(task.dev), len(task.test)) == (48, 8, 8)
    sides = [{row["id"] for row in rows} for rows in (task.train, task.dev, task.test)]
    assert (len(sides[1]), len(sides[2])) == (8, 8)
    assert not sides[0] & (sides[1] | sides[2])
    assert not sides[1] & sides[2]
    assert load() == task
    other = {row["id"] for row in load(seed=1).train}
    assert len(other & sides[0]) < 5  # neighbouring seeds are not shifted copies


def test_more_training_rows_leave_the_held_out_ones_as_they_are():
    small, large = load(), load(train_size=96)
    assert [row["prompt"] for row in small.test] == [row["prompt"] for row in large.test]


def test_its_own_reward_gives_every_gold_answer_full_marks():
    task = load(form="boxed", levels=[0, 1])
    assert task.rewards == ("reasoning_gym",)
    rows = [*task.train, *task.dev, *task.test]
    texts = [rf"\boxed{{{row['answer']}}}" for row in rows]
    scores = rewards.get("reasoning_gym")(texts, source=[row["source"] for row in rows])
    assert scores == [1.0] * len(rows)


def test_levels_are_of_the_curriculum_and_shared_out_evenly():
    task = load(levels=[0, 3])
    assert sum(row["level"] == 3 for row in task.train) == 24
    assert sum(row["level"] == 3 for row in task.test) == 4
    terms = {
        level: {row["prompt"].count(" + ") + row["prompt"].count(" - ") + 1 for row in task.train
                if row["level"] == level}
        for level in (0, 3)
    }  # fmt: skip
    assert terms == {0: {2}, 3: {5}}


def test_a_small_space_repeats_in_train_and_never_across():
    options = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}
    task = load(options=options, train_size=400)
    train = {row["id"] for row in task.train}
    assert len(train) < 400
    assert not train & {row["id"] for row in [*task.dev, *task.test]}
    with pytest.raises(ConfigError, match=r"has only .* different questions; hold out fewer"):
        load(options=options, test_size=300)


def test_prompts():
    plain = load().train[0]["prompt"]
    assert plain.endswith("=\n\nGive the final answer between <answer> and </answer>.")
    chat = load(chat=True, system="Think.", form="final", template="{form} {question}").train[0]
    assert chat["prompt"][0] == {"role": "system", "content": "Think."}
    assert chat["prompt"][1]["content"].startswith("Give the final answer and nothing else. State")


def test_questions_without_a_single_answer():
    task = make_task("reasoning_gym", {"dataset": "graph_color", **SIZES})
    assert task.train[0]["answer"] is None
    assert json.loads(task.train[0]["source"])["source"]["name"] == "graph_color"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dataset": ""}, "add task.name=NAME"),
        ({"dataset": "chain_sums"}, "Did you mean 'chain_sum'?"),
        ({"options": {"max_term": 3}}, "Did you mean 'max_terms'?"),
        ({"options": {"max_terms": 1}}, "refuses its options: max_terms must be >= min_terms"),
        ({"options": {"max_terms": "a"}}, "refuses its options: '>=' not supported"),
        ({"options": {"seed": 1}}, "follows from seed="),
        ({"levels": [11]}, "expected different numbers from 0 to 10"),
        ({"levels": [1, 1]}, "expected different numbers"),
        ({"dataset": "composite"}, "refuses its options: Must specify at least one dataset"),
        ({"template": "x"}, "expected {question}"),
        ({"system": "x"}, "needs chat=true"),
        ({"train_size": 0}, "train_size=0"),
        ({"max_completion_tokens": 0}, "1 or more"),
    ],
)
def test_what_is_wrong_is_said(options: dict[str, Any], said: str):
    with pytest.raises(ConfigError) as error:
        load(**options)
    assert said in str(error.value)
