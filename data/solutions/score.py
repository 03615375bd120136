"""How sure a model is of solutions: one teacher-forced pass of any causal language model."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from data.solutions.solution import Solution
from rewards.answers import Locator
from rewards.confidence import Aggregate, crew_score, head_scaling
from rewards.confidence.certainty import certainty_given_logsumexp
from rewards.spans import AnswerFinder, AnswerTokens

Measure = Literal["crew", "mean_log_prob", "self_certainty"]
CREW_KEYS = ("crew", "crew_log_prob", "crew_tokens", "crew_min")

# Elements of one chunk of logits: 2**23 float32 are 32 MiB whatever the vocabulary.
_CHUNK_ELEMENTS = 2**23

_LEAST_FILLED = 7 / 8

_log = logging.getLogger(__name__)


def score(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    solutions: Sequence[Solution],
    *,
    measures: Sequence[str] = ("crew",),
    locator: Locator = "boxed",
    pattern: str | None = None,
    aggregate: str = "mean",
    span: str = "overlap",
    batch_size: int = 16,
    progress: Callable[[int, int], None] | None = None,
) -> list[Solution]:
    """Find each solution's answer and measure how sure `model` is of it.

    Probabilities are the model's own: at temperature 1 over the whole vocabulary, in float32,
    whatever the solutions were sampled with. Only the positions that the measures read go through
    the output matrix, a chunk at a time, and what follows the last of them is not read at all. A
    score depends neither on the solutions that share a batch nor on the tokenizer's padding side.

    Args:
        model: Any causal language model, an adapter on it included; the one that wrote the
            solutions or another one with the same tokenizer. Its mode is left as found.
        tokenizer: That of the solutions' token ids.
        solutions: From `sample`, `read_solutions` or `from_texts`.
        measures: Any of "crew" (confidence in the answer, see `rewards.confidence.crew_score`),
            "mean_log_prob" (of all completion tokens, in nats: minus the log of the perplexity) and
            "self_certainty" (mean KL(U || p) over the completion, in nats).
        locator: Where the answer stands; see `rewards.answers`.
        pattern: The regular expression of `locator="regex"`.
        aggregate: Of the answer's token probabilities: "mean", "geometric", "product" or "min".
        span: "overlap" or "strict"; see `rewards.spans.AnswerFinder`.
        batch_size: Most solutions per forward; those of like length share one.
        progress: Called as `progress(done, total)` after each batch, in solutions.

    Returns:
        The solutions in order, with `answer` (None where it is missing) and, in `confidence`, per
        measure: `crew`, `crew_log_prob` (mean log-prob of the answer's tokens: a tie-break),
        `crew_tokens` (how many) and `crew_min` (the least of their probabilities), all absent where
        the answer is missing; `mean_log_prob`; `self_certainty`. A solution longer than the model's
        context has none of them, and a warning says how many there are.

    Raises:
        ConfigError: There is no such locator or span rule, or the pattern does not fit.
        ValueError: There is no such measure or aggregate, a solution has no prompt, or the model
            computes its logits in a way that is not understood here.
    """
    _check(measures, aggregate, batch_size, solutions)
    find = AnswerFinder(tokenizer, locator, pattern, span)
    answers = [find(solution.completion_ids) for solution in solutions]
    jobs = [_job(*pair, measures) for pair in zip(solutions, answers, strict=True)]
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None) or torch.inf
    long = sum(len(job.ids) > limit for job in jobs)
    if long:
        _log.warning("%d solutions exceed the model's %d tokens and get no score", long, limit)
    order = sorted(
        (at for at, job in enumerate(jobs) if job.positions and len(job.ids) <= limit),
        key=lambda at: -len(jobs[at].ids),
    )
    found: dict[int, dict[str, float]] = {}
    done = len(jobs) - len(order)
    with _evaluating(model), torch.no_grad():
        forward = _Forward(model, "self_certainty" in measures)
        for batch in _batches(order, [len(job.ids) for job in jobs], batch_size):
            results = forward([jobs[at] for at in batch])
            for at, (log_probs, certainty) in zip(batch, results, strict=True):
                found[at] = _measure(jobs[at], log_probs, certainty, measures, aggregate)
            done += len(batch)
            if progress is not None:
                progress(done, len(jobs))
    scored = []
    for at, (solution, answer) in enumerate(zip(solutions, answers, strict=True)):
        kept = {k: v for k, v in solution.confidence.items() if k not in _keys(measures)}
        scored.append(
            replace(
                solution,
                answer=None if answer is None else answer.text,
                confidence=kept | found.get(at, {}),
            )
        )
    return scored


@dataclass(frozen=True)
class _Job:
    """One row of a forward.

    Attributes:
        ids: Token ids up to the last one that is scored.
        positions: Places in `ids` of the tokens to score, ascending.
        answer: Which of `positions` belong to the answer, as indices into it.
    """

    ids: list[int]
    positions: list[int]
    answer: list[int]


def _job(solution: Solution, answer: AnswerTokens | None, measures: Sequence[str]) -> _Job:
    tokens = () if answer is None or "crew" not in measures else answer.tokens
    whole = any(name != "crew" for name in measures)
    wanted = list(range(len(solution.completion_ids))) if whole else list(tokens)
    first = len(solution.prompt_ids)
    last = wanted[-1] + 1 if wanted else 0
    return _Job(
        ids=[*solution.prompt_ids, *solution.completion_ids[:last]],
        positions=[first + token for token in wanted],
        answer=list(tokens) if whole else list(range(len(tokens))),
    )


def _batches(order: Sequence[int], lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Cut `order`, the longest first, into batches in which no row is more than 1/8 padding."""
    batch: list[int] = []
    for at in order:
        if batch and (len(batch) == size or lengths[at] < _LEAST_FILLED * lengths[batch[0]]):
            yield batch
            batch = []
        batch.append(at)
    if batch:
        yield batch


def _measure(
    job: _Job,
    log_probs: Tensor,
    certainty: Tensor | None,
    measures: Sequence[str],
    aggregate: str,
) -> dict[str, float]:
    """The keys of one solution from (N,) log-probs and, where measured, certainties."""
    values: dict[str, float] = {}
    if "crew" in measures and job.answer:
        own = log_probs[job.answer][None]
        mask = torch.ones_like(own, dtype=torch.bool)
        values["crew"] = float(crew_score(own, mask, aggregate))
        values["crew_log_prob"] = float(own.double().mean())
        values["crew_tokens"] = float(len(job.answer))
        values["crew_min"] = float(crew_score(own, mask, "min"))
    if "mean_log_prob" in measures:
        values["mean_log_prob"] = float(log_probs.double().mean())
    if certainty is not None:
        values["self_certainty"] = float(certainty.double().mean())
    return values


class _Forward:
    """Forwards that hand over hidden states in place of logits.

    The output matrix is given one position only, and its logits are compared with ours, so that a
    model that does more than scale and cap them is refused rather than scored wrongly.
    """

    def __init__(self, model: PreTrainedModel, with_certainty: bool) -> None:
        self._model = model
        self._head = model.get_output_embeddings()
        self._scale, self._softcap = head_scaling(model.config)
        self._with_certainty = with_certainty
        self._checked = False

    def __call__(self, jobs: Sequence[_Job]) -> list[tuple[Tensor, Tensor | None]]:
        """(N,) log-probs and certainties of each job's positions, on the CPU."""
        # The last token is scored, and nothing is predicted from it.
        width = max(len(job.ids) for job in jobs) - 1
        ids = torch.zeros(len(jobs), width, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, job in enumerate(jobs):
            length = len(job.ids) - 1
            ids[row, :length] = torch.tensor(job.ids[:-1])
            mask[row, :length] = 1
        hidden = self._hidden(ids.to(self._model.device), mask.to(self._model.device))
        rows = [row for row, job in enumerate(jobs) for _ in job.positions]
        before = [place - 1 for job in jobs for place in job.positions]
        labels = torch.tensor([job.ids[place] for job in jobs for place in job.positions])
        log_probs, certainty = self._reduce(hidden[rows, before], labels)
        sizes = [len(job.positions) for job in jobs]
        certainties = (
            [None] * len(jobs) if certainty is None else torch.split(certainty.cpu(), sizes)
        )
        return list(zip(torch.split(log_probs.cpu(), sizes), certainties, strict=True))

    def _hidden(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(B, S, H), what the output matrix would be given."""
        seen: list[Tensor] = []

        def keep_one(module: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
            seen.append(arguments[0])
            return (arguments[0][:1, -1:], *arguments[1:])

        handle = self._head.register_forward_pre_hook(keep_one)
        try:
            logits = self._model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        finally:
            handle.remove()
        if not self._checked:
            self._check(logits[0], self._logits(seen[0][0, -1:]))
        # An adapter of the prompt-tuning kind puts tokens of its own before ours.
        return seen[0][:, -ids.size(1) :]

    def _check(self, logits: Tensor, ours: Tensor) -> None:
        near = 1e-3 if logits.dtype in (torch.float32, torch.float64) else 0.1
        if not torch.allclose(logits.to(ours), ours, rtol=near, atol=near, equal_nan=True):
            raise ValueError(
                f"{type(self._model).__name__} turns hidden states into logits by more than an "
                "output matrix, a scale and a soft cap, so its confidence cannot be computed here"
            )
        self._checked = True

    def _logits(self, hidden: Tensor) -> Tensor:
        """(N, H) -> (N, V), as the softmax sees them, in float32 or wider."""
        logits: Tensor = self._head(hidden)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        if self._scale != 1.0:
            logits = logits * self._scale
        if self._softcap is not None:
            logits = (logits / self._softcap).tanh_() * self._softcap
        return logits

    def _reduce(self, hidden: Tensor, labels: Tensor) -> tuple[Tensor, Tensor | None]:
        rows = max(1, _CHUNK_ELEMENTS // self._model.config.get_text_config().vocab_size)
        log_probs, certainties = [], []
        for h, y in zip(torch.split(hidden, rows), torch.split(labels, rows), strict=True):
            # Not chosen - logsumexp: that loses the digits that tell two sure answers apart.
            every = self._logits(h).log_softmax(dim=-1)
            log_probs.append(every.gather(-1, y[:, None].to(every.device)).squeeze(-1))
            if self._with_certainty:
                zero = torch.zeros_like(log_probs[-1])
                certainties.append(certainty_given_logsumexp(every, zero))
        return torch.cat(log_probs), torch.cat(certainties) if certainties else None


def _keys(measures: Sequence[str]) -> set[str]:
    """What the measures write, so that nothing of an earlier scoring is left."""
    return {*measures, *(CREW_KEYS if "crew" in measures else ())}


@contextmanager
def _evaluating(model: PreTrainedModel) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def _check(
    measures: Sequence[str], aggregate: str, batch_size: int, solutions: Sequence[Solution]
) -> None:
    unknown = [name for name in measures if name not in get_args(Measure)]
    if unknown or not measures or isinstance(measures, str):
        raise ValueError(
            f"measures={measures!r}: expected a list of some of {', '.join(get_args(Measure))}"
        )
    if aggregate not in get_args(Aggregate):
        raise ValueError(f"aggregate={aggregate!r}: expected {', '.join(get_args(Aggregate))}")
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}: expected 1 or more")
    for solution in solutions:
        if not solution.prompt_ids:
            raise ValueError(
                f"solution {solution.index} of question {solution.question_id!r} has no prompt, so "
                "nothing predicts its first token"
            )
