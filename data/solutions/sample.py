"""Sample solutions from a model with Hugging Face `generate`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from data.prompts import prompt_ids
from data.solutions.solution import Solution
from data.tasks import Row


def sample(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Row],
    *,
    samples: int = 1,
    temperature: float = 1.0,
    max_new_tokens: int = 256,
    batch_size: int = 64,
    seed: int = 0,
    greedy: bool = False,
    top_p: float = 1.0,
    progress: Callable[[int, int], None] | None = None,
) -> list[Solution]:
    """Sample `samples` solutions of each row.

    The sampling defaults that come with a model (Qwen's `top_k=20` and repetition penalty, say)
    are not applied: what is measured is what is written here. The model's mode, its generation
    config and the global random state are left as found.

    Args:
        model: A causal language model, on any device.
        tokenizer: Its tokenizer, with a padding token.
        rows: Questions; a `prompt` is text, or a list of chat messages, which goes through the
            tokenizer's chat template.
        samples: Solutions per row.
        temperature: Above 0.
        max_new_tokens: Most tokens of a completion, end of sequence included.
        batch_size: Completions per call of `generate`. Another size draws other samples.
        seed: Of the draws.
        greedy: Take the likeliest token each time; needs `samples=1` and ignores the temperature.
        top_p: Draw among the likeliest tokens that make up this probability, 0 < top_p <= 1.
        progress: Called as `progress(done, total)` after each batch, in completions.

    Returns:
        len(rows) * samples solutions, those of a row together, in the order of the rows.

    Raises:
        ValueError: If an argument is out of range, or a row's prompt is empty.
    """
    _check(samples, temperature, max_new_tokens, batch_size, greedy, top_p)
    prompts = [_prompt_ids(tokenizer, row) for row in rows]
    jobs = [(row, index) for row in range(len(rows)) for index in range(samples)]
    # Prompts of like length share a batch; the longest go first, so memory runs out early if ever.
    order = sorted(range(len(jobs)), key=lambda job: -len(prompts[jobs[job][0]]))
    ends = _end_tokens(model, tokenizer)
    drawing = {"temperature": temperature, "top_p": top_p, "top_k": 0}
    config = GenerationConfig(
        max_new_tokens=max_new_tokens,
        eos_token_id=ends or None,
        pad_token_id=tokenizer.pad_token_id,
        do_sample=not greedy,
        **({} if greedy else drawing),
    )
    found: dict[int, Solution] = {}
    with _left_as_found(model, config, seed), torch.no_grad():
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            drawn = _generate(model, config, [prompts[jobs[job][0]] for job in batch], ends)
            for job, (ids, log_probs, entropy) in zip(batch, drawn, strict=True):
                row, index = jobs[job]
                found[job] = Solution(
                    question_id=str(rows[row]["id"]),
                    index=index,
                    prompt_ids=prompts[row],
                    completion_ids=ids,
                    text=tokenizer.decode(ids, skip_special_tokens=True),
                    finish="stop" if ids[-1] in ends else "length",
                    log_probs=log_probs,
                    entropy=entropy,
                    gold=None if rows[row].get("answer") is None else str(rows[row]["answer"]),
                    level=rows[row].get("level"),
                )
            if progress is not None:
                progress(len(found), len(jobs))
    return [found[job] for job in range(len(jobs))]


class _Recorder(LogitsProcessor):  # type: ignore[misc]  # transformers is not type-checked here
    """Keeps each token's log-probability and entropy while `generate` runs.

    `generate` can return all logits, but that is (T, B, V) numbers; this holds (B, V). It runs
    before the temperature is applied, and learns which token was drawn only at the next call.
    """

    def __init__(self) -> None:
        self.log_probs: list[Tensor] = []
        self.entropy: list[Tensor] = []
        self._pending: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self.settle(input_ids[:, -1])
        self._pending = scores.float().log_softmax(dim=-1)
        # entr(p) is 0 at p = 0, where p * log p would be NaN.
        self.entropy.append(torch.special.entr(self._pending.exp()).sum(dim=-1))
        return scores

    def settle(self, tokens: Tensor) -> None:
        """Look up `tokens` (B,), drawn from the distribution of the last call, if there was one."""
        if self._pending is not None:
            self.log_probs.append(self._pending.gather(-1, tokens[:, None])[:, 0])


def _generate(
    model: PreTrainedModel, config: GenerationConfig, prompts: list[list[int]], ends: list[int]
) -> list[tuple[list[int], list[float], list[float]]]:
    """Draw one completion per prompt, cut after the first of `ends`: ids, log-probs, entropies."""
    width = max(map(len, prompts))
    input_ids = torch.full((len(prompts), width), config.pad_token_id)
    mask = torch.zeros_like(input_ids)
    for row, prompt in enumerate(prompts):
        input_ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    recorder = _Recorder()
    sequences = model.generate(
        input_ids=input_ids.to(model.device),
        attention_mask=mask.to(model.device),
        generation_config=config,
        logits_processor=LogitsProcessorList([recorder]),
    )
    recorder.settle(sequences[:, -1])
    log_probs = torch.stack(recorder.log_probs, dim=1).tolist()
    entropy = torch.stack(recorder.entropy, dim=1).tolist()
    drawn = []
    for row, ids in enumerate(sequences[:, width:].tolist()):
        length = next((at + 1 for at, token in enumerate(ids) if token in ends), len(ids))
        drawn.append((ids[:length], log_probs[row][:length], entropy[row][:length]))
    return drawn


def _prompt_ids(tokenizer: PreTrainedTokenizerBase, row: Row) -> list[int]:
    (ids,) = prompt_ids(tokenizer, [row["prompt"]])
    if not ids:
        raise ValueError(
            f"row {row['id']!r}: its prompt {row['prompt']!r} has no tokens; expected text"
        )
    return ids


def _end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Every token that ends a completion: the tokenizer's, and those the model was trained with."""
    own = model.generation_config.eos_token_id
    own = [] if own is None else [own] if isinstance(own, int) else list(own)
    return sorted({*own, tokenizer.eos_token_id} - {None})


@contextmanager
def _left_as_found(model: PreTrainedModel, config: GenerationConfig, seed: int) -> Iterator[None]:
    """Run with evaluation mode, a neutral generation config and an own random state."""
    was_training, defaults = model.training, model.generation_config
    devices: list[Any] = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        model.eval()
        # `generate` fills whatever a config leaves open from the model's own defaults.
        model.generation_config = config
        try:
            yield
        finally:
            model.generation_config = defaults
            model.train(was_training)


def _check(
    samples: int,
    temperature: float,
    max_new_tokens: int,
    batch_size: int,
    greedy: bool,
    top_p: float,
) -> None:
    for name, value in (
        ("samples", samples),
        ("max_new_tokens", max_new_tokens),
        ("batch_size", batch_size),
    ):
        if value < 1:
            raise ValueError(f"{name}={value}: expected 1 or more")
    if greedy and samples != 1:
        raise ValueError(f"samples={samples} with greedy=True: they would all be equal; set 1")
    if not greedy and not temperature > 0:
        raise ValueError(f"temperature={temperature}: expected more than 0; for 0 set greedy=True")
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p={top_p}: expected 0 < top_p <= 1")
