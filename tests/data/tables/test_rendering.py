import importlib.util
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.tables.rendering import RenderForm, fit, render
from data.tables.table import Table

_spec = importlib.util.spec_from_file_location(
    "read_back", Path(__file__).parents[2] / "read_back.py"
)
reader = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reader)

FORMS = get_args(RenderForm)
SMALL = Table.of(["city", "area"], [["Alda", "30"], ["a|b", '"x" <&>']], "Cities")


def test_what_each_form_looks_like():
    assert render(SMALL, "markdown").splitlines() == [
        "Cities",
        "| city | area |",
        "| --- | --- |",
        "| Alda | 30 |",
        '| a\\|b | "x" <&> |',
    ]
    assert render(SMALL, "csv").splitlines()[1:] == [
        "city,area",
        "Alda,30",
        'a|b,"""x"" <&>"',
    ]
    assert render(SMALL, "json").splitlines()[1:] == [
        '{"columns": ["city", "area"], "rows": [',
        '["Alda", "30"],',
        '["a|b", "\\"x\\" <&>"]',
        "]}",
    ]
    assert render(SMALL, "html").splitlines()[1:4] == [
        "<table>",
        "<tr><th>city</th><th>area</th></tr>",
        "<tr><td>Alda</td><td>30</td></tr>",
    ]
    assert render(SMALL, "records").splitlines()[1:] == [
        "col: city | area",
        "row 1: Alda | 30",
        'row 2: a\\|b | "x" <&>',
    ]


cells = st.text(alphabet='ab|\\"<>&,\n: é#', max_size=8)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(cells, cells, cells), min_size=2, max_size=4))
def test_every_cell_can_be_read_back(form, rows):
    table = Table.of(rows[0], rows[1:])
    assert reader.read_back(render(table, form), form) == [list(row) for row in rows]


def test_a_table_within_the_limits_is_left_alone():
    assert fit(SMALL, 2, 2, "leave_out") is SMALL
    assert fit(SMALL, None, None, "stop") is SMALL


@pytest.mark.parametrize("form", FORMS)
def test_a_cut_keeps_whole_rows_and_says_what_is_missing(form):
    table = Table.of(["a", "b", "c"], [[f"r{n}", "x", "y"] for n in range(5)])
    part = fit(table, 2, 2, "cut")
    assert (part.hidden, part.id) == ((3, 1), table.id)
    text = render(part, form)
    assert text.endswith("\n(3 more rows and 1 more column are not shown)")
    assert "r1" in text
    assert "r2" not in text
    body = text.rpartition("\n")[0]
    assert reader.read_back(body, form) == [["a", "b"], ["r0", "x"], ["r1", "x"]]
    assert render(fit(table, 4, None, "cut"), form).endswith("\n(1 more row is not shown)")


@pytest.mark.parametrize("policy", ["leave_out", "stop"])
def test_a_larger_table_is_none_unless_it_is_cut(policy):
    assert fit(SMALL, 1, None, policy) is None
    assert fit(SMALL, None, 1, policy) is None
