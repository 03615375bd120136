"""Values against annotations: every mistake at once, each with key, value and what was expected."""

from dataclasses import dataclass, field
from typing import Literal

from rlconf.settings.fields import read_fields, read_section, read_settings


@dataclass
class Inner:
    size: int = 3
    kind: Literal["small", "large"] = "small"


@dataclass
class Outer:
    rate: float = 0.5
    names: list[str] = field(default_factory=list)
    inner: Inner = field(default_factory=Inner)
    maybe: Inner | None = None


@dataclass(frozen=True)
class Ranged:
    share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"share={self.share}: expected 0 to 1")


def texts(problems: list) -> list[str]:
    return [problem.text for problem in problems]


def test_good_values_are_read_and_an_int_passes_for_a_float():
    section, problems = read_section(Outer, {"rate": 1, "inner": {"size": 4}}, "")
    assert problems == []
    assert section == Outer(rate=1.0, inner=Inner(size=4))
    assert isinstance(section.rate, float)


def test_every_mistake_is_reported_and_the_rest_is_read():
    values = {"rate": "fast", "nmaes": [], "inner": {"size": True, "kind": "lage"}}
    section, problems = read_section(Outer, values, "")
    assert texts(problems) == [
        "rate='fast': expected float",
        "nmaes: there is no such setting; did you mean names?",
        "inner.size=true: expected int",
        "inner.kind='lage': expected one of 'small', 'large'; did you mean large?",
    ]
    assert section == Outer()


def test_the_keys_of_a_problem_are_dotted():
    _, problems = read_section(Outer, {"inner": {"size": "x"}}, "root")
    assert problems[0].keys == ("root.inner.size",)


def test_an_optional_section_may_be_null_and_a_needed_one_not():
    section, problems = read_section(Outer, {"maybe": None}, "")
    assert (section.maybe, problems) == (None, [])
    section, problems = read_section(Outer, {"inner": None}, "")
    assert texts(problems) == ["inner=null: expected a section with size, kind"]


def test_a_value_where_a_section_belongs():
    _, problems = read_section(Outer, {"maybe": 3}, "")
    assert texts(problems) == ["maybe=3: expected a section with size, kind"]


def test_settings_are_also_asked_for_their_own_rules():
    assert read_settings(Ranged, {"share": 1}, "x") == []
    assert texts(read_settings(Ranged, {"share": 2}, "x")) == ["x: share=2.0: expected 0 to 1"]
    # A wrong type is said once, not again by the rule that trips over it.
    assert texts(read_settings(Ranged, {"share": "a"}, "x")) == ["x.share='a': expected float"]


def test_nothing_near_means_no_suggestion():
    _, problems = read_fields({"alpha": int}, {"zzz": 1}, "s")
    assert texts(problems) == ["s.zzz: there is no such setting"]
