"""Evaluation: every question once whatever the number of processes, and what is shown of it."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from data.tasks import Task
from rewards.errors import ConfigError
from rlconf.evaluation.evaluate import (
    cells,
    check_readable,
    longest,
    measure,
    questions,
    sentence,
    share,
    table,
)
from rlconf.evaluation.evaluations import outcomes_of
from rlconf.runs import launch
from rlconf.runs.launch import World
from rlconf.settings.compose import compose
from rlconf.settings.schema import EvaluateSection

ROWS = [
    {"prompt": f"{n}>", "answer": str(n % 10), "level": 1 + n % 2, "id": f"q{n}"} for n in range(6)
]
TASK = Task("digits", train=ROWS, dev=[], test=ROWS, rewards=("exact",), max_completion_tokens=3)


def first_digit(completions, answer, **_):
    return [float(text[:1] == gold) for text, gold in zip(completions, answer, strict=True)]


def run(make_model, tokenizer, world, **settings):
    section = EvaluateSection(**({"samples": 4, "ks": [1, 4]} | settings))
    return measure(
        make_model(), tokenizer, TASK, first_digit, section, max_new_tokens=3, seed=1, world=world
    )


def test_counts_questions_samples_and_levels(make_model, tokenizer):
    result = run(make_model, tokenizer, World(1, 0, "NO", "cpu"))
    assert (result["questions"], result["sampled"]["samples"]) == (6, 24)
    assert list(result["sampled"]["levels"]) == ["1", "2"]
    assert result["sampled"]["levels"]["1"]["questions"] == 3
    assert result["greedy"]["samples"] == 6
    assert result["max_new_tokens"] == 3
    each = outcomes_of(result)
    assert [one.question_id for one in each] == [row["id"] for row in ROWS]
    assert [one.gold for one in each] == [row["answer"] for row in ROWS]
    assert sum(one.right for one in each) == round(24 * result["sampled"]["accuracy"]["value"])
    assert sum(bool(one.greedy) for one in each) == round(6 * result["greedy"]["accuracy"]["value"])


def test_limit_and_greedy_can_be_set(make_model, tokenizer):
    result = run(make_model, tokenizer, World(1, 0, "NO", "cpu"), limit=2, greedy=False)
    assert (result["questions"], result["greedy"]) == (2, None)


def test_a_question_that_the_tokenizer_cannot_read_is_named():
    from trainers.models.characters import character_tokenizer

    tokenizer = character_tokenizer("0123456789>")
    chat = {**ROWS[0], "prompt": [{"role": "user", "content": "7+7"}]}  # the template's business
    check_readable(tokenizer, [*ROWS, chat])
    with pytest.raises(ConfigError, match=r"cannot read the question '7\+7>'"):
        check_readable(tokenizer, [*ROWS, {**ROWS[0], "prompt": "7+7>"}])


def test_the_limit_of_a_completion_is_the_evaluations_the_trainings_or_the_tasks():
    for overrides, limit in (
        (["evaluate.max_new_tokens=5", "trainer.max_completion_length=9"], 5),
        (["trainer.max_completion_length=9"], 9),
        ([], 3),
    ):
        assert longest(compose(overrides), TASK) == limit


def test_questions_of_an_empty_split_are_refused():
    assert questions(compose(["evaluate.limit=2"]), TASK) == ROWS[:2]
    with pytest.raises(ConfigError, match="'digits' has no questions in its dev split"):
        questions(compose(["evaluate.split=dev"]), TASK)
    with pytest.raises(ConfigError, match="'digits' has no questions in its ood split"):
        questions(compose(["evaluate.split=ood"]), TASK)
    assert questions(compose(["evaluate.split=ood"]), replace(TASK, ood=ROWS[:1])) == ROWS[:1]


def test_processes_share_the_questions_out(make_model, tokenizer, monkeypatch):
    """Two ranks by hand: each samples its own rows, and together they cover all of them."""
    seen = []

    def collect(world, solutions):
        seen.append((world.rank, {solution.question_id for solution in solutions}))
        return solutions

    monkeypatch.setattr(launch, "gather_objects", collect)
    for rank in (0, 1):
        run(make_model, tokenizer, World(2, rank, "MULTI_CPU", "cpu"), greedy=False)
    assert seen == [(0, {"q0", "q2", "q4"}), (1, {"q1", "q3", "q5"})]


def result(value: float, *, greedy: bool = True) -> dict:
    """What `measure` returns, with one accuracy everywhere."""
    accuracy = {"value": value, "low": value - 0.1, "high": value + 0.1}
    return {
        "task": "sort",
        "split": "test",
        "questions": 100,
        "samples": 8,
        "sampled": {
            "accuracy": accuracy,
            "pass@k": {"1": value, "8": 0.9, "16": None},
            "levels": {"3": {"accuracy": accuracy}},
        },
        "greedy": {"accuracy": accuracy} if greedy else None,
    }


def test_an_accuracy_is_shown_with_its_interval():
    assert share({"value": 0.5, "low": 0.4, "high": 0.6}) == "0.500 [0.400, 0.600]"
    assert share(None) == "not scored"


def test_headline():
    assert sentence(result(0.5)) == (
        "sampled accuracy 0.500 [0.400, 0.600], greedy 0.500 [0.400, 0.600] "
        "(sort, test split, 100 questions x 8 samples)"
    )
    assert "greedy" not in sentence(result(0.5, greedy=False))


def test_cells_leave_out_what_says_nothing():
    assert cells(result(0.5)) == {
        "sampled": "0.500 [0.400, 0.600]",
        "greedy": "0.500 [0.400, 0.600]",
        "pass@8": "0.900",  # not pass@1, which is the accuracy; not pass@16 of 8 samples
        "level 3": "0.500 [0.400, 0.600]",
    }


def test_table_puts_evaluations_side_by_side():
    stream = io.StringIO()
    Console(file=stream, width=90).print(
        table({"before": result(0.2, greedy=False), "after": result(0.8)})
    )
    text = stream.getvalue()
    assert "before" in text
    assert "0.200 [0.100, 0.300] │ 0.800 [0.700, 0.900]" in text
