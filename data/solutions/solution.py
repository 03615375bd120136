"""One sampled solution: the record that sampling, verifying, scoring and voting all pass on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from rewards.errors import ConfigError

Finish = Literal["stop", "length"]


@dataclass(frozen=True)
class Solution:
    """A completion sampled outside training, with what has been found out about it so far.

    T is the number of completion tokens, the end-of-sequence token included.

    Attributes:
        question_id: The row's `id`; solutions of one question share it.
        index: 0, 1, ... among the solutions of the question.
        prompt_ids: Token ids of the prompt, without padding.
        completion_ids: (T,) token ids.
        text: The completion as text, without special tokens.
        finish: "stop" at an end-of-sequence token, "length" where the token limit cut it off; of an
            episode "stop" where it came to its end, "length" where a limit or a fault ended it.
        log_probs: (T,) log-probability of each token in nats under the model itself: at temperature
            1 and before top-p, whatever it was sampled with.
        entropy: (T,) entropy in nats of the distributions that the tokens were drawn from, again
            at temperature 1 and before top-p.
        answer: The final answer found in `text`; None until somebody looks, or if there is none.
        verdict: Right, wrong, or None: not verified, or not verifiable.
        confidence: Confidence scores by the name of their measure.
        gold: The right answer as text, None if unknown.
        level: Difficulty as the task numbers it, None if it does not.
        mask: (T,) 1 where the model wrote the token and 0 where an environment did; empty where the
            model wrote all. Log-prob and entropy of a token that it did not write are 0.
        played: What playing in an environment adds for rewards to read, such as `success`.
    """

    question_id: str
    index: int
    prompt_ids: list[int]
    completion_ids: list[int]
    text: str
    finish: Finish
    log_probs: list[float] = field(default_factory=list)
    entropy: list[float] = field(default_factory=list)
    answer: str | None = None
    verdict: bool | None = None
    confidence: dict[str, float] = field(default_factory=dict)
    gold: str | None = None
    level: int | None = None
    mask: list[int] = field(default_factory=list)
    played: dict[str, float] = field(default_factory=dict)

    @property
    def own(self) -> list[int]:
        """Places in `completion_ids` of the tokens that the model wrote."""
        count = len(self.completion_ids)
        return [at for at in range(count) if not self.mask or self.mask[at]]


def check_own_words(solutions: Iterable[Solution], use: str) -> None:
    """Refuse solutions in which tools or an environment had a say, where all of a text is learnt.

    Args:
        solutions: Any.
        use: What is done with them, such as "made into pairs".

    Raises:
        ConfigError: There is one.
    """
    if any(one.mask for one in solutions):
        raise other_words(use)


def other_words(use: str) -> ConfigError:
    """The error of `check_own_words`."""
    return ConfigError(
        f"solutions with what tools or an environment said in them cannot be {use}: it would be "
        "learnt as though the model had written it. trainer=sft with demonstrations.as_text=false "
        "learns the model's own tokens of them"
    )


def unfit(solution: Solution) -> str | None:
    """Why a solution cannot be learnt from, whatever else it is; None if it is right and finished.

    One that was cut off would teach not to end, though it is right.
    """
    if solution.verdict is None:
        return "not verified"
    if not solution.verdict:
        return "wrong"
    return "cut off" if solution.finish == "length" else None
