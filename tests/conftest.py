"""Fixtures that several rooms share: a two-layer model and a character tokenizer."""

from __future__ import annotations

import os

# Before torch is imported: with another busy process, OpenMP barriers make it ten times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Accelerate imports DeepSpeed where it is installed, and that looks for accelerators and warns.
os.environ.setdefault("DS_ACCELERATOR", "cpu")

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CHARACTERS = "0123456789>"


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """Character tokenizer with pad, bos and eos, padding left; decodes digits without spaces."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocab = {token: i for i, token in enumerate(["<pad>", "<bos>", "<eos>", *CHARACTERS])}
    core = Tokenizer(models.WordLevel(vocab, unk_token="<pad>"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    core.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        padding_side="left",
    )


@pytest.fixture(scope="session")
def tool_tokenizer() -> Any:
    """Byte tokenizer, 265 tokens, with the chat template of Qwen3."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast
    from trl.chat_template_utils import qwen3_chat_template

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tags = [f"<{slash}{tag}>" for tag in ("tool_call", "tool_response", "think") for slash in "/ "]
    tags = [tag.replace(" ", "") for tag in tags]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate([*special, *tags, *alphabet])}
    core = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>"],
        padding_side="left",
    )
    made.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in tags])
    made.chat_template = qwen3_chat_template
    return made


@pytest.fixture(scope="session")
def make_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """`make_model(seed=0, **config)`: a LlamaForCausalLM of two layers with random weights.

    Loaded from a folder, because TRL looks a model's files up under its `name_or_path`.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    def make(seed: int = 0, **config: Any) -> Any:
        settings = {
            "vocab_size": 3 + len(CHARACTERS),
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "max_position_embeddings": 64,
            "tie_word_embeddings": True,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
        } | config
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = LlamaForCausalLM(LlamaConfig(**settings))
        folder = tmp_path_factory.mktemp("model")
        model.save_pretrained(folder)
        return LlamaForCausalLM.from_pretrained(folder)

    return make


@pytest.fixture
def grpo_config(tmp_path: Path) -> Callable[..., Any]:
    """`grpo_config(**overrides)`: a GRPOConfig for the CPU, 4 prompts x 4 generations."""
    from trl import GRPOConfig

    def make(**overrides: Any) -> Any:
        settings: dict[str, Any] = {
            "output_dir": str(tmp_path / "out"),
            "use_cpu": True,
            "bf16": False,
            "gradient_checkpointing": False,
            "per_device_train_batch_size": 16,
            "num_generations": 4,
            "max_completion_length": 5,
            "learning_rate": 1e-3,
            "max_steps": 3,
            "logging_steps": 1,
            "save_strategy": "no",
            "report_to": [],
            "disable_tqdm": True,
            "seed": 0,
        }
        return GRPOConfig(**(settings | overrides))

    return make


@pytest.fixture(scope="session")
def prompts() -> Any:
    """32 prompts of three digits, each with the largest digit as its answer."""
    import random

    from datasets import Dataset

    rng = random.Random(0)
    rows = [rng.sample("0123456789", 3) for _ in range(32)]
    return Dataset.from_list([{"prompt": "".join(row) + ">", "answer": max(row)} for row in rows])


@pytest.fixture(scope="session")
def digit_reward() -> Callable[..., list[float]]:
    """Share of characters that are the answer: graded, and not zero for a random model."""

    def digit(completions: list[str], answer: list[str], **_: Any) -> list[float]:
        return [
            text.count(gold) / max(len(text), 1)
            for text, gold in zip(completions, answer, strict=True)
        ]

    return digit


@pytest.fixture
def watch_tensors() -> Callable[[int], Any]:
    """A context that keeps the size of the largest tensor made inside, as `seen.largest` elements.

    Tensors as large as the output matrix, `weights` elements, do not count.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    class Watch(TorchDispatchMode):
        def __init__(self, weights: int) -> None:
            super().__init__()
            self.weights, self.largest = weights, 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor) and result.numel() != self.weights:
                self.largest = max(self.largest, result.numel())
            return result

    return Watch
