"""A GGUF file, written here: it loads as what was written, saves, and is read only once."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from rewards.errors import ConfigError
from trainers.models import gguf as reading
from trainers.models.gguf import gguf_file, plain_folder
from trainers.models.load import load_policy

writer = pytest.importorskip("gguf", reason="the package gguf is not installed")

LETTERS = "0123456789abcdefghij"
TOKENS = ["<|endoftext|>", *LETTERS, "12"]
HEADS, KV_HEADS, HIDDEN, INNER = 4, 2, 64, 96


def reference() -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=len(TOKENS),
        hidden_size=HIDDEN,
        intermediate_size=INNER,
        num_hidden_layers=1,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        max_position_embeddings=64,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LlamaForCausalLM(config).eval()


def rotated(weight: np.ndarray, heads: int) -> np.ndarray:
    """llama.cpp keeps the two halves of each head's rotary positions interleaved."""
    rows, columns = weight.shape
    halves = weight.reshape(heads, 2, rows // heads // 2, columns)
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(rows, columns))


def write(path: Path, model: LlamaForCausalLM) -> None:
    """Write the model with its MLP in 8 bits, and put the 8-bit values into the model too."""
    out = writer.GGUFWriter(str(path), "llama")
    out.add_block_count(1)
    out.add_context_length(64)
    out.add_embedding_length(HIDDEN)
    out.add_feed_forward_length(INNER)
    out.add_head_count(HEADS)
    out.add_head_count_kv(KV_HEADS)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_rope_dimension_count(HIDDEN // HEADS)
    out.add_rope_freq_base(10000.0)
    out.add_vocab_size(len(TOKENS))
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("default")
    out.add_token_list(TOKENS)
    out.add_token_merges(["1 2"])
    out.add_token_types([3] + [1] * (len(TOKENS) - 1))
    out.add_eos_token_id(0)
    out.add_bos_token_id(0)
    weights = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    layer = "model.layers.0."
    for target, source, heads in (("q", "q_proj", HEADS), ("k", "k_proj", KV_HEADS)):
        weight = rotated(weights[f"{layer}self_attn.{source}.weight"], heads)
        out.add_tensor(f"blk.0.attn_{target}.weight", weight)
    for target, source in (
        ("token_embd", "model.embed_tokens"),
        ("output_norm", "model.norm"),
        ("blk.0.attn_v", f"{layer}self_attn.v_proj"),
        ("blk.0.attn_output", f"{layer}self_attn.o_proj"),
        ("blk.0.attn_norm", f"{layer}input_layernorm"),
        ("blk.0.ffn_norm", f"{layer}post_attention_layernorm"),
    ):
        out.add_tensor(f"{target}.weight", weights[f"{source}.weight"])
    kind = writer.GGMLQuantizationType.Q8_0
    for part in ("gate", "up", "down"):
        name = f"{layer}mlp.{part}_proj.weight"
        packed = writer.quants.quantize(weights[name], kind)
        out.add_tensor(f"blk.0.ffn_{part}.weight", packed, raw_dtype=kind)
        model.state_dict()[name].copy_(torch.from_numpy(writer.quants.dequantize(packed, kind)))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LlamaForCausalLM]:
    path = tmp_path_factory.mktemp("gguf") / "small.gguf"
    model = reference()
    write(path, model)
    return path, model


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RLCONF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_model_is_the_one_that_was_written_and_saves(written, cache, tmp_path):
    path, expected = written
    model, tokenizer = load_policy(path)
    assert tokenizer.padding_side == "left"
    assert tokenizer.eos_token == "<|endoftext|>"
    ids = tokenizer("12a", return_tensors="pt")["input_ids"]
    assert ids.tolist() == [[TOKENS.index("12"), TOKENS.index("a")]]
    torch.testing.assert_close(model(ids).logits, expected(ids).logits, atol=1e-5, rtol=1e-5)
    # A checkpoint of it, which a model read straight from GGUF refuses to write.
    model.save_pretrained(tmp_path / "saved")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    torch.testing.assert_close(again(ids).logits, model(ids).logits)


def test_it_is_read_once_until_it_changes(written, cache, monkeypatch):
    path, _ = written
    folder = plain_folder(path)
    assert folder.is_relative_to(cache)
    monkeypatch.setattr(reading, "read_gguf", lambda *_: pytest.fail("read again"))
    assert plain_folder(path) == folder
    monkeypatch.undo()
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert plain_folder(path, cache_dir=cache) != folder


def test_half_precision_is_kept_apart(written, cache):
    model, _ = load_policy(written[0], dtype="bfloat16")
    assert model.dtype == torch.bfloat16
    assert plain_folder(written[0]) != plain_folder(written[0], torch.bfloat16)


def test_a_folder_with_one_file_is_that_file(written, tmp_path):
    path, _ = written
    assert gguf_file(path.parent) == path
    assert gguf_file(path) == path
    (tmp_path / "b.gguf").touch()
    (tmp_path / "a.gguf").touch()
    with pytest.raises(ConfigError, match=r"several GGUF files \(a\.gguf, b\.gguf\): name one"):
        gguf_file(tmp_path)
    (tmp_path / "config.json").touch()  # a plain model that keeps its GGUF beside it
    assert gguf_file(tmp_path) is None
    assert gguf_file(tmp_path / "config.json") is None
    assert gguf_file(Path("owner/name")) is None
    with pytest.raises(ConfigError, match=r"there is no such file \(.*none\.gguf\)"):
        gguf_file(tmp_path / "none.gguf")


def test_a_broken_file_is_named(tmp_path, cache):
    path = tmp_path / "cut.gguf"
    path.write_bytes(b"GGUF\x03\x00\x00\x00")
    with pytest.raises(ConfigError, match=r"cut\.gguf: this GGUF file cannot be read"):
        load_policy(path)
    assert list((cache / "gguf").glob("cut-*/")) == []


def test_without_the_package(written, cache, monkeypatch):
    monkeypatch.setattr(reading.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'rlconf\[gguf\]'"):
        load_policy(written[0])
