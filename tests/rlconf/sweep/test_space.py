"""A space in Hydra's grammar: what is searched, what is fixed, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from rlconf.sweep.space import Choice, Numbers, read_space


class Trial:
    """Takes the greatest of everything, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def suggest_categorical(self, key: str, values: Any) -> Any:
        self.asked.append((key, *values))
        return values[-1]

    def suggest_int(self, key: str, low: int, high: int, *, step: int, log: bool) -> int:
        self.asked.append((key, low, high, step, log))
        return high

    def suggest_float(self, key: str, low: float, high: float, *, step: Any, log: bool) -> float:
        self.asked.append((key, low, high, step, log))
        return high


@pytest.mark.parametrize(
    ("argument", "asked", "value"),
    [
        ("model=tiny,hub", ("model", "tiny", "hub"), "hub"),
        ("task=choice(sort,largest)", ("task", "sort", "largest"), "largest"),
        ("task=glob(la*)", None, ""),  # fits one
        ("k=interval(0,2)", ("k", 0.0, 2.0, None, False), "2.0"),
        ("k=tag(log,interval(1e-5,1e-3))", ("k", 1e-5, 1e-3, None, True), "0.001"),
        ("k=int(interval(1,9))", ("k", 1, 9, 1, False), "9"),
        ("k=int(tag(log,interval(1,64)))", ("k", 1, 64, 1, True), "64"),
        ("k=range(2,9,3)", ("k", 2, 8, 3, False), "8"),  # its end is not in it
        ("k=range(0,1,0.25)", ("k", 0, 0.75, 0.25, False), "0.75"),
        ("+trainer.k=1,2", ("+trainer.k", "1", "2"), "2"),
    ],
)
def test_each_kind_of_range_is_asked_of_optuna(argument: str, asked: Any, value: str) -> None:
    space, problems = read_space([argument, "name=n"])
    if asked is None:
        assert "expected two values or more" in problems[0].text
        return
    assert not problems
    ((key, one),) = space.ranges.items()
    trial = Trial()
    assert one.ask(trial, key) == value
    assert trial.asked == [asked]
    job = space.job("007", [value])
    assert job.overrides == ["name=n", f"{key}={value}"]
    assert job.name.startswith("007_")


def test_both_ends_of_each_range_are_checked_beforehand() -> None:
    space, _ = read_space(["a=interval(1,2)", "b=x,y,z", "c=0"])
    assert [job.overrides[1:] for job in space.corners()] == [
        ["a=1.0", "b=x"], ["a=2.0", "b=x"], ["a=1.0", "b=y"], ["a=1.0", "b=z"],
    ]  # fmt: skip
    assert isinstance(space.ranges["a"], Numbers)
    assert isinstance(space.ranges["b"], Choice)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["name=n"], "nothing to search"),
        (["a=interval(2,1)"], "the smaller first"),
        (["a=tag(log,interval(0,1))"], "a logarithm needs numbers above 0"),
        (["a=tag(loog,interval(1,2))"], "the one tag is log"),
        (["a=tag(log,range(1,5))"], "the one tag is log"),
        (["a=1,2", "a=3,4"], "a is searched twice"),
        (["seed=range(3)"], "repeat with train -m"),
        (["run.id=a,b"], "run.root, run.id and run.dir name the whole search"),
        (["plugins=a,b"], "plugins= takes a list"),
        (["resume=a,b"], "add --resume"),
    ],
)
def test_what_is_no_space(arguments: list[str], says: str) -> None:
    _, problems = read_space(arguments)
    assert len(problems) == 1
    assert says in problems[0].text


def test_the_points_of_a_finite_space() -> None:
    arguments = ["a=x,y", "b=int(interval(1,2))", "c=range(0,0.3,0.1)", "d=range(4,9,2)"]
    space, _ = read_space(arguments)
    assert space.size == 2 * 2 * 3 * 3
    points = [tuple(space.point(number).values()) for number in range(36)]
    assert len(set(points)) == 36
    assert space.point(0) == {"a": "x", "b": 1, "c": 0, "d": 4}
    assert space.point(35) == {"a": "y", "b": 2, "c": pytest.approx(0.2), "d": 8}
    assert read_space([*arguments, "e=interval(0,1)"])[0].size is None
    assert read_space(["k=int(interval(1,1000000000))"])[0].point(10**9 - 1) == {"k": 10**9}
