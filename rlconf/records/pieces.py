"""The text of each token of a completion, so that the pieces joined are the completion's text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["Pieces"]

BROKEN = "\ufffd"  # what a decoder writes for bytes that are no character yet
LONGEST_CHARACTER = 4  # bytes, and so tokens, of one character in UTF-8


class Pieces:
    """Decode token by token, remembering each token's text.

    A token is decoded behind another one, because some tokenizers drop the space in front of a
    text's first word. A character spread over several tokens is given to the last of them, and
    the ones before it get an empty text.

    Args:
        tokenizer: of the model, or the processor that holds it.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = getattr(tokenizer, "tokenizer", tokenizer)
        self._known: dict[int, str] = {}
        self._before: list[int] = self._ordinary()

    def __call__(self, ids: Sequence[int]) -> list[str]:
        """As many texts as `ids`, special tokens by their names."""
        unknown = sorted(set(ids) - self._known.keys())
        texts = self._texts([token] for token in unknown)
        self._known.update(zip(unknown, texts, strict=True))
        pieces = [self._known[token] for token in ids]
        start = 0  # of a character that is not complete yet
        for place, piece in enumerate(pieces):
            if BROKEN not in piece:
                start = place + 1
                continue
            (text,) = self._texts([ids[start : place + 1]])
            pieces[start : place + 1] = [""] * (place - start) + [text]
            if BROKEN not in text or place - start + 1 == LONGEST_CHARACTER:
                start = place + 1
        return pieces

    def _texts(self, rows: Iterable[Sequence[int]]) -> list[str]:
        """What each row of tokens adds to a text."""
        start = len(self._decode([self._before])[0])
        return [text[start:] for text in self._decode([[*self._before, *row] for row in rows])]

    def _decode(self, rows: list[list[int]]) -> list[str]:
        exactly = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}
        return [self._tokenizer.decode(row, **exactly) for row in rows]

    def _ordinary(self) -> list[int]:
        """A token that is a plain letter or digit, to stand before others, if there is one."""
        special = set(self._tokenizer.all_special_ids)
        candidates = [token for token in range(len(self._tokenizer)) if token not in special]
        for token in candidates:
            (text,) = self._decode([[token]])
            if text.isascii() and text.isalnum():
                return [token]
        return []
