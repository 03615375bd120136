import json

import pytest

from rewards.table import ProgramError, judge, run_program
from rewards.table.profiles import Context

TABLE = [
    ["", "2016", "2015"],
    ["net revenue", "$ 5829", "$ 5,735"],
    ["share", "12%", "( 3 )"],
    ["text", "n/a", "1"],
]


@pytest.mark.parametrize(
    ("program", "result"),
    [
        ("subtract(5829, 5735)", 94.0),
        # 94 / 5735 = 0.016390584...
        ("subtract(5829, 5735), divide(#0, 5735)", 0.01639),
        ("divide(1, 3)", 0.33333),
        ("divide(2, 3)", 0.66667),
        ("multiply(12%, const_100)", 12.0),
        ("add(const_m1, 1)", 0.0),
        ("exp(2, 10)", 1024.0),
        ("greater(3, 2)", "yes"),
        ("greater(2, 3)", "no"),
        ("table_max(net revenue, none)", 5829.0),
        ("table_min(net revenue, none)", 5735.0),
        ("table_sum(net revenue, none)", 11564.0),
        ("table_average(net revenue, none), divide(#0, 2)", 2891.0),
    ],
)
def test_programs(program, result):
    assert run_program(program, TABLE) == result


def test_tokens_as_predictions_are_published():
    assert run_program(["subtract(", "5829", "5735", ")", "EOF"]) == 94.0
    assert run_program(["divide(", "1", "3", ")", "add(", "#0", "1", ")", "EOF"]) == 1.33333


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("", "1 to 20 steps"),
        ("power(2, 3)", "no operation 'power'"),
        ("add(1)", "two arguments"),
        ("add(1, #0)", "no earlier step"),
        ("add(#-1, 1)", "no earlier step"),
        ("add(1, x)", "'x' is no number"),
        ("divide(1, 0)", "divide"),
        ("exp(-1, 0.5)", "not real"),
        ("exp(9999, 9999)", "exp"),
        ("multiply(1e308, 1e308)", "not finite"),
        ("greater(2, 1), add(#0, 1)", "yes or no"),
        ("table_sum(revenue, none)", "no row 'revenue'"),
        ("table_sum(text, none)", "not every cell"),
        ("table_sum(share, none)", "not every cell"),
        ("add(1, 2) and more", "no step begins"),
        ("__import__('os')", "two arguments"),
        ("__import__('os', 'sys')", "no operation '__import__'"),
        ("add(1, 2), " * 30 + "add(1, 2)", "1 to 20 steps"),
        ("add(" * 900, "at most|no step"),
        (["add(", "1"], "four tokens"),
    ],
)
def test_what_is_no_program_says_why(program, told):
    with pytest.raises(ProgramError, match=told):
        run_program(program, TABLE)


def right(answer, gold, **row):
    return judge([answer], [gold], "finqa", Context(**row)).exact


def test_execution_accuracy_is_exact_to_five_decimals():
    row = {"table": json.dumps(TABLE)}
    assert right("subtract(5829, 5735), divide(#0, 5735)", 0.01639, **row)
    assert not right("divide(94, 5734)", 0.0164, **row)
    assert right("table_sum(net revenue, none)", 11564.0, **row)
    assert right("greater(3, 2)", "yes")
    assert not right("table_sum(net revenue, none)", 11564.0)  # without the table
    assert not right("divide(1, 0)", 0.0)


@pytest.mark.parametrize(
    ("answer", "gold", "percent_ok", "expected"),
    [
        ("0.02", 0.01639, False, True),
        ("1.6%", 0.01639, False, True),
        ("$ 5,829", 5829.0, False, True),
        ("5831", 5829.0, False, True),  # within 0.1 %
        ("5850", 5829.0, False, False),
        ("-94", 94.0, False, False),
        ("42", 0.42, False, False),
        ("42", 0.42, True, True),
        ("0.42", 42.0, True, True),
        ("True", "yes", False, True),
        (False, "no", False, True),
        ("yes", 1.0, False, False),
    ],
)
def test_answers_written_as_numbers(answer, gold, percent_ok, expected):
    assert right(answer, gold, percent_ok=percent_ok) is expected
