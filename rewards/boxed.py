r"""Is the answer given in a `\boxed{...}`?"""

from __future__ import annotations

from typing import Any

from rewards.answers import locate
from rewards.function import reward


@reward("boxed", range=(0.0, 1.0))
def boxed(completions: list[str], **_: Any) -> list[float]:
    r"""1 where the last `\boxed{...}` is closed and not empty, else 0; whatever it says.

    A reward for the form alone. For the form and the text, use `exact` with `how=boxed`; for the
    form and the value, `math`.

    Args:
        completions: B texts.

    Returns:
        B values of 0 or 1.
    """
    return [float(locate(text, "boxed") is not None) for text in completions]
