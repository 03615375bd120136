"""Half a cosine up or down over the generations of a run."""

import math


def warm_up(step: float, total: float) -> float:
    """Rise from 0 at step 0 to 1 at step `total`: (1 - cos(pi step / total)) / 2, then 1.

    Args:
        step: a count; below 0 it is taken for 0.
        total: length of the rise; 0 or less: risen at once.

    Returns:
        In [0, 1].

    Source: SPEAR (arXiv 2509.22601), weight of the self-imitation term.
    """
    if total <= 0 or step >= total:
        return 1.0
    return (1.0 - math.cos(math.pi * max(step, 0.0) / total)) / 2.0


def decay(step: float, total: float) -> float:
    """Fall from 1 at step 0 to 0 at step `total`, the mirror of `warm_up`; 0 if `total` is 0.

    Source: SPEAR (arXiv 2509.22601), weight of the tool-call reward.
    """
    return 1.0 - warm_up(step, total)
