from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from trainers.maths.ucas import PAPER_V1, ucas_parts, ucas_tally

NAN = float("nan")
# The batch of test_ucas.py, and beside it a group without variance of which one row is empty.
A = torch.tensor([0.866025, 0.866025, -0.866025, -0.866025, 0, 0, 0, 0])
MASK = torch.tensor(
    [[1, 1, 1], [1, 1, 0], [1, 1, 0], [1, 0, 0], [1, 1, 0], [1, 0, 0], [1, 0, 0], [0, 0, 0]]
)
CERTAINTY = torch.tensor([1.0, 3, 2, 4, 5, 5, 5, NAN])[:, None].expand(8, 3)
LOGITS = torch.tensor([[10.0, 20, 15], [4, 8, NAN], [1, 1, 1], [30, 0, 0]]).repeat(2, 1)
KEYS = {
    *(
        f"ucas/{part}/{how}"
        for part in ("confidence", "weight_pos", "weight_neg")
        for how in ("mean", "min", "max")
    ),
    "ucas/norm_logit/mean",
    "ucas/flipped_share",
    "ucas/degenerate_share",
    "ucas/confidence_length_corr",
    "ucas/advantage_mean",
}


def metrics(settings: Any = PAPER_V1, **change: Any) -> dict[str, float]:
    tensors = {"advantages": A, "certainty": CERTAINTY, "chosen_logits": LOGITS, "mask": MASK}
    tensors |= change
    parts = ucas_parts(**tensors, num_generations=4, settings=settings)
    return ucas_tally(parts, tensors["advantages"], tensors["mask"]).metrics()


def test_worked_values() -> None:
    """W = (1.337061, 0.907715 | 0.907715, 1.337061); sums of Amod cancel here.

    l̂ sums to 1.5 + 1 + 0 + 0 in the first group; in the second (10, 20) gives 1: 3.5 of 12 tokens.
    """
    got = metrics(replace(PAPER_V1, eps=0.0))
    assert set(got) == KEYS
    assert got["ucas/confidence/mean"] == pytest.approx(25 / 7)
    assert (got["ucas/confidence/min"], got["ucas/confidence/max"]) == (1.0, 5.0)
    for side in ("weight_pos", "weight_neg"):
        assert got[f"ucas/{side}/mean"] == pytest.approx(1.122388, abs=1e-6)
        assert got[f"ucas/{side}/min"] == pytest.approx(0.907715, abs=1e-6)
        assert got[f"ucas/{side}/max"] == pytest.approx(1.337061, abs=1e-6)
    assert got["ucas/norm_logit/mean"] == pytest.approx(3.5 / 12)
    assert got["ucas/degenerate_share"] == 0.5
    assert got["ucas/flipped_share"] == 0.0
    assert got["ucas/advantage_mean"] == pytest.approx(0.0, abs=1e-6)


def test_correlation_of_confidence_with_length() -> None:
    """C = (1, 3, 2, 4, 5, 5, 5) against (3, 2, 2, 1, 2, 1, 1) tokens.

    Deviations times 7: C (−18, −4, −11, 3, 10, 10, 10), length (9, 2, 2, −5, 2, −5, −5).
    Products −162 − 8 − 22 − 15 + 20 − 50 − 50 = −287; squares 770 and 168:
    r = −287 / √(770 · 168) = −0.797966.
    """
    assert metrics()["ucas/confidence_length_corr"] == pytest.approx(-0.797966, abs=1e-5)


def test_flipped_share_counts_tokens() -> None:
    """β = 1: the surest token of row 1 (1.16 − 1 > 0) stays, that of row 2 (0.79 − 1) turns."""
    got = metrics(replace(PAPER_V1, beta=1.0))
    assert got["ucas/flipped_share"] == pytest.approx(1 / 12)
    assert got["ucas/advantage_mean"] == pytest.approx(0.0, abs=1e-6)


def test_advantage_mean_of_an_uneven_batch() -> None:
    """Without row 4: W = (1.284025, 0.778801, 1), Amod sums to 0.866025 · 1.062826 over 6 rows."""
    mask = MASK.clone()
    mask[3] = 0
    got = metrics(replace(PAPER_V1, eps=0.0), mask=mask)
    assert got["ucas/advantage_mean"] == pytest.approx(0.866025 * 1.062826 / 6, abs=1e-6)


def test_what_does_not_occur_is_left_out() -> None:
    """No advantages: no weights. One certainty and one length everywhere: no correlation."""
    got = metrics(
        advantages=torch.zeros(8), certainty=torch.ones(8, 3), mask=torch.ones(8, 3).bool()
    )
    assert set(got) == {key for key in KEYS if "weight" not in key and "corr" not in key}
    nothing = metrics(mask=torch.zeros(8, 3))
    assert nothing == {"ucas/degenerate_share": 0.5}


def test_all_numbers_are_finite_floats() -> None:
    assert all(isinstance(x, float) and abs(x) < 1e6 for x in metrics().values())


@pytest.mark.parametrize("world", [2, 4, 8])
def test_every_rank_has_the_same_numbers_from_one_gather(
    on_ranks: Callable[..., list[Any]], world: int
) -> None:
    def work(rank: int, comm: Any) -> tuple[dict[str, float], list[Any]]:
        a, c, logits, mask = (x.chunk(world)[rank] for x in (A, CERTAINTY, LOGITS, MASK))
        parts = ucas_parts(a, c, logits, mask, 4, PAPER_V1, comm)
        comm.calls.clear()
        return ucas_tally(parts, a, mask).metrics(comm), comm.calls

    for got, calls in on_ranks(world, work):
        assert got == metrics()
        assert calls == [("gather", (1, 64 // world))]
