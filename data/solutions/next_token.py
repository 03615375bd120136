"""What a model makes of the next token: the probability of single words, without writing any."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from data.solutions.sample import left_as_found, pad_left


def next_token_log_probs(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    tokens: Sequence[int],
    *,
    batch_size: int = 16,
) -> Tensor:
    """Log-probabilities of some tokens as the one that follows each prompt, at temperature 1.

    Args:
        model: a causal language model; its mode and generation config are left as found.
        tokenizer: with a padding token.
        prompts: N lists of token ids, none empty.
        tokens: K token ids.
        batch_size: prompts at a time.

    Returns:
        (N, K) in nats, float32 on the CPU.
    """
    found = torch.empty(len(prompts), len(tokens))
    order = sorted(range(len(prompts)), key=lambda row: -len(prompts[row]))
    config = GenerationConfig(
        max_new_tokens=1, pad_token_id=tokenizer.pad_token_id, do_sample=False
    )
    with left_as_found(model, config), torch.no_grad():
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            ids, mask = pad_left([prompts[row] for row in rows], tokenizer.pad_token_id)
            keep = _Keep(tokens)
            # `generate` projects the last position alone, and knows each model's position ids.
            model.generate(
                input_ids=ids.to(model.device),
                attention_mask=mask.to(model.device),
                generation_config=config,
                logits_processor=LogitsProcessorList([keep]),
            )
            found[rows] = keep.log_probs
    return found


class _Keep(LogitsProcessor):  # type: ignore[misc]  # transformers is not type-checked here
    """Keeps the log-probabilities of some tokens at the first step."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens = list(tokens)
        self.log_probs = torch.empty(0)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self.log_probs = scores.float().log_softmax(dim=-1)[:, self._tokens].cpu()
        return scores
