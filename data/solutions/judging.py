"""Training-free measures of how good a solution is, all through one function.

| measure | a solution's score, higher is better | passes of the model |
| --- | --- | --- |
| `crew` | mean probability of the answer's tokens | one, shared |
| `perplexity` | 1 / perplexity of the whole solution, in (0, 1] | the same |
| `self_certainty` | mean KL(U ‖ p) over the solution, in nats | the same |
| `norm_entropy` | exp(mean log-prob) x (1 - mean entropy / log V) of the solution | the same |
| `deepconf` | least sure window of minus the mean of the 20 highest log-probs | the same |
| `verifier` | P(Yes) / (P(Yes) + P(No)) when asked whether the answer is right | one |
| `judge` | 1 to 5 points that the model gives in writing | generates |
| `random` | a number in [0, 1), seeded | none |

Source: the baselines of arXiv 2510.13501, Table 1. Its prompts are not published: the judge's
follows the additive 5-point prompt of Self-Rewarding Language Models (arXiv 2401.10020, Figure 2)
and the verifier's asks for Yes or No as generative verifiers do (arXiv 2408.15240), in our words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from data.prompts import prompt_ids
from data.solutions.draw import solution_seed
from data.solutions.next_token import next_token_log_probs
from data.solutions.sample import sample
from data.solutions.score import score
from data.solutions.solution import Solution
from rewards.answers import Locator, extract
from rewards.errors import ConfigError
from rewards.registry import did_you_mean

JUDGE_PROMPT = """\
Read the problem and the solution that somebody wrote for it. Rate the solution by points that add \
up, from 1 to 5:

- 1 point if the solution is about the problem and says something useful, even if it is incomplete.
- Another point if it deals with a substantial part of the problem, without settling it.
- A third point if its approach could lead to the answer, even if some steps are wrong.
- A fourth point if its steps are clear, follow from each other and contain at most a small slip.
- A fifth point if every step is right and the final answer is correct.

Problem:
{problem}

Solution:
{solution}

Explain your rating in at most 100 words. Then end with a line "Score: <total points>"."""

VERIFIER_PROMPT = """\
Problem:
{problem}

Solution:
{solution}

Is the final answer of this solution correct? Answer with one word, Yes or No."""

POINTS = 5
"""The most points of the judge."""

_FIELD = re.compile(r"\{(problem|solution)\}")
# `Score: 4`, `**Score:** 4/5`, `Score: <4>`; what follows must not make it another number.
_SCORE = re.compile(r"score[\s*_]*:[\s*_<]*(\d+(?:\.\d+)?)(?![\d.]*\d)", re.IGNORECASE)
_WORDS = {"yes": ("Yes", " Yes", "yes", " yes", "YES"), "no": ("No", " No", "no", " no", "NO")}


@dataclass(frozen=True)
class Measure:
    """What is known of a measure.

    Attributes:
        name: of it, and of its key in `Solution.confidence`.
        about: one line.
        probability: turns a score into a number in [0, 1] that can be held against the share of
            right solutions; None where there is no such reading.
    """

    name: str
    about: str
    probability: Callable[[float], float] | None = None


def _itself(value: float) -> float:
    return value


MEASURES: dict[str, Measure] = {
    one.name: one
    for one in (
        Measure("crew", "mean probability of the answer's tokens", _itself),
        Measure("perplexity", "1 / perplexity of the whole solution", _itself),
        Measure("self_certainty", "mean KL from the uniform distribution, nats"),
        Measure("norm_entropy", "probability and entropy of the whole solution", _itself),
        Measure("deepconf", "DeepConf of the least sure window, nats"),
        Measure("verifier", "P(Yes) / (P(Yes) + P(No)), asked whether it is right", _itself),
        Measure("judge", "1 to 5 points in writing", lambda points: points / POINTS),
        Measure("random", "a seeded random number", _itself),
    )
}
"""The measures in the order in which they are reported."""

_READ = {
    "crew": "crew",
    "perplexity": "mean_log_prob",
    "self_certainty": "self_certainty",
    "norm_entropy": "norm_entropy",
    "deepconf": "deepconf",
}


@dataclass(frozen=True)
class JudgeSettings:
    """What scores depend on besides model and solutions.

    Attributes:
        locator: where the answer stands; see `rewards.answers`.
        pattern: the regular expression of `locator=regex`.
        aggregate: of the answer's token probabilities, for `crew`.
        span: which tokens are the answer's: "overlap" or "strict".
        judge_prompt: with {problem} and {solution} in it.
        verifier_prompt: the same.
        max_new_tokens: of what the judge writes; one that is cut off before its score is missing.
        deepconf_window: tokens of a window of `deepconf`.
        batch_size: solutions at a time.
        seed: of `random`.
        chat_template_kwargs: for the chat template of the judge's and verifier's prompts.
    """

    locator: Locator = "boxed"
    pattern: str | None = None
    aggregate: str = "mean"
    span: str = "overlap"
    judge_prompt: str = JUDGE_PROMPT
    verifier_prompt: str = VERIFIER_PROMPT
    max_new_tokens: int = 256
    deepconf_window: int = 2048
    batch_size: int = 16
    seed: int = 0
    chat_template_kwargs: Mapping[str, Any] | None = None


def judge_solutions(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    solutions: Sequence[Solution],
    problems: Mapping[str, str],
    *,
    measures: Sequence[str] = ("crew",),
    settings: JudgeSettings = JudgeSettings(),
) -> list[Solution]:
    """Score solutions by some measures with one model.

    Args:
        model: a causal language model, the solutions' own or another one.
        tokenizer: its tokenizer; the solutions' tokens are of it.
        solutions: of any questions, in any order.
        problems: the text of each question by its id, for `judge` and `verifier`.
        measures: names of `MEASURES`.
        settings: of the measures.

    Returns:
        The solutions in the same order, with `answer` as the locator finds it, and each measure in
        `confidence` under its name; absent where it is missing: `crew` without an answer, `judge`
        without a readable score from 1 to 5, any of a model's where solution or prompt is longer
        than its context.

    Raises:
        ConfigError: an unknown measure, or a tokenizer without tokens for Yes and No.
    """
    check_measures(measures)
    read = [key for name, key in _READ.items() if name in measures]
    if read:
        found = score(
            model,
            tokenizer,
            solutions,
            measures=read,
            locator=settings.locator,
            pattern=settings.pattern,
            aggregate=settings.aggregate,
            span=settings.span,
            window=settings.deepconf_window,
            batch_size=settings.batch_size,
        )
    else:
        found = [
            replace(one, answer=extract(one.text, settings.locator, settings.pattern))
            for one in solutions
        ]
    if "perplexity" in measures:
        found = [
            _with(one, "perplexity", math.exp(one.confidence["mean_log_prob"]))
            if "mean_log_prob" in one.confidence
            else one
            for one in found
        ]
    asked = (model, tokenizer, found, problems, settings)
    for name, measure in (("verifier", _verify), ("judge", _rate)):
        if name in measures:
            values = measure(*asked)
            found = [_with(one, name, v) for one, v in zip(found, values, strict=True)]
    if "random" in measures:
        found = [_with(one, "random", random_score(one, settings.seed)) for one in found]
    return found


def check_measures(measures: Sequence[str]) -> None:
    """Raise ConfigError for a name that is no measure, and for none at all."""
    if not measures:
        raise ConfigError(f"no measure is asked for: name some of {', '.join(MEASURES)}")
    for name in measures:
        if name not in MEASURES:
            raise ConfigError(f"There is no measure {name!r}. {did_you_mean(name, MEASURES)}")


def fill(prompt: str, problem: str, solution: str) -> str:
    """The prompt with its two fields filled; braces in what is filled in stay as they are."""
    values = {"problem": problem, "solution": solution}
    return _FIELD.sub(lambda field: values[field.group(1)], prompt)


def read_points(text: str) -> float | None:
    """The points that a judge's text ends with: the last `Score: N`, or None.

    None too for a number outside 1 to 5: a judge that invents a scale has not used this one.
    """
    found = _SCORE.findall(text)
    if not found:
        return None
    points = float(found[-1])
    return points if 1 <= points <= POINTS else None


def random_score(solution: Solution, seed: int) -> float:
    """A number in [0, 1) of this solution's own."""
    return solution_seed(seed, solution.question_id, solution.index) / 2**63


def yes_and_no(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """The tokens that say Yes and No: of the spellings that are one token, all; else the first one.

    Raises:
        ConfigError: the tokenizer cannot tell the two apart by one token.
    """
    yes, no = (_first_tokens(tokenizer, words) for words in _WORDS.values())
    if not yes or not no or set(yes) & set(no):
        raise ConfigError(
            f"the tokenizer of {tokenizer.name_or_path or 'the model'} has no tokens that tell Yes "
            "from No, so the measure `verifier` cannot be taken: leave it out"
        )
    return yes, no


def _first_tokens(tokenizer: PreTrainedTokenizerBase, words: Sequence[str]) -> list[int]:
    whole: list[int] = []
    first: list[int] = []
    void = set(tokenizer.all_special_ids)
    for word in words:
        ids = tokenizer(word, add_special_tokens=False)["input_ids"]
        if ids and not void.intersection(ids):
            first.append(ids[0])
            whole += ids if len(ids) == 1 else []
    return sorted(set(whole)) or first[:1]


def _verify(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    solutions: Sequence[Solution],
    problems: Mapping[str, str],
    settings: JudgeSettings,
) -> list[float | None]:
    yes, no = yes_and_no(tokenizer)
    prompts = _prompts(tokenizer, solutions, problems, settings.verifier_prompt)
    ids = prompt_ids(tokenizer, prompts, settings.chat_template_kwargs)
    able = _fitting(model, ids, 1)
    found = next_token_log_probs(
        model, tokenizer, [ids[at] for at in able], [*yes, *no], batch_size=settings.batch_size
    ).double()
    # By the difference of logarithms: as a quotient, sure answers would tie at 1.
    odds = found[:, : len(yes)].logsumexp(dim=1) - found[:, len(yes) :].logsumexp(dim=1)
    return _at(able, odds.sigmoid().tolist(), len(solutions))


def _rate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    solutions: Sequence[Solution],
    problems: Mapping[str, str],
    settings: JudgeSettings,
) -> list[float | None]:
    prompts = _prompts(tokenizer, solutions, problems, settings.judge_prompt)
    ids = prompt_ids(tokenizer, prompts, settings.chat_template_kwargs)
    able = _fitting(model, ids, settings.max_new_tokens)
    written = sample(
        model,
        tokenizer,
        [{"id": str(at), "prompt": prompts[at]} for at in able],
        greedy=True,
        max_new_tokens=settings.max_new_tokens,
        batch_size=settings.batch_size,
        chat_template_kwargs=settings.chat_template_kwargs,
    )
    return _at(able, [read_points(one.text) for one in written], len(solutions))


def _fitting(model: PreTrainedModel, ids: Sequence[Sequence[int]], room: int) -> list[int]:
    """Which prompts leave room for so many tokens in the model's context."""
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None) or math.inf
    return [at for at, prompt in enumerate(ids) if len(prompt) + room <= limit]


def _at(places: Sequence[int], values: Sequence[float | None], count: int) -> list[float | None]:
    """The values at their places among `count`, None everywhere else."""
    found = dict(zip(places, values, strict=True))
    return [found.get(at) for at in range(count)]


def _prompts(
    tokenizer: PreTrainedTokenizerBase,
    solutions: Sequence[Solution],
    problems: Mapping[str, str],
    prompt: str,
) -> list[Any]:
    """Chat messages where the tokenizer has a template, else text."""
    texts = [fill(prompt, problems[one.question_id], one.text) for one in solutions]
    if tokenizer.chat_template is None:
        return [text + "\n" for text in texts]
    return [[{"role": "user", "content": text}] for text in texts]


def _with(solution: Solution, name: str, value: float | None) -> Solution:
    kept = {key: old for key, old in solution.confidence.items() if key != name}
    return replace(solution, confidence=kept if value is None else {**kept, name: value})
