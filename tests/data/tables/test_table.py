from random import Random

import pytest

from data.tables.table import Column, Table, infer_kind


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "2.5", "-3"], "number"),
        (["1,204", "12", ""], "number"),
        (["1,2", "3"], "text"),
        (["2024-02-29", "1999-12-31"], "date"),
        (["2024-13-01"], "text"),
        (["a", "1"], "text"),
        (["", " "], "text"),
        ([], "text"),
    ],
)
def test_the_kind_of_a_column(cells, kind):
    assert infer_kind(cells) == kind


@pytest.mark.parametrize(
    ("name", "measure"),
    [("population", True), ("Year", False), ("player_id", False), ("No.", False), ("notes", True)],
)
def test_years_and_ranks_are_not_added_up(name, measure):
    assert Column(name, "number").is_measure is measure


def test_no_cell_is_lost_of_ragged_rows():
    table = Table.of(["a"], [["1"], ["2", "x", "y"], []])
    assert table.header == ["a", "", ""]
    assert table.rows == (("1", "", ""), ("2", "x", "y"), ("", "", ""))


def test_a_part_belongs_to_its_table():
    whole = Table.of(["a", "b", "c"], [[str(n), "x", "y"] for n in range(5)])
    part = whole.select([1, 3], [0, 2])
    assert (part.id, part.header, part.rows) == (whole.id, ["a", "c"], (("1", "y"), ("3", "y")))
    mixed = whole.shuffled(Random(3))
    assert mixed.id == whole.id
    assert mixed.header[0] == "a"
    assert sorted(mixed.rows) != list(mixed.rows)
    assert {frozenset(row) for row in mixed.rows} == {frozenset(row) for row in whole.rows}


def test_tables_of_other_content_have_other_ids():
    tables = [Table.of(["a"], [["1"]]), Table.of(["b"], [["1"]]), Table.of(["a"], [["1"]], "t")]
    assert len({table.id for table in tables}) == 3
