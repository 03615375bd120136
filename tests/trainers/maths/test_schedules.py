"""Half cosines: worked values 1 to 3 of the method notes."""

import pytest

from trainers.maths.schedules import decay, warm_up


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 0), (1, 0.0000617), (10, 0.006156), (50, 0.146447), (75, 0.308658), (100, 0.5),
        (150, 0.853553), (200, 1), (201, 1),
    ],
)  # fmt: skip
def test_warm_up_over_200(step, expected):
    assert warm_up(step, 200) == pytest.approx(expected, abs=1e-6)
    assert warm_up(step * 3, 600) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("step", "total", "expected"),
    [
        (10, 100, 0.024472), (25, 100, 0.146447), (75, 100, 0.853553), (100, 300, 0.25),
        (200, 300, 0.75), (250, 300, 0.933013),
    ],
)  # fmt: skip
def test_warm_up_over_other_lengths(step, total, expected):
    assert warm_up(step, total) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 1), (1, 0.999938), (20, 0.975528), (50, 0.853553), (100, 0.5), (190, 0.006156),
        (200, 0), (201, 0),
    ],
)  # fmt: skip
def test_decay_over_200(step, expected):
    assert decay(step, 200) == pytest.approx(expected, abs=1e-6)


def test_ends():
    assert (warm_up(-3, 200), decay(-3, 200)) == (0.0, 1.0)
    assert (warm_up(0, 0), decay(0, 0)) == (1.0, 0.0)
    rise = [warm_up(step, 37) for step in range(40)]
    assert rise == sorted(rise)
