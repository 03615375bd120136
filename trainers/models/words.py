"""A tokenizer of words, for tiny models of tasks whose texts are too long to be spelt."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from data.words import PATTERN
from rewards.errors import ConfigError
from trainers.models.characters import SPECIAL, wrapped

UNKNOWN = "<unk>"


def word_tokenizer(words: Sequence[str]) -> PreTrainedTokenizerFast:
    """Build a tokenizer with one token per word, mark or end of line, as `data.words` divides text.

    It reads lower case, writes a space between any two tokens, pads on the left, adds no special
    token by itself, and reads a word that it does not know as `<unk>`.

    Args:
        words: Distinct; ids are 4, 5, ... in this order, after pad, bos, eos and unk.

    Raises:
        ConfigError: If there are no words, one is repeated, or one is not a single token.
    """
    if not words or len(set(words)) < len(words):
        raise ConfigError(f"words={list(words)[:8]}: expected one or more different words")
    vocabulary = {token: index for index, token in enumerate([*SPECIAL, UNKNOWN, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            # What the pattern matches is a token; what is between, spaces, is left out.
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
            pre_tokenizers.Split(Regex(r"[^\S\n]+"), behavior="removed"),
        ]
    )
    # No decoder: tokens are joined by spaces then.
    return wrapped(tokenizer, unk_token=UNKNOWN)
