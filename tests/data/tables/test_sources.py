"""Where tables come from: drawn, facts, a folder."""

import sys
from random import Random

import pytest

from data.tables.facts import FACTS, fact_tables
from data.tables.folder import folder_tables, read_csv
from data.tables.questions import parts_of, split_tables
from data.tables.table import Table
from data.tables.themes import OOD_THEMES, THEMES, draw_table
from rewards.errors import ConfigError


@pytest.mark.parametrize("theme", [*THEMES, *OOD_THEMES], ids=lambda theme: theme.keys[0])
def test_a_drawn_table_has_a_key_a_group_a_number_and_its_size(theme):
    for seed in range(20):
        table = draw_table(theme, Random(seed), (4, 9), (3, 6))
        assert 4 <= len(table.rows) <= 9
        assert 3 <= len(table.columns) <= 6
        assert len(set(table.column(0))) == len(table.rows)
        assert {"text", "number"} <= {column.kind for column in table.columns[1:]}
        assert len(set(table.header)) == len(table.header)


def test_themes_of_the_other_domain_share_no_word():
    def words(themes):
        found = {word for theme in themes for word in (*theme.keys, *theme.dates)}
        found |= {name for theme in themes for number in theme.numbers for name in number.names}
        return found | {w for t in themes for names, values in t.groups for w in (*names, *values)}

    assert not words(THEMES) & words(OOD_THEMES)


def test_facts():
    tables = dict(zip(FACTS, fact_tables(list(FACTS)), strict=True))
    assert tables["planets"].rows[2][:2] == ("Earth", "rocky")
    assert len(tables["elements"].rows) == 20
    assert tables["months"].rows[1] == ("February", "winter", "28", "Saturday")
    assert ("Not Found", "404", "client error", "9") in tables["http"].rows
    assert len(tables["countries"].rows) > 200
    france = next(row for row in tables["countries"].rows if row[0] == "France")
    assert france[1:3] == ("FR", "Europe")
    paris = next(row for row in tables["zones"].rows if row[0] == "Paris")
    # +4852+00220: 48 + 52/60 and 2 + 20/60 degrees.
    assert paris[1:4] == ("Europe", "48.87", "2.33")
    assert [table.id for table in tables.values()] == list(FACTS)


def test_facts_that_are_not_there(monkeypatch):
    with pytest.raises(ConfigError, match=r"no table 'planet'.*Did you mean 'planets'"):
        fact_tables(["planet"])
    monkeypatch.setitem(sys.modules, "tzdata", None)
    with pytest.raises(ConfigError, match=r"pip install 'rlconf\[tables\]'"):
        fact_tables(["zones"])


def write(folder, name, text, encoding="utf-8"):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode(encoding))
    return file


def test_a_folder_of_files(tmp_path):
    write(tmp_path, "b_c.csv", '\ufeffcity,area\nA,1\n"B, b",2\n\nC,"3\n3"\n')
    write(tmp_path, "sub/a.tsv", "x\ty\n1\t2\n3\t4\n5\t6\n")
    write(tmp_path, "tiny.csv", "a,b\n1,2\n")
    write(tmp_path, ".hidden/x.csv", "a,b\n1,2\n3,4\n5,6\n")
    write(tmp_path, "notes.txt", "no table")
    tables, notes = folder_tables(str(tmp_path))
    assert [table.id for table in tables] == ["b_c.csv", "sub/a.tsv"]
    assert tables[0].title == "b c"
    assert tables[0].rows == (("A", "1"), ("B, b", "2"), ("C", "3\n3"))
    assert len(notes) == 1
    assert "tiny.csv has 1 rows" in notes[0]


def test_what_is_no_folder_of_tables(tmp_path):
    with pytest.raises(ConfigError, match=r"expected a folder of \.csv or \.tsv files"):
        folder_tables(str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match=r"holds no \.csv or \.tsv file"):
        folder_tables(str(tmp_path))
    write(tmp_path, "x.csv", "name\nCafé\n", "latin-1")
    with pytest.raises(ConfigError, match=r"x\.csv cannot be read as a table: .*utf-8"):
        folder_tables(str(tmp_path))
    with pytest.raises(ConfigError, match="is empty"):
        read_csv(write(tmp_path, "y.csv", "\n\n"))


def test_larger_tables_are_shown_in_part_and_smaller_ones_whole():
    large = Table.of(["k", *"abcdef"], [[f"r{n}", *"123456"] for n in range(30)], base="large")
    small = Table.of(["k", "a"], [[f"s{n}", "1"] for n in range(4)], base="small")
    parts = parts_of([large, small], Random(0), (3, 6), 4)
    for _ in range(5):
        one, other = next(parts), next(parts)
        assert (one.id, other.id) == ("large", "small")
        assert 3 <= len(one.rows) <= 6
        assert (len(one.columns), one.header[0]) == (4, "k")
        assert sorted(other.rows) == sorted(small.rows)


def test_every_split_gets_a_table():
    tables = [Table.of(["a"], [[str(n)]]) for n in range(10)]
    parts = split_tables(tables, {"test": 0.2, "dev": 0.05}, Random(0))
    assert {name: len(own) for name, own in parts.items()} == {"train": 7, "test": 2, "dev": 1}
    ids = [table.id for own in parts.values() for table in own]
    assert len(set(ids)) == 10
