"""The filters of Dr.BoT on batches written out."""

import pytest
import torch

from rewards.errors import ConfigError
from trainers.filters import FilterBatch, keep_mask, make_filter
from trainers.maths.comm import LOCAL


def batch(texts, messages=None, **changes):
    spoken = [[{"role": "assistant", "content": text}] for text in texts]
    values = {
        "completion_ids": [[1, 2, 3]] * len(texts),
        "lengths": torch.full((len(texts),), 3),
        "texts": texts,
        "messages": messages or spoken,
        "tool_calls": torch.zeros(len(texts), dtype=torch.long),
        "columns": {},
        "rewards": torch.zeros(len(texts)),
        "num_generations": 2,
        "max_completion_length": 6,
        "comm": LOCAL,
    }
    return FilterBatch(**(values | changes))


def kept(name, given, **options):
    return make_filter(name, **options)(given).tolist()


def test_overlong_is_the_limit_itself():
    given = batch(["a", "b", "c"], lengths=torch.tensor([5, 6, 7]))
    assert kept("overlong", given) == [True, False, False]


def test_overlong_of_episodes_are_those_that_a_limit_ended():
    """Whatever their length: one may win with its last token, or end as text and not as a game."""
    given = batch(["a", "b"], lengths=torch.tensor([3, 7]), truncated=torch.tensor([True, False]))
    assert kept("overlong", given) == [False, True]


def test_void_has_neither_answer_nor_call():
    given = batch(["so \\boxed{4}", "I do not know", "", "\\boxed{4"])
    assert kept("void", given) == [True, False, False, False]
    acted = batch(["", ""], tool_calls=torch.tensor([2, 0]))
    assert kept("void", acted) == [True, False]
    assert kept("void", acted, tool_call=False) == [False, False]
    assert kept("void", batch(["7", "x"]), how="number") == [True, False]


def test_repetitive_reads_the_tokens_of_the_policy():
    circles = batch(["", ""], completion_ids=[[5, 6] * 4, list(range(8))])
    assert kept("repetitive", circles, ngram=2, count=4) == [False, True]
    assert kept("repetitive", circles) == [True, True]


def test_unreadable_reads_every_turn_of_the_assistant():
    turns = [
        [{"role": "assistant", "content": "a\ufffd"}, {"role": "assistant", "content": "b"}],
        [{"role": "tool", "content": "\ufffd"}, {"role": "assistant", "content": "b"}],
    ]
    assert kept("unreadable", batch(["b", "b"], turns)) == [False, True]


def test_low_variance_leaves_out_whole_groups():
    rewards = torch.tensor([1.0, 1.0, 0.0, 1.0, 0.0, 0.5, 0.2, 0.2])
    given = batch([""] * 8, rewards=rewards)
    assert kept("low_variance", given, keep=0.5) == [False] * 2 + [True] * 4 + [False] * 2


def test_all_must_keep_a_row_and_each_share_is_its_own():
    given = batch(["4", "", "4", "\ufffd"], lengths=torch.tensor([6, 1, 1, 1]))
    filters = [make_filter("overlong"), make_filter("unreadable"), make_filter("void", how="final")]
    keep, metrics = keep_mask(filters, given)
    assert keep.tolist() == [False, False, True, False]
    assert metrics == {
        "filter/overlong": 0.25,
        "filter/unreadable": 0.25,
        "filter/void": 0.25,
        "filter/kept": 0.25,
    }


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("overlogn", {}, "overlong"),
        ("void", {"how": "regex"}, "filter.void: how=regex needs a pattern"),
        ("repetitive", {"count": 1}, "filter.repetitive: count=1: expected 2 or more"),
        ("repetitive", {"n": 1}, "filter.repetitive"),
        ("low_variance", {"keep": 0}, "filter.low_variance: keep=0: expected more than 0"),
    ],
)
def test_a_wrong_setting_is_said(name, options, said):
    with pytest.raises(ConfigError, match=said):
        make_filter(name, **options)
