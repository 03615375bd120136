"""Pieces of a completion: joined they are its text, whatever kind of tokenizer it is."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from rlconf.records.pieces import Pieces

TEXTS = ["hello world", "naïve 日本語 🎉🎉 é", " two  spaces", "a\nb\t", "", "🎉"]


@pytest.fixture(scope="module")
def byte_level() -> PreTrainedTokenizerFast:
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=alphabet, special_tokens=["<end>"], show_progress=False
    )
    core.train_from_iterator(["hello world hello"], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<end>")


@pytest.fixture(scope="module")
def sentence_piece() -> PreTrainedTokenizerFast:
    """Spaces as ▁, unknown characters as bytes, the first space of a text dropped."""
    names = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁hello", "▁world", "▁", "a"]
    core = Tokenizer(models.BPE({n: i for i, n in enumerate(names)}, [], byte_fallback=True))
    core.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>")


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_join_to_the_text(byte_level, text):
    ids = byte_level(text)["input_ids"]
    pieces = Pieces(byte_level)(ids)
    assert len(pieces) == len(ids)
    assert "".join(pieces) == text


def test_a_character_of_several_tokens_belongs_to_its_last(byte_level):
    ids = byte_level("🎉a")["input_ids"]
    assert Pieces(byte_level)(ids) == ["", "", "", "🎉", "a"]


def test_special_tokens_show_by_name_and_broken_bytes_as_broken(byte_level):
    pieces = Pieces(byte_level)
    half = byte_level("🎉")["input_ids"][:2]
    end = byte_level.convert_tokens_to_ids("<end>")
    (letter,) = byte_level("a")["input_ids"]
    assert pieces([*half, letter, end]) == ["", "\ufffd", "a", "<end>"]
    assert pieces(half) == ["", "\ufffd"]
    assert len(pieces(half * 5)) == 10


def test_the_space_before_a_first_word_is_kept(sentence_piece):
    ids = sentence_piece.convert_tokens_to_ids(["▁hello", "▁world", "<0xC3>", "<0xA9>", "a"])
    assert Pieces(sentence_piece)(ids) == [" hello", " world", "", "é", "a"]


def test_a_processor_is_asked_for_its_tokenizer(byte_level):
    processor = type("Processor", (), {"tokenizer": byte_level})()
    assert Pieces(processor)(byte_level("ab")["input_ids"]) == ["a", "b"]
