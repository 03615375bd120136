"""What several rows begin with is read once: its keys and values serve all of them.

Solutions of one question share its prompt, and where that is long and an answer short, reading it
again for each is most of the work. What comes out differs by rounding only.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import Cache, DynamicCache, GenerationConfig, PreTrainedModel
from transformers.cache_utils import DynamicLayer

__all__ = ["plain_cache", "prompts_read_once"]


def plain_cache(model: PreTrainedModel) -> Cache | None:
    """An empty cache of a model that keeps plain keys and values of every token.

    None for any other: a sliding window, a recurrent state, virtual tokens of an adapter.
    """
    cache = DynamicCache(config=model.config.get_text_config(decoder=True))
    plain = bool(cache.layers) and all(type(layer) is DynamicLayer for layer in cache.layers)
    adapter = getattr(model, "active_peft_config", None)
    virtual = adapter is not None and adapter.is_prompt_learning
    return cache if plain and not virtual else None


def prompts_read_once(model: PreTrainedModel, input_ids: Tensor, mask: Tensor) -> Cache | None:
    """Keys and values of all but the last prompt token, for `generate`.

    Args:
        model: A causal language model with the generation config of its use.
        input_ids: (B, width), padded at the left.
        mask: (B, width).

    Returns:
        The cache of all B rows; None where no prompt occurs twice, or see `plain_cache`.
    """
    both = torch.stack([input_ids, mask], dim=-1)
    different, rows = torch.unique(both, dim=0, return_inverse=True)
    one_token = input_ids.shape[1] == 1
    if len(different) == len(input_ids) or one_token or plain_cache(model) is None:
        return None
    ids, seen = different.unbind(dim=-1)
    once = GenerationConfig(max_new_tokens=1, do_sample=False, return_dict_in_generate=True)
    read = model.generate(input_ids=ids, attention_mask=seen, generation_config=once)
    cache: Cache = read.past_key_values
    cache.crop(-1)  # the last token is read again, to draw what follows it
    cache.batch_select_indices(rows)
    return cache
