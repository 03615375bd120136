from itertools import permutations
from math import perm

import pytest

from data.tasks.permutations import permutation


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4])
def test_counts_through_all_sequences_in_lexicographic_order(length):
    numbered = [permutation("abcd", length, number) for number in range(perm(4, length))]
    assert numbered == [list(sequence) for sequence in permutations("abcd", length)]


def test_number_by_hand():
    # 4 items, 3 wanted: perm(3, 2) = 6 sequences per first item. 15 = 2 * 6 + 3 -> "c", rest 3;
    # of "abd", perm(2, 1) = 2 per second item: 3 = 1 * 2 + 1 -> "b", rest 1; of "ad": "d".
    assert permutation("abcd", 3, 15) == ["c", "b", "d"]


def test_the_last_of_millions():
    assert "".join(permutation("0123456789", 10, perm(10) - 1)) == "9876543210"


@pytest.mark.parametrize("number", [-1, 24])
def test_refuses_a_number_outside(number):
    with pytest.raises(ValueError, match=f"number={number}: expected 0 to 23"):
        permutation("abcd", 3, number)
