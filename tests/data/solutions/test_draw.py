import pytest
import torch

from data.solutions.draw import draw_tokens, solution_seed, uniforms


def test_seeds_are_those_of_every_version():
    # Written down: another value would make other solutions of the same command.
    assert solution_seed(0, "q", 0) == 7620480952684010100
    assert solution_seed(0, "q", 1) != solution_seed(0, "q", 0) != solution_seed(1, "q", 0)
    numbers = uniforms(0, "q", 0, 4000)
    assert torch.equal(numbers[:7], uniforms(0, "q", 0, 7))  # a longer limit, the same start
    assert 0 <= numbers.min() < numbers.max() < 1
    assert numbers.mean() == pytest.approx(0.5, abs=0.02)


def test_drawing_inverts_the_cumulative_probabilities():
    # Probabilities 0.2 0.5 0.0 0.3, cumulative 0.2 0.7 0.7 1.0.
    scores = torch.tensor([0.2, 0.5, 0.0, 0.3]).log().expand(7, 4)
    numbers = torch.tensor([0.0, 0.19, 0.21, 0.69, 0.71, 0.99, 1 - 2**-24])
    assert draw_tokens(scores, numbers).tolist() == [0, 0, 1, 1, 3, 3, 3]


def test_a_token_that_is_excluded_is_never_drawn():
    # The largest number below one, where the sum of the probabilities is rounded down.
    scores = torch.full((1, 50_000), -torch.inf)
    scores[0, ::3] = torch.randn(16_667, generator=torch.Generator().manual_seed(0))
    scores[0, -1] = -torch.inf
    for number in (0.0, 0.5, 1 - 2**-24):
        token = draw_tokens(scores, torch.tensor([number])).item()
        assert scores[0, token] > -torch.inf


def test_draws_follow_the_distribution():
    scores = torch.tensor([1.0, 0.0, -1.0, 2.0, -3.0])
    numbers = torch.rand(40_000, generator=torch.Generator().manual_seed(0))
    drawn = draw_tokens(scores.expand(40_000, 5), numbers)
    shares = torch.bincount(drawn, minlength=5) / 40_000
    torch.testing.assert_close(shares, scores.softmax(0), atol=0.01, rtol=0)
