"""What `@reward` makes of a function. Names defined here are removed again after each test."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest

import rewards
from rewards.errors import ConfigError, RewardError
from rewards.function import REWARDS, TRL_KEYWORDS, reward


@pytest.fixture(autouse=True)
def _leave_the_registry_as_found() -> Iterator[None]:
    before = set(REWARDS.names())
    yield
    for name in set(REWARDS.names()) - before:
        REWARDS.remove(name)


def make_brevity() -> Any:
    @reward("brevity", range=(0.0, 1.0), needs=("answer",))
    def brevity(completions, answer, budget: int = 64, kind: Literal["a", "b"] = "a", **_):
        """Doc of brevity."""
        return [
            max(0.0, 1 - len(text) / budget) if gold in text else 0.0
            for text, gold in zip(completions, answer, strict=True)
        ]

    return brevity


def call_as_trl_does(function: Callable[..., Any], completions: list[Any], **columns: Any) -> Any:
    """Every keyword that TRL 1.16 passes, as in GRPOTrainer._calculate_rewards."""
    return function(
        prompts=["p"] * len(completions),
        completions=completions,
        completion_ids=[[1, 2]] * len(completions),
        trainer_state=object(),
        log_extra=lambda column, values: None,
        log_metric=lambda name, value: None,
        **columns,
    )


def test_it_stays_a_function_that_can_be_called_by_hand() -> None:
    brevity = make_brevity()
    # 4 characters of 64: 1 - 4/64 = 0.9375
    assert brevity(["four"], answer=["f"]) == [0.9375]
    assert brevity(["four"], ["f"], budget=8) == [0.5]
    assert brevity(completions=[], answer=[]) == []
    assert brevity.__doc__ == "Doc of brevity."


def test_the_specification_follows_from_the_signature() -> None:
    spec = make_brevity().spec
    assert spec == rewards.spec("brevity")
    assert (spec.name, spec.needs, spec.range, spec.signals) == (
        "brevity",
        ("answer",),
        (0.0, 1.0),
        (),
    )
    assert dict(spec.options) == {"budget": 64, "kind": "a"}
    assert spec.option_types["budget"] is int
    assert spec.module == __name__
    assert spec.file.startswith(f"{__file__}:")
    assert spec.doc == "Doc of brevity."


def test_columns_are_parameters_without_default_and_those_in_needs() -> None:
    @reward("many", needs=("level",))
    def many(prompts, completions, completion_ids, answer, level=None, size=3, log_part=None): ...

    assert many.spec.needs == ("level", "answer")
    assert dict(many.spec.options) == {"size": 3}


def test_trl_takes_it_with_everything_that_trl_passes() -> None:
    brevity = make_brevity()
    assert call_as_trl_does(brevity, ["four"], answer=["f"], id=["q"]) == [0.9375]


def test_only_accepted_keywords_are_passed() -> None:
    seen: dict[str, Any] = {}

    @reward("narrow")
    def narrow(completions, answer):
        seen.update(completions=completions, answer=answer)
        return [0.0]

    @reward("wide")
    def wide(completions, **rest):
        seen.update(rest)
        return [0.0]

    call_as_trl_does(narrow, ["a"], answer=["b"], id=["q"])
    assert seen == {"completions": ["a"], "answer": ["b"]}
    seen.clear()
    call_as_trl_does(wide, ["a"], answer=["b"], id=["q"])
    assert set(seen) == {"answer", "id", *TRL_KEYWORDS} - {"completions", "environments"}


def test_the_keywords_are_those_of_the_installed_trl() -> None:
    from trl import GRPOTrainer

    source = inspect.getsource(GRPOTrainer._calculate_rewards)
    for keyword in TRL_KEYWORDS:
        assert f"{keyword}=" in source or f'["{keyword}"]' in source, keyword


def test_the_name_of_a_metric_is_the_registered_name() -> None:
    @reward("metric_name")
    def another(completions): ...

    assert another.__name__ == rewards.get("metric_name").__name__ == "metric_name"


def test_get_binds_options_and_leaves_the_registered_function_alone() -> None:
    brevity = make_brevity()
    short = rewards.get("brevity", budget=8)
    assert short(["four"], answer=["f"]) == [0.5]
    assert short.spec.options["budget"] == 8
    assert short.__name__ == "brevity"
    assert short.bind(kind="b").spec.options == {"budget": 8, "kind": "b"}
    assert brevity(["four"], answer=["f"]) == [0.9375]


def test_wrong_options_are_told_before_anything_runs() -> None:
    make_brevity()
    with pytest.raises(ConfigError, match=r"no option 'budgt'. Did you mean 'budget'"):
        rewards.get("brevity", budgt=3)
    with pytest.raises(ConfigError, match=r"budget='3' is a str; expected int"):
        rewards.get("brevity", budget="3")
    with pytest.raises(ConfigError, match=r"kind='c' is a str; expected one of 'a', 'b'"):
        rewards.get("brevity", kind="c")
    with pytest.raises(ConfigError, match="Did you mean 'brevity'"):
        rewards.get("brevty")


def test_options_that_do_not_go_together_are_told_when_set() -> None:
    def low_below_high(low: int, high: int) -> None:
        if low >= high:
            raise ConfigError(f"low={low} is not below high={high}")

    @reward("between", check=low_below_high)
    def between(completions, low: int = 0, high: int = 9):
        return [float(low)]

    assert rewards.get("between", low=3)(["a"]) == [3.0]
    with pytest.raises(ConfigError, match="low=3 is not below high=2"):
        rewards.get("between", low=3, high=2)
    with pytest.raises(ConfigError, match="low=3 is not below high=2"):
        between(["a"], low=3, high=2)


def test_a_missing_column_names_reward_column_and_columns_present() -> None:
    brevity = make_brevity()
    with pytest.raises(RewardError) as caught:
        call_as_trl_does(brevity, ["a"], gold=["b"], id=["q"])
    assert str(caught.value).startswith("reward 'brevity' (")
    assert "needs the column 'answer'; the columns are: gold, id." in str(caught.value)
    with pytest.raises(RewardError, match="the columns are: none"):
        brevity(["a"])


@pytest.mark.parametrize("answer", ["b", ["b", "c"], [], None, 3])
def test_a_column_has_one_row_per_completion(answer: Any) -> None:
    with pytest.raises(RewardError, match=r"got answer=.*; expected a list of 1"):
        make_brevity()(["a"], answer=answer)


def test_a_column_with_the_name_of_an_option_is_not_taken_for_it() -> None:
    brevity = make_brevity()
    with pytest.raises(RewardError, match="option 'budget', and the data set has a column"):
        call_as_trl_does(brevity, ["a"], answer=["b"], budget=[64])


@pytest.mark.parametrize("completions", ["text", None, 3, {"a": 1}])
def test_completions_are_a_list(completions: Any) -> None:
    with pytest.raises(RewardError, match="was called with completions="):
        make_brevity()(completions, answer=["a"])


def test_chat_arrives_as_text_and_as_messages_on_request() -> None:
    chat = [{"role": "assistant", "content": "4", "reasoning_content": "2+2"}]

    @reward("reader")
    def reader(completions, messages):
        assert completions == ["<think>\n2+2\n</think>\n\n4", "plain"]
        assert messages == [chat, [{"role": "assistant", "content": "plain"}]]
        return [1.0, 1.0]

    @reward("turns")
    def turns(messages, **_):
        return [float(len(m)) for m in messages]

    assert call_as_trl_does(reader, [chat, "plain"]) == [1.0, 1.0]
    assert call_as_trl_does(turns, [chat, "plain"]) == [1.0, 1.0]
    assert turns([chat * 2]) == [2.0]
    with pytest.raises(RewardError, match=r"'turns'.*row 1: a completion is a string or a list"):
        turns([chat, 3])


def test_what_it_returns_is_checked_and_names_reward_and_row() -> None:
    @reward("broken", range=(0.0, 1.0))
    def broken(completions, value: Any = None):
        return [0.0, value]

    assert broken(["a", "b"]) == [0.0, None]
    with pytest.raises(RewardError, match=r"^reward 'broken' \(.*\), row 1: 2.0 is outside"):
        broken(["a", "b"], value=2)
    with pytest.raises(RewardError, match="returned 2 values for 1 completions"):
        broken(["a"])


def test_what_it_raises_says_in_a_note_which_reward_it_was() -> None:
    @reward("crash")
    def crash(completions):
        return [1 / 0]

    with pytest.raises(ZeroDivisionError) as caught:
        crash(["a"])
    assert caught.value.__notes__[0].startswith("Raised by the reward 'crash' (")


def test_parts_are_logged_inside_a_trainer_and_nowhere_else() -> None:
    @reward("parts")
    def parts(completions, log_part):
        log_part("form", [1, None, 0])
        log_part("never", [None, None, None])
        return [0.0] * 3

    columns: dict[str, Any] = {}
    metrics: dict[str, float] = {}
    assert parts(["a", "b", "c"]) == [0.0] * 3  # by hand: nothing to log to
    parts(["a", "b", "c"], log_extra=columns.__setitem__, log_metric=metrics.__setitem__)
    assert columns == {"parts/form": [1.0, None, 0.0], "parts/never": [None] * 3}
    assert metrics == {"rewards/parts/form": 0.5}  # (1 + 0) / 2: the row without a score is out


def test_a_part_is_checked_like_a_reward() -> None:
    @reward("bad_part")
    def bad_part(completions, log_part):
        log_part("form", [float("nan")])
        return [0.0]

    with pytest.raises(RewardError, match="part 'form', row 0: nan is not finite"):
        bad_part(["a"])


def test_an_async_reward_stays_one() -> None:
    @reward("later", range=(0.0, 1.0))
    async def later(completions, answer, value: float = 1.0):
        await asyncio.sleep(0)
        return [value]

    half = rewards.get("later", value=0.5)
    assert inspect.iscoroutinefunction(half)  # how TRL tells them apart
    assert asyncio.run(half(["a"], answer=["b"])) == [0.5]
    with pytest.raises(RewardError, match=r"'later'.* 2.0 is outside"):
        asyncio.run(later(["a"], answer=["b"], value=2.0))


def test_a_signal_is_passed_by_our_trainer_and_asked_for_elsewhere() -> None:
    @reward("sure", signals=("certainty",))
    def sure(completions, certainty):
        return [float(c) for c in certainty]

    assert sure.spec.signals == ("certainty",)
    assert sure.spec.needs == ()
    assert sure(["a"], certainty=[0.25]) == [0.25]
    with pytest.raises(RewardError, match=r"signal 'certainty'.*rlconf.OnlineTrainer"):
        call_as_trl_does(sure, ["a"])


def test_what_only_a_trainer_knows_is_asked_for_by_hand() -> None:
    @reward("ids")
    def ids(completions, completion_ids):
        return [float(len(i)) for i in completion_ids]

    assert call_as_trl_does(ids, ["a"]) == [2.0]
    with pytest.raises(RewardError, match="needs completion_ids, which a trainer passes"):
        ids(["a"])


def test_two_definitions_of_a_name_are_refused() -> None:
    make_brevity()
    with pytest.raises(ConfigError, match=r"Two definitions of the reward 'brevity': .*, one in"):

        @reward("brevity")
        def other(completions): ...

    make_brevity()  # the same lines again: a reload


def positional_only(completions, /): ...
def star_args(*completions): ...
def without_it(completions): ...
def weighted(completions, weight=1.0): ...


@pytest.mark.parametrize(
    ("function", "options", "text"),
    [
        (positional_only, {}, "'completions' cannot be passed by keyword"),
        (star_args, {}, "'completions' cannot be passed by keyword"),
        (without_it, {"needs": ("answer",)}, "needs 'answer' but has no parameter"),
        (without_it, {"needs": "answer"}, r"needs='answer' is a string; write \('answer',\)"),
        (without_it, {"signals": "certainty"}, "signals='certainty' is a string"),
        (without_it, {"range": (1.0, 0.0)}, "does not run from low to high"),
        (without_it, {"range": (0.0, float("nan"))}, "does not run from low to high"),
        (weighted, {}, "reward.refused.weight"),
    ],
)
def test_a_signature_that_cannot_work_is_refused_at_once(
    function: Callable[..., Any], options: dict[str, Any], text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        reward("refused", **options)(function)
    assert "refused" not in REWARDS


def test_wrong_positional_arguments_are_refused() -> None:
    brevity = make_brevity()
    with pytest.raises(TypeError, match="each of them once"):
        brevity(["a"], ["b"], 1, "a", "too many")
    with pytest.raises(TypeError, match="each of them once"):
        brevity(["a"], completions=["a"], answer=["b"])


def test_a_column_may_be_read_where_there_is_one() -> None:
    @reward("shaded", reads=("shade",))
    def shaded(completions, shade=None, depth: int = 1):
        return [float(bool(shade and shade[row])) * depth for row in range(len(completions))]

    assert shaded.spec.reads == ("shade",)
    assert shaded.spec.needs == ()
    assert list(shaded.spec.options) == ["depth"]  # a column is no option
    assert shaded(["a", "b"]) == [0.0, 0.0]
    assert call_as_trl_does(shaded, ["a", "b"], shade=["x", None]) == [1.0, 0.0]
    with pytest.raises(RewardError, match="got shade='x'; expected a list of 2"):
        shaded(["a", "b"], shade="x")
    with pytest.raises(ConfigError, match=r"reads='shade' is a string"):
        reward("shady", reads="shade")(lambda completions, shade=None: [0.0])
