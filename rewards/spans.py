"""Which of the sampled tokens make up the final answer.

The text is decoded from the very tokens that were sampled, never tokenised again: another
tokenisation of the same text may have other boundaries, and other probabilities.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from rewards.answers import Locator, Span, check_pattern, locate
from rewards.errors import ConfigError

Rule = Literal["overlap", "strict"]

# What decoding gives for bytes that are no character, or not one yet.
_REPLACEMENT = "\ufffd"
_CONTEXT = 4  # tokens before a window, so that its first token keeps its leading space
_WINDOW = 32  # tokens decoded at once; more only makes each decoding longer


@dataclass(frozen=True)
class AnswerTokens:
    """A final answer, as text and as tokens.

    Attributes:
        text: what the locator found.
        tokens: positions in the ids that were searched, ascending and never empty.
    """

    text: str
    tokens: tuple[int, ...]

    def shifted(self, places: int) -> AnswerTokens:
        """The same where so many tokens stand before the ids that were searched."""
        return AnswerTokens(self.text, tuple(token + places for token in self.tokens))


class AnswerFinder:
    r"""`finder(ids)`: the final answer in a completion.

    Works with every tokenizer that can decode: byte-level ones, whose tokens may hold a part of a
    character; SentencePiece, which drops the first leading space; word-level ones.

    Args:
        tokenizer: of transformers. Its special tokens are no part of the text.
        how: where the answer stands; see `rewards.answers`.
        pattern: the regular expression of `how="regex"`.
        rule: "overlap" takes every token that shares a character with the answer, so that `{1`
            counts for `\boxed{12}`; "strict" those that lie inside, and the overlapping ones where
            none does.

    Raises:
        ConfigError: there is no such locator or rule, or the pattern does not fit.
    """

    def __init__(
        self,
        tokenizer: Any,
        how: Locator = "boxed",
        pattern: str | None = None,
        rule: str = "overlap",
    ) -> None:
        if rule not in get_args(Rule):
            raise ConfigError(f"span={rule!r}: expected {' or '.join(get_args(Rule))}")
        check_pattern(how, pattern)
        locate("", how, pattern)
        self._how, self._pattern, self._rule = how, pattern, rule
        self._tokenizer = tokenizer
        added = getattr(tokenizer, "added_tokens_decoder", {})
        marked = {number for number, token in added.items() if token.special}
        self._special = marked | set(tokenizer.all_special_ids)

    def __call__(self, ids: Sequence[int]) -> AnswerTokens | None:
        """The answer in `ids`, or None if it is missing; linear in their number."""
        places = [place for place, token in enumerate(ids) if token not in self._special]
        plain = [ids[place] for place in places]
        text = self._decode(plain)
        found = locate(text, self._how, self._pattern)
        if found is None:
            return None
        ranges = list(self._ranges(plain, found))
        inside = [at for at, (begin, end) in ranges if found[0] <= begin and end <= found[1]]
        chosen = inside if inside and self._rule == "strict" else [at for at, _ in ranges]
        return AnswerTokens(text[found[0] : found[1]], tuple(places[at] for at in chosen))

    def _ranges(self, ids: list[int], span: Span) -> Iterator[tuple[int, Span]]:
        """The tokens that share a character with `span`, and the characters of each."""
        first = bisect_right(range(len(ids)), span[0], key=lambda at: self._reach(ids[: at + 1]))
        begin, _ = self._settled(ids[:first])
        anchor = self._whole(ids, first)
        shift = begin - self._settled(ids[anchor:first])[0]
        whole = []  # boundaries at which no character is split
        for at in range(first, len(ids)):
            if begin >= span[1]:
                return
            length, is_open = self._settled(ids[anchor : at + 1])
            end = shift + length
            if begin < end + is_open:  # else it has no text of its own
                yield at, (begin, end + is_open)
            begin = end
            if not is_open:
                whole.append(at + 1)
            if at + 1 - anchor >= _WINDOW:
                latest = at + 1 - _CONTEXT
                anchor = max((place for place in whole if place <= latest), default=latest)
                whole = [place for place in whole if place > anchor]
                shift = end - self._settled(ids[anchor : at + 1])[0]

    def _whole(self, ids: list[int], first: int) -> int:
        """A boundary some tokens before `first` at which no character is split."""
        for anchor in range(first - _CONTEXT, max(0, first - _WINDOW), -1):
            if not self._settled(ids[:anchor])[1]:
                return anchor
        return first - _CONTEXT if first > _WINDOW else 0

    def _settled(self, ids: list[int]) -> tuple[int, bool]:
        """How many characters are certain, and whether another one has begun."""
        text = self._decode(ids)
        settled = text.rstrip(_REPLACEMENT)
        return len(settled), len(settled) < len(text)

    def _reach(self, ids: list[int]) -> int:
        length, is_open = self._settled(ids)
        return length + is_open

    def _decode(self, ids: list[int]) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        return text
