"""What is made once is whole or not there."""

import pytest

from data.cache import made_once


def test_made_once_and_then_only_found(tmp_path):
    calls = []

    def fill(folder):
        calls.append(folder)
        (folder / "a").write_text("1")

    for _ in range(2):
        assert made_once(tmp_path / "deep" / "thing", fill) == tmp_path / "deep" / "thing"
    assert len(calls) == 1
    assert (tmp_path / "deep" / "thing" / "a").read_text() == "1"


def test_what_fails_half_way_leaves_nothing(tmp_path):
    def fill(folder):
        (folder / "a").write_text("1")
        raise RuntimeError("in between")

    with pytest.raises(RuntimeError, match="in between"):
        made_once(tmp_path / "thing", fill)
    assert [path.name for path in tmp_path.iterdir()] == ["thing.lock"]
