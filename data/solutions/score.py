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

from data.solutions.prefix import plain_cache
from data.solutions.solution import Solution
from rewards.answers import Locator
from rewards.confidence import Aggregate, crew_score, head_scaling
from rewards.confidence.certainty import certainty_given_logsumexp
from rewards.confidence.trajectory import (
    group_confidence,
    top_k_confidence,
    trajectory_confidence,
)
from rewards.spans import AnswerFinder, AnswerTokens

Measure = Literal["crew", "mean_log_prob", "self_certainty", "norm_entropy", "deepconf"]
KEYS: dict[str, tuple[str, ...]] = {
    "crew": ("crew", "crew_log_prob", "crew_tokens", "crew_min"),
    "deepconf": ("deepconf", "deepconf_mean", "deepconf_bottom", "deepconf_tail"),
}
"""What a measure writes, where that is more than its own name."""

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
    window: int = 2048,
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
            "mean_log_prob" (of all completion tokens, in nats: minus the log of the perplexity),
            "self_certainty" (mean KL(U || p) over the completion, in nats), "norm_entropy" and
            "deepconf" (see `rewards.confidence.trajectory`).
        locator: Where the answer stands; see `rewards.answers`.
        pattern: The regular expression of `locator="regex"`.
        aggregate: Of the answer's token probabilities: "mean", "geometric", "product" or "min".
        span: "overlap" or "strict"; see `rewards.spans.AnswerFinder`.
        window: tokens of a window of "deepconf", at least 1.
        batch_size: Most solutions per forward; those of like length share one.
        progress: Called as `progress(done, total)` after each batch, in solutions.

    Returns:
        The solutions in order, with `answer` (None where it is missing) and, in `confidence`, per
        measure: `crew`, `crew_log_prob` (mean log-prob of the answer's tokens: a tie-break),
        `crew_tokens` (how many) and `crew_min` (the least of their probabilities), all absent where
        the answer is missing; `mean_log_prob`; `self_certainty`; `norm_entropy`; `deepconf` (of the
        least sure window), `deepconf_mean`, `deepconf_bottom`, `deepconf_tail`. A solution longer
        than the model's context has none of them, and a warning says how many there are.

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
    able = [at for at, job in enumerate(jobs) if job.positions and len(job.ids) <= limit]
    found: dict[int, dict[str, float]] = {}
    done = len(jobs) - len(able)
    with _evaluating(model), torch.no_grad():
        forward = _Forward(model, [name for name in _OF_TOKENS if name in measures])
        for batch in _batches(able, solutions, jobs, batch_size):
            results = forward([jobs[at] for at in batch])
            for at, tokens in zip(batch, results, strict=True):
                found[at] = _measure(
                    jobs[at], tokens, measures, aggregate, forward.vocab_size, window
                )
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
    own = solution.own
    tokens = tuple(set(tokens).intersection(own)) if solution.mask else tokens
    wanted = own if whole else sorted(tokens)
    first = len(solution.prompt_ids)
    last = wanted[-1] + 1 if wanted else 0
    return _Job(
        ids=[*solution.prompt_ids, *solution.completion_ids[:last]],
        positions=[first + token for token in wanted],
        answer=[at for at, token in enumerate(wanted) if token in tokens],
    )


def _batches(
    able: Sequence[int], solutions: Sequence[Solution], jobs: Sequence[_Job], size: int
) -> Iterator[list[int]]:
    """Cut the rows into batches.

    Where most of the tokens are those of a prompt that several solutions share, a question's rows
    are batches of their own, since what all rows of a batch begin with is read once.
    """
    questions: dict[str, list[int]] = {}
    for at in able:
        questions.setdefault(solutions[at].question_id, []).append(at)
    rest: list[int] = []
    for rows in questions.values():
        if _worth_sharing(len(solutions[rows[0]].prompt_ids), [len(jobs[at].ids) for at in rows]):
            yield from _of_like_length(rows, jobs, size)
        else:
            rest += rows
    yield from _of_like_length(rest, jobs, size)


def _worth_sharing(prefix: int, lengths: Sequence[int]) -> bool:
    """Whether reading a prefix once spares more tokens than are read besides."""
    return (len(lengths) - 1) * prefix > sum(length - prefix for length in lengths)


def _of_like_length(rows: Sequence[int], jobs: Sequence[_Job], size: int) -> Iterator[list[int]]:
    """Cut into batches, the longest first, in which no row is more than 1/8 padding."""
    batch: list[int] = []
    for at in sorted(rows, key=lambda at: -len(jobs[at].ids)):
        length = len(jobs[at].ids)
        if batch and (len(batch) == size or length < _LEAST_FILLED * len(jobs[batch[0]].ids)):
            yield batch
            batch = []
        batch.append(at)
    if batch:
        yield batch


def _measure(
    job: _Job,
    tokens: dict[str, Tensor],
    measures: Sequence[str],
    aggregate: str,
    vocab_size: int,
    window: int,
) -> dict[str, float]:
    """The keys of one solution from what is known of its tokens, each (N,)."""
    values: dict[str, float] = {}
    log_probs = tokens["log_prob"]
    if "crew" in measures and job.answer:
        own = log_probs[job.answer][None]
        mask = torch.ones_like(own, dtype=torch.bool)
        values["crew"] = float(crew_score(own, mask, aggregate))
        values["crew_log_prob"] = float(own.double().mean())
        values["crew_tokens"] = float(len(job.answer))
        values["crew_min"] = float(crew_score(own, mask, "min"))
    mean = log_probs.double().mean(dim=0, keepdim=True)
    if "mean_log_prob" in measures:
        values["mean_log_prob"] = float(mean)
    if "self_certainty" in tokens:
        values["self_certainty"] = float(tokens["self_certainty"].double().mean())
    if "norm_entropy" in tokens:
        entropy = tokens["norm_entropy"].double().mean(dim=0, keepdim=True)
        found = trajectory_confidence(mean, entropy, "norm_entropy", vocab_size)
        values["norm_entropy"] = float(found)
    if "deepconf" in tokens:
        for key, reduction in zip(KEYS["deepconf"], _DEEPCONF, strict=True):
            values[key] = float(group_confidence(tokens["deepconf"], window, reduction))
    return values


def _certainty(every: Tensor) -> Tensor:
    return certainty_given_logsumexp(every, torch.zeros_like(every[:, 0]))


def _entropy(every: Tensor) -> Tensor:
    entropy: Tensor = torch.special.entr(every.exp()).sum(dim=-1)
    return entropy


# (N, V) log-probs to what a measure reads of each token, (N,).
_OF_TOKENS: dict[str, Callable[[Tensor], Tensor]] = {
    "self_certainty": _certainty,
    "norm_entropy": _entropy,
    "deepconf": top_k_confidence,
}
_DEEPCONF = ("lowest", "mean", "bottom", "tail")


class _Forward:
    """Forwards that hand over hidden states in place of logits.

    The output matrix is given one position only, and its logits are compared with ours, so that a
    model that does more than scale and cap them is refused rather than scored wrongly.
    """

    def __init__(self, model: PreTrainedModel, names: Sequence[str]) -> None:
        self._model = model
        self._head = model.get_output_embeddings()
        self._scale, self._softcap = head_scaling(model.config)
        self._names = ("log_prob", *names)
        self.vocab_size: int = model.config.get_text_config().vocab_size
        self._checked = False

    def __call__(self, jobs: Sequence[_Job]) -> list[dict[str, Tensor]]:
        """By name, (N,) values of each job's positions, on the CPU: "log_prob" and the names."""
        # The last token is scored, and nothing is predicted from it.
        width = max(len(job.ids) for job in jobs) - 1
        ids = torch.zeros(len(jobs), width, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, job in enumerate(jobs):
            length = len(job.ids) - 1
            ids[row, :length] = torch.tensor(job.ids[:-1])
            mask[row, :length] = 1
        prefix = self._prefix(ids, jobs)
        hidden = self._hidden(ids.to(self._model.device), mask.to(self._model.device), prefix)
        rows = [row for row, job in enumerate(jobs) for _ in job.positions]
        before = [place - 1 - prefix for job in jobs for place in job.positions]
        labels = torch.tensor([job.ids[place] for job in jobs for place in job.positions])
        values = self._reduce(hidden[rows, before], labels).cpu()
        found = torch.split(values, [len(job.positions) for job in jobs], dim=1)
        return [dict(zip(self._names, rows, strict=True)) for rows in found]

    def _prefix(self, ids: Tensor, jobs: Sequence[_Job]) -> int:
        """How many tokens to read once for all rows: those they begin with, none of them scored."""
        most = min(job.positions[0] for job in jobs) - 1
        prefix = int((ids[:, :most] == ids[0, :most]).all(dim=0).int().cumprod(dim=0).sum())
        lengths = [len(job.ids) - 1 for job in jobs]
        shares = _worth_sharing(prefix, lengths) and plain_cache(self._model) is not None
        return prefix if shares else 0

    def _hidden(self, ids: Tensor, mask: Tensor, prefix: int) -> Tensor:
        """(B, S - prefix, H), what the output matrix would be given."""
        seen: list[Tensor] = []

        def keep_one(module: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
            seen.append(arguments[0])
            return (arguments[0][:1, -1:], *arguments[1:])

        given: dict[str, Any] = {"use_cache": False}
        handle = self._head.register_forward_pre_hook(keep_one)
        try:
            if prefix:
                cache = plain_cache(self._model)
                assert cache is not None
                self._model(input_ids=ids[:1, :prefix], past_key_values=cache, use_cache=True)
                cache.batch_repeat_interleave(len(ids))
                given = {"past_key_values": cache, "use_cache": True}
            logits = self._model(input_ids=ids[:, prefix:], attention_mask=mask, **given).logits
        finally:
            handle.remove()
        hidden = seen[-1]
        if not self._checked:
            self._check(logits[0], self._logits(hidden[0, -1:]))
        # An adapter of the prompt-tuning kind puts tokens of its own before ours.
        return hidden[:, -(ids.size(1) - prefix) :]

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

    def _reduce(self, hidden: Tensor, labels: Tensor) -> Tensor:
        """(names, N) from (N, H): a chunk of logits at a time."""
        rows = max(1, _CHUNK_ELEMENTS // self.vocab_size)
        chunks = []
        for h, y in zip(torch.split(hidden, rows), torch.split(labels, rows), strict=True):
            # Not chosen - logsumexp: that loses the digits that tell two sure answers apart.
            every = self._logits(h).log_softmax(dim=-1)
            values = [every.gather(-1, y[:, None].to(every.device)).squeeze(-1)]
            chunks.append(torch.stack(values + [_OF_TOKENS[n](every) for n in self._names[1:]]))
        return torch.cat(chunks, dim=1)


def _keys(measures: Sequence[str]) -> set[str]:
    """What the measures write, so that nothing of an earlier scoring is left."""
    return {key for name in measures for key in KEYS.get(name, (name,))}


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
