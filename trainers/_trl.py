"""The one list of TRL internals that rlconf leans on, with the adapters around them.

TRL is pinned to 1.16.*; `tests/contract/` pins the signature, keys and shapes of everything named
here against the installed trainer, so that an upgrade fails loudly and in one place.

Overridden, always through `super()` (see `trainers/online.py`):
    GRPOTrainer._get_train_sampler(dataset=None)
    GRPOTrainer._generate_and_score_completions(inputs) -> dict
    GRPOTrainer._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        -> (world*B, R)
    GRPOTrainer._prepare_inputs(generation_batch), which keeps the micro-batches of a generation in
        _buffered_inputs, and ._get_per_token_logps_and_entropies as below (see `trainers/speed/`)
    GRPOTrainer._tool_call_loop(prompts, prompt_ids, ...), which calls
        GRPOTrainer._generate_single_turn(prompt_ids, images, multimodal_fields, num_generations,
        has_tool_images=False) -> (completion_ids, logprobs) once a turn (`trainers/tool_calls.py`)
    GRPOTrainer._compute_loss(model, inputs) -> scalar, divided by the accumulated micro-batches
        (what else it is divided by is in `trainers/replay/loss.py`); the policy's forward is the
        first in it
    GRPOTrainer.training_step(model, inputs, num_items_in_batch), which counts `_step` up
    GRPOTrainer._load_optimizer_and_scheduler(checkpoint)
    GRPOTrainer._save_checkpoint(model, trial), SFTTrainer._save_checkpoint(model, trial),
        DPOTrainer._save_checkpoint(model, trial) (see `trainers/guarded.py`)
    DPOTrainer._prepare_dataset(dataset, processing_class, args, dataset_name), not called for rows
        that hold token ids already, and ._set_signature_columns_if_needed() (see
        `trainers/crew_dpo.py`)
    transformers.Trainer._get_grad_norm(model, grad_norm=None), called once before each optimiser
        step, after clipping and before `optimizer.step()` (see `trainers/finite.py`)
    tokenizer.parse_response, on the tokenizer itself; `parse_response` of TRL takes a ValueError
        for text that calls no tool
Only listened to:
    GRPOTrainer._generate(prompts) -> (prompt_ids, completion_ids, tool_mask, completions, logprobs,
        extra_fields, images, tool_images), lists without padding
    GRPOTrainer._get_per_token_logps_and_entropies(model, input_ids, attention_mask,
        logits_to_keep, batch_size=None, ...) -> (logps, entropies, aux_loss)
Read:
    SFTTrainer._metrics
    DPOTrainer._metrics, ._signature_columns; the policy's is the first forward of its loss
    trl.trainer.dpo_trainer.DataCollatorForPreference, a dataclass
    GRPOTrainer._metrics, ._logs, .reward_func_names, .num_generations, .temperature
    GRPOTrainer._pending_extra_logs, ._pending_metrics, filled while rewards are called and flushed
        with the batch; ._sync_tool_dicts, ._async_tool_dicts, tools by completion;
        .environment_factories; .state.num_input_tokens_seen (see `trainers/dynamic/`, which calls
        `_generate` and `_calculate_rewards` itself and answers for them while TRL scores the batch)
    GRPOTrainer._tokenizer, .eos_token_ids, .pad_to_multiple_of, .mask_truncated_completions,
        .environments, .async_loop, ._log_completion_extra, ._log_metric, and .reward_funcs, whose
        entries are swapped while rewards are called (see `trainers/reward_signals.py`)
    GRPOTrainer.generation_config, .use_vllm, .vllm_generation.max_completion_length,
        .chat_template_kwargs, and `_generate_single_turn`, called by `trainers/agents.py`, as TRL
        itself does between tool calls; its `rollout_func(prompts, trainer)` is ours there
    GRPOTrainer.tools, .rollout_func, .loss_type, .epsilon_low, .epsilon_high,
        .max_completion_length, and in training
        .current_gradient_accumulation_steps (see `trainers/replay/part.py`)
    GRPOTrainer._get_tool_suffix_ids(tool_messages), overridden in `trainers/tool_calls.py`,
        called by `data/tools/episodes.py` with what it reads of a trainer: .processing_class,
        ._tokenizer, .chat_template, .chat_template_kwargs and ._is_vlm; and
        trl.chat_template_utils.parse_response(tokenizer, ids, prefix, tools)
    GRPOTrainer._step, ._buffered_inputs, ._entropy_window_stats, ._current_train_step_time, saved
        and set again on resume (see `trainers/resume.py`), as are .reward_weights and .ref_model
    transformers.Trainer._tr_loss, ._total_loss_scalar, ._globalstep_last_logged, likewise, after
        the base class has reset them at the start of training
    trl.trainer.utils: add_fused_lm_head (which patches `forward` of the innermost causal LM),
        FusedCausalLMOutput, maybe_gather_lm_head_ctx, RepeatSampler, pad, is_async_callable
    trl.chat_template_utils: is_chat_template_prefix_preserving(processing_class) -> bool
"""

from __future__ import annotations

from peft import PeftModel
from torch import nn
from trl.chat_template_utils import is_chat_template_prefix_preserving
from trl.trainer.utils import (
    FusedCausalLMOutput,
    RepeatSampler,
    is_async_callable,
    maybe_gather_lm_head_ctx,
    pad,
)

__all__ = [
    "COUNTERS",
    "IMAGE_KEYS",
    "TABLES",
    "FusedCausalLMOutput",
    "RepeatSampler",
    "causal_lm",
    "is_async_callable",
    "is_chat_template_prefix_preserving",
    "maybe_gather_lm_head_ctx",
    "pad",
    "policy_is_active",
]

# Attributes of `GRPOTrainer` that say where it stands between two optimiser steps.
COUNTERS = ("_step", "_current_train_step_time", "_entropy_window_stats")
# Parts of `GRPOTrainer._logs`, the latest completions, that can be saved as data; not the images.
TABLES = ("prompt", "completion", "rewards", "advantages", "extra")

# Keys of the rollout dict that `_get_per_token_logps_and_entropies` takes as keyword arguments.
IMAGE_KEYS = (
    "pixel_values",
    "image_grid_thw",
    "num_images",
    "pixel_attention_mask",
    "spatial_shapes",
    "num_tiles",
    "image_sizes",
    "token_type_ids",
    "mm_token_type_ids",
    "image_position_ids",
)


def causal_lm(model: nn.Module) -> nn.Module:
    """The module whose `forward` TRL patches: the model inside any PEFT wrapper."""
    inner: nn.Module = model.get_base_model() if isinstance(model, PeftModel) else model
    return inner


def policy_is_active(model: nn.Module) -> bool:
    """Whether a forward of `model` is the policy's, not the reference that PEFT models carry.

    TRL scores the reference of a PEFT policy with the same module: adapters disabled for a new
    adapter, or the adapter named "ref" active for a re-trained one.
    """
    if not isinstance(model, PeftModel):
        return True
    return bool(model.has_active_enabled_adapter) and model.active_adapter != "ref"
