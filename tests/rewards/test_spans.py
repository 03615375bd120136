r"""The tokens of the answer, for every kind of tokenizer.

The reference of the byte-level tokenizer counts bytes; that of the others decodes every prefix.
"""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

from rewards.answers import locate
from rewards.errors import ConfigError
from rewards.spans import AnswerFinder

TEXTS = [
    r"so $\boxed{\frac{1}{2}}$.",
    r"a \boxed{3} b \boxed{4}.",
    r"nested \boxed{\boxed{7}} and \boxed{ x = 12 } end",
    r"héllo \boxed{ñandú €5} 🙂 fin",
    r"emoji \boxed{🙂🎉}",
    r"日本 \boxed{漢字}",
    "reasoning " * 40 + r"so \boxed{1234567} is it " + "because " * 20,
]


def wrap(core: Tokenizer, **special: str) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<eos>", **special)


@pytest.fixture(scope="module")
def byte_level() -> PreTrainedTokenizerFast:
    """Few merges, so that characters outside ASCII are split over tokens."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=330, special_tokens=["<eos>"], initial_alphabet=alphabet)
    core.train_from_iterator(TEXTS, trainer)
    return wrap(core)


@pytest.fixture(scope="module")
def sentencepiece() -> PreTrainedTokenizerFast:
    """Llama's kind: `▁` for a space, dropped at the beginning; unknown characters as bytes."""
    words = ["▁so", "▁", "\\", "boxed", "{", "}", "$", "▁the", "{1", "2}", "▁a", "▁b"]
    letters = [chr(code) for code in range(33, 127)]
    tokens = ["<unk>", "<eos>", *(f"<0x{byte:02X}>" for byte in range(256)), *words, *letters]
    vocab = {token: at for at, token in enumerate(dict.fromkeys(tokens))}
    merges = [("{", "1"), ("2", "}"), ("▁", "a"), ("▁", "b")]
    core = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", byte_fallback=True))
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    core.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return wrap(core, unk_token="<unk>")


def words_of(*more: str) -> PreTrainedTokenizerFast:
    """Word-level, decoded with spaces between the words."""
    pieces = ["<eos>", "<unk>", "\\boxed{", "}", "so", "12", "x", "####", "."]
    core = Tokenizer(models.WordLevel({p: i for i, p in enumerate(pieces)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return wrap(core, unk_token="<unk>")


def prefix_ranges(tokenizer: Any, ids: list[int]) -> list[tuple[int, int]]:
    """The characters of each token, by decoding every prefix: slow and plain."""
    texts = [tokenizer.decode(ids[:at], skip_special_tokens=True) for at in range(len(ids) + 1)]
    settled = [len(text.rstrip("\ufffd")) for text in texts]
    return [
        (settled[at], settled[at + 1] + (settled[at + 1] < len(texts[at + 1])))
        for at in range(len(ids))
    ]


def expected(ranges: list[tuple[int, int]], span: tuple[int, int]) -> tuple[int, ...]:
    return tuple(
        at
        for at, (start, end) in enumerate(ranges)
        if start < end and start < span[1] > start and end > span[0]
    )


def ids_of_pieces(pieces: list[str]) -> tuple[Any, list[int]]:
    """A tokenizer whose tokens are exactly these."""
    vocab = {piece: at for at, piece in enumerate(dict.fromkeys(["<eos>", *pieces]))}
    core = Tokenizer(models.WordLevel(vocab, unk_token="<eos>"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    core.decoder = decoders.Fuse()
    return wrap(core), [vocab[piece] for piece in pieces]


def test_a_token_that_straddles_a_brace_counts_unless_strict() -> None:
    r"""`so| $\|boxed|{1|2|}$|.`, the content at characters 11 to 13."""
    pieces = ["so", " $\\", "boxed", "{1", "2", "}$", "."]
    tokenizer, ids = ids_of_pieces(pieces)
    assert locate("".join(pieces), "boxed") == (11, 13)
    overlap = AnswerFinder(tokenizer)(ids)
    assert overlap is not None
    assert (overlap.text, overlap.tokens) == ("12", (3, 4))
    strict = AnswerFinder(tokenizer, rule="strict")(ids)
    assert strict is not None
    assert strict.tokens == (4,)


def test_strict_falls_back_where_no_token_lies_inside() -> None:
    tokenizer, ids = ids_of_pieces(["\\boxed", "{7}", "."])
    found = AnswerFinder(tokenizer, rule="strict")(ids)
    assert found is not None
    assert found.tokens == (1,)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so $\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
        (r"a \boxed{3} b \boxed{4}.", "4"),
        (r"\boxed{}", None),
        (r"x \boxed{1} then \boxed{12", None),
        (r"\boxed{\boxed{7}}", "7"),
        ("no box at all", None),
        ("", None),
    ],
)
def test_the_last_closed_box(byte_level, text: str, answer: str | None) -> None:
    found = AnswerFinder(byte_level)(byte_level(text)["input_ids"])
    assert (None if found is None else found.text) == answer


@pytest.mark.parametrize("text", TEXTS)
def test_byte_level_tokens_by_counting_bytes(byte_level, text: str) -> None:
    ids = byte_level(text)["input_ids"]
    symbol_to_byte = {v: k for k, v in _byte_symbols().items()}
    sizes = [len(piece) for piece in byte_level.convert_ids_to_tokens(ids)]
    joined = bytes(
        symbol_to_byte[s] for piece in byte_level.convert_ids_to_tokens(ids) for s in piece
    )
    assert joined.decode() == text
    start, end = locate(text, "boxed") or (0, 0)
    begin, stop = len(text[:start].encode()), len(text[:end].encode())
    edges = [sum(sizes[:at]) for at in range(len(sizes) + 1)]
    wanted = tuple(at for at in range(len(ids)) if edges[at] < stop and edges[at + 1] > begin)
    found = AnswerFinder(byte_level)(ids)
    assert found is not None
    assert found.tokens == wanted
    assert found.text == text[start:end]


def _byte_symbols() -> dict[int, str]:
    """GPT-2's printable symbol of each byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {b: chr(b) for b in plain} | {b: chr(256 + at) for at, b in enumerate(others)}


@pytest.mark.parametrize("how", ["boxed", "final", "number"])
@pytest.mark.parametrize("text", TEXTS)
def test_sentencepiece_tokens_by_decoding_prefixes(sentencepiece, text: str, how: Any) -> None:
    """Its first leading space is dropped, later ones are not; bytes make up what has no token."""
    ids = sentencepiece(text)["input_ids"]
    decoded = sentencepiece.decode(ids)
    span = locate(decoded, how)
    found = AnswerFinder(sentencepiece, how)(ids)
    assert (found is None) == (span is None)
    if found is not None and span is not None:
        assert found.text == decoded[slice(*span)]
        assert found.tokens == expected(prefix_ranges(sentencepiece, ids), span)


def test_word_level_with_spaces_between_tokens() -> None:
    tokenizer = words_of()
    ids = tokenizer(r"so \boxed{ 12 x } .")["input_ids"]
    found = AnswerFinder(tokenizer)(ids)
    assert found is not None
    assert (found.text, found.tokens) == ("12 x", (2, 3))


def test_special_tokens_are_no_part_of_the_answer() -> None:
    pieces = ["\\boxed{", "1", "<eos>", "2", "}", "<eos>", "<eos>"]
    tokenizer, ids = ids_of_pieces(pieces)
    found = AnswerFinder(tokenizer)(ids)
    assert found is not None
    assert (found.text, found.tokens) == ("12", (1, 3))


@pytest.mark.parametrize("how", ["boxed", "final"])
def test_any_tokens_at_all_agree_with_decoding_prefixes(byte_level, sentencepiece, how) -> None:
    """What a model may sample is no tokenisation of any text: random ids, half of them bytes."""
    rng = random.Random(0)
    for tokenizer in (byte_level, sentencepiece):
        box = tokenizer(r"\boxed{", add_special_tokens=False)["input_ids"]
        close = tokenizer("}", add_special_tokens=False)["input_ids"]
        for _ in range(60):
            noise = [rng.randrange(2, len(tokenizer)) for _ in range(rng.randrange(1, 60))]
            ids = [*noise[:20], *box, *noise[20:], *close, *noise[:3]]
            decoded = tokenizer.decode(ids, skip_special_tokens=True)
            span = locate(decoded, how)
            found = AnswerFinder(tokenizer, how)(ids)
            assert (found is None) == (span is None)
            if found is not None and span is not None:
                assert found.text == decoded[slice(*span)]
                wanted = set(expected(prefix_ranges(tokenizer, ids), span))
                if "\ufffd" in decoded:  # bytes that are no character: which token is a matter of
                    assert len(wanted ^ set(found.tokens)) <= 4  # taste at the edges
                else:
                    assert set(found.tokens) == wanted


def test_hostile_lengths_take_linear_time(byte_level) -> None:
    """100 000 characters: of text, of nested boxes, of bytes that are no character."""
    unfinished = byte_level.convert_tokens_to_ids(_byte_symbols()[0xE2])
    box = byte_level(r"\boxed{12}")["input_ids"]
    hostile = [
        byte_level("a b " * 25_000 + r"\boxed{12}")["input_ids"],
        byte_level(r"\boxed{" * 14_000)["input_ids"],
        [*([unfinished] * 20_000), *box],
        [*box, *([byte_level.eos_token_id] * 20_000)],
    ]
    begun = time.perf_counter()
    answers = [AnswerFinder(byte_level)(ids) for ids in hostile]
    assert time.perf_counter() - begun < 20
    assert [None if a is None else a.text for a in answers] == ["12", None, "12", "12"]
    whole = AnswerFinder(byte_level, "final")(hostile[0])
    assert whole is not None
    assert len(whole.tokens) == len(hostile[0])


def test_bad_settings_are_named(byte_level) -> None:
    with pytest.raises(ConfigError, match="span='loose': expected overlap or strict"):
        AnswerFinder(byte_level, rule="loose")
    with pytest.raises(ConfigError, match="no answer locator 'bixed'"):
        AnswerFinder(byte_level, "bixed")
    with pytest.raises(ConfigError, match="how=regex needs a pattern"):
        AnswerFinder(byte_level, "regex")
