"""CRew as a reward: how sure the policy is of its own answer, given for right answers only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from rewards.answers import Locator, check_pattern
from rewards.function import reward
from rewards.spans import Rule

Mode = Literal["gated", "signed", "raw"]
Aggregate = Literal["mean", "geometric", "product", "min"]  # as in rewards.confidence, torch-free

# A forward in float32 is not the same to the last digit for two rows of a batch. Equal completions
# shall have equal rewards all the same, so that their group has no variance and teaches nothing.
_DECIMALS = 5


def _check_options(how: Locator | None, pattern: str | None, **_: Any) -> None:
    if how is not None or pattern is not None:
        check_pattern(str(how), pattern)


@reward(
    "crew",
    range=(-1.0, 1.0),
    signals=("answer_log_probs", "correctness"),
    check=_check_options,
)
def crew(
    completions: list[str],
    answer_log_probs: list[list[float] | None],
    correctness: list[float | None],
    mode: Mode = "gated",
    aggregate: Aggregate = "mean",
    gate: str | None = None,
    how: Locator | None = None,
    pattern: str | None = None,
    span: Rule = "overlap",
    log_extra: Callable[[str, Any], None] | None = None,
    log_metric: Callable[[str, float], None] | None = None,
) -> list[float | None]:
    """The policy's confidence c in its own answer, between 0 and 1, signed by being right.

    | mode     | right | wrong |                                                                  |
    | -------- | ----- | ----- | ---------------------------------------------------------------- |
    | `gated`  | c     | 0     | the default                                                      |
    | `signed` | c     | -c    | sure and wrong is worst                                          |
    | `raw`    | c     | c     | warned of: it also pays for being sure of what is wrong          |

    Args:
        completions: B texts.
        answer_log_probs: B lists of the answer tokens' log-probs, None where there is no answer; a
            signal that `OnlineTrainer` computes once per batch.
        correctness: B values of the reward `gate`, right from 1 up; a signal too.
        mode: see above.
        aggregate: of the answer's token probabilities; see `rewards.confidence.crew_score`.
        gate: the reward that says what is right, one of those of the trainer; by default the
            first that needs no such gate itself.
        how: where the answer stands, see `rewards.answers`; by default where the gate looks, else
            `boxed`.
        pattern: the regular expression of `how=regex`.
        span: `overlap` or `strict`; see `rewards.spans`.
        log_extra: takes the column `crew/confidence`; a trainer passes it.
        log_metric: takes the metrics `crew/*`; a trainer passes it.

    Returns:
        B values, c to five decimals: 0 where the answer is missing, None where it is not known what
        is right and the mode asks for it.

    Source: CRew, arXiv 2510.13501, for c. The paper does not train on it online; the modes are
    ours.
    """
    from rewards.confidence.crew import crew_scores

    exact = crew_scores(answer_log_probs, aggregate)
    confidence = [None if c is None else round(c, _DECIMALS) for c in exact]
    right = [None if value is None or value != value else value >= 1 for value in correctness]
    if log_extra is not None:
        log_extra("crew/confidence", confidence)
    if log_metric is not None:
        _log_metrics(confidence, right, log_metric)
    return [_value(mode, c, is_right) for c, is_right in zip(confidence, right, strict=True)]


def _value(mode: str, confidence: float | None, right: bool | None) -> float | None:
    if mode != "raw" and right is None:
        return None
    if confidence is None:
        return 0.0
    if mode == "raw" or right:
        return confidence
    return -confidence if mode == "signed" else 0.0


def _log_metrics(
    confidence: Sequence[float | None],
    right: Sequence[bool | None],
    log_metric: Callable[[str, float], None],
) -> None:
    """One call per completion, since a trainer takes the mean over calls and ranks."""
    for c, is_right in zip(confidence, right, strict=True):
        log_metric("crew/missing", float(c is None))
        if c is None:
            continue
        log_metric("crew/confidence/mean", c)
        if is_right is not None:
            log_metric(f"crew/confidence/{'right' if is_right else 'wrong'}", c)
            log_metric("crew/overconfidence", c - is_right)
            log_metric("crew/brier", (c - is_right) ** 2)
