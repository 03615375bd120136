"""What supervised training learns from."""

from dataclasses import replace

import pytest

from data.demonstrations import as_texts, from_rows, from_solutions, sort_out
from data.solutions import Solution
from rewards.errors import ConfigError

ROW = {"prompt": "1+1=", "answer": "2", "level": 1, "id": "a"}
CHAT = {**ROW, "prompt": [{"role": "user", "content": "1+1"}], "id": "b"}
RIGHT = Solution("a", 0, [1, 2], [3, 4], "2", "stop", verdict=True)


def test_the_gold_answer_as_text_and_as_a_message():
    found, left_out = from_rows([ROW], template="\\boxed{{answer}}")
    assert found == [{"prompt": "1+1=", "completion": "\\boxed{2}"}]
    assert not left_out
    found, _ = from_rows([CHAT])
    assert found[0]["completion"] == [{"role": "assistant", "content": "2"}]


def test_a_column_of_demonstrations_goes_before_the_answer():
    rows = [{**ROW, "solution": "1 and 1 are 2", "working": "count"}]
    assert from_rows(rows, template="<{answer}>")[0][0]["completion"] == "1 and 1 are 2"
    assert from_rows(rows, column="working")[0][0]["completion"] == "count"
    assert from_rows([{**rows[0], "demonstration": "so"}])[0][0]["completion"] == "so"


def test_an_unknown_column_names_the_nearest():
    with pytest.raises(ConfigError, match=r"demonstrations\.column=solutoin.*solution"):
        from_rows([{**ROW, "solution": "2"}], column="solutoin")


def test_rows_without_a_demonstration_are_counted():
    rows = [{**ROW, "solution": text} for text in ("ok", " ", None)]
    found, left_out = from_rows(rows)
    assert (len(found), left_out) == (1, {"without solution": 2})
    with pytest.raises(ConfigError, match="no training row has a demonstration"):
        from_rows(rows[1:])
    with pytest.raises(ConfigError, match="no training row"):
        from_rows([])


def test_solutions_are_learnt_token_by_token():
    found, _ = from_solutions([RIGHT])
    assert found == [{"input_ids": [1, 2, 3, 4], "labels": [-100, -100, 3, 4]}]


def test_what_others_said_in_a_solution_is_read_and_not_learnt():
    told = replace(RIGHT, completion_ids=[3, 7, 4], mask=[1, 0, 1])
    found, _ = from_solutions([told])
    assert found == [{"input_ids": [1, 2, 3, 7, 4], "labels": [-100, -100, 3, -100, 4]}]
    with pytest.raises(ConfigError, match=r"said in them cannot be learnt as text.*as_text=false"):
        as_texts([told], [ROW])


def test_only_right_finished_different_solutions_are_taken():
    solutions = [
        RIGHT,
        replace(RIGHT, index=1),
        replace(RIGHT, index=2, completion_ids=[5, 4]),
        replace(RIGHT, index=3, completion_ids=[6, 4]),
        replace(RIGHT, index=4, completion_ids=[7, 4], verdict=False),
        replace(RIGHT, index=5, completion_ids=[8, 4], verdict=None),
        replace(RIGHT, index=6, completion_ids=[9, 9], finish="length"),
        replace(RIGHT, question_id="b", completion_ids=[3, 4]),
    ]
    found, left_out = from_solutions(solutions)
    assert [one["input_ids"][2] for one in found] == [3, 3, 5, 6]
    assert left_out == {"repeats": 1, "wrong": 1, "not verified": 1, "cut off": 1}
    found, left_out = from_solutions(solutions, max_per_question=2)
    assert [one["input_ids"][2] for one in found] == [3, 3, 5]
    assert left_out["beyond max_per_question"] == 1
    with pytest.raises(ConfigError, match="5 with a prompt too long"):
        from_solutions(solutions, max_prompt_tokens=1)


def test_nothing_right_says_what_there_was():
    with pytest.raises(ConfigError, match=r"nothing can be learnt \(1 wrong\)"):
        from_solutions([replace(RIGHT, verdict=False)])
    with pytest.raises(ConfigError, match="it is empty"):
        from_solutions([])


def test_each_solution_has_its_reason():
    solutions = [
        RIGHT,
        replace(RIGHT, index=1, verdict=False),
        replace(RIGHT, index=2, completion_ids=[9, 4], text="The Ground Truth is 3."),
    ]
    told = sort_out(solutions, leaks=["ground truth"])
    assert [(one.index, reason) for one, reason in told] == [
        (0, None),
        (1, "wrong"),
        (2, "speaks of a given answer"),
    ]


def test_the_shortest_are_preferred_and_of_equal_ones_the_likelier():
    solutions = [
        replace(RIGHT, completion_ids=[5, 6, 4], log_probs=[-0.1] * 3),
        replace(RIGHT, index=1, completion_ids=[5, 4], log_probs=[-2.0, -2.0]),
        replace(RIGHT, index=2, completion_ids=[6, 4], log_probs=[-1.0, -1.0]),
    ]
    told = sort_out(solutions, prefer="shortest", max_per_question=2)
    assert [(one.index, reason) for one, reason in told] == [
        (2, None),
        (1, None),
        (0, "beyond max_per_question"),
    ]


def test_texts_of_a_teacher_take_the_prompt_of_the_task():
    rows = [{"id": RIGHT.question_id, "prompt": "1>", "answer": "3"}]
    assert as_texts([RIGHT], rows) == [{"prompt": "1>", "completion": RIGHT.text}]
    chat = [{"role": "user", "content": "1"}]
    (example,) = as_texts([RIGHT], [{**rows[0], "prompt": chat}])
    assert example["completion"] == [{"role": "assistant", "content": RIGHT.text}]
    with pytest.raises(ConfigError, match="no training question 'other'"):
        as_texts([replace(RIGHT, question_id="other")], rows)
