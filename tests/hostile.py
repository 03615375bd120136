r"""Completions that a model under reinforcement learning may find, and no grader may mind.

Used by `tests/rewards/test_hostile.py` and, for longer, by `benchmarks/fuzz/fuzz.py`. A new reward
is covered as soon as it is registered; a column that no reward has read before gets a value in
`COLUMNS`.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from hypothesis import strategies as st

import rewards

MEGABYTE = 1_000_000
HUNDRED_THOUSAND = 100_000

# The gold answer, which no hostile completion below has.
COLUMNS: dict[str, Any] = {
    "answer": "7",
    "gold": '["7"]',
    "level": 1,
    # Of crew, which its trainer computes: two sure tokens of a right answer.
    "answer_log_probs": [-0.1, -0.2],
    "correctness": 1.0,
    # Of an episode: one legal turn, one that was none, and no success.
    "success": 0.0,
    "num_tool_calls": 1,
    "invalid_actions": 1,
    # Of reasoning_gym: a question whose scorer evaluates the answer.
    "source": json.dumps(
        {
            "source": {"name": "countdown", "seed": 5, "size": 9, "level": None, "options": {}},
            "index": 0,
            "how": "tag",
        }
    ),
}


PATTERN = r"answer[:>]\s*([^<]*)"
"""For rewards that look for the answer with a regular expression of the user's."""


def _times(text: str, size: int = MEGABYTE) -> str:
    return text * (size // len(text))


def _nested(opening: str, closing: str, depth: int, core: str = "1") -> str:
    return opening * depth + core + closing * depth


LONG: dict[str, str] = {
    "a megabyte of a": "a" * MEGABYTE,
    "a megabyte of spaces": " " * MEGABYTE,
    "a megabyte of line ends": "\r\n" * (MEGABYTE // 2),
    "a megabyte of NUL": "\0" * MEGABYTE,
    "a megabyte of high surrogates": "\ud800" * MEGABYTE,
    "a megabyte of low surrogates": "\udfff" * MEGABYTE,
    "a megabyte of right-to-left marks": "\u202e\u200f" * (MEGABYTE // 2),
    "a megabyte of accents": "a" + "\u0301" * MEGABYTE,
    "a megabyte of zero-width joiners": "\u200d" * MEGABYTE,
    "a megabyte of emoji": "\U0001f600" * MEGABYTE,
    "a megabyte of digits": "1" * MEGABYTE,
    "a megabyte of nines in a box": "\\boxed{" + "9" * MEGABYTE + "}",
    "digits of every script": _times("१٣৪๕㊿½²੬"),
    "minus signs": "-" * MEGABYTE,
    "thousands": _times("1,234"),
    "nearly thousands": _times("1,2345,"),
    "groups of digits": _times("111,"),
    "decimal points": _times("1."),
    "digits and spaces": _times("1 "),
    "signs and digits": _times("-1"),
    "boxes never closed": _times("\\boxed{"),
    "boxes closed at the end": "\\boxed{" * 50_000 + "1" + "}" * 50_000,
    "boxes without braces": _times("\\boxed"),
    "a box and spaces": "\\boxed" + " " * MEGABYTE,
    "boxes and spaces": _times("\\boxed" + " " * 100),
    "ten thousand boxes": "\\boxed{8}" * 10_000,
    "ten thousand boxes, the last open": "\\boxed{7}" * 10_000 + "\\boxed{7",
    "a box of parentheses": "\\boxed{" + "(" * MEGABYTE + "}",
    "a box of braces": "\\boxed{" + _nested("{", "}", MEGABYTE) + "}",
    "a box of open braces": "\\boxed{" + "{" * MEGABYTE,
    "a box of backslashes": "\\boxed{" + "\\" * MEGABYTE + "}",
    "closing braces": "\\boxed{1" + "}" * MEGABYTE,
    "parentheses": _nested("(", ")", HUNDRED_THOUSAND),
    "open parentheses": "(" * HUNDRED_THOUSAND,
    "brackets": _nested("[", "]", HUNDRED_THOUSAND),
    "open brackets": "[" * HUNDRED_THOUSAND,
    "objects": _nested('{"a":', "}", HUNDRED_THOUSAND),
    "every bracket": _times("([{<", HUNDRED_THOUSAND),
    "left and right": _nested(r"\left(", r"\right)", HUNDRED_THOUSAND),
    "thinking": _times("<think>"),
    "end of thinking": _times("</think>"),
    "thinking and its end": _times("<think></think>"),
    "answers": _times("<answer>"),
    "ends of answers": _times("</answer>"),
    "answers and their ends": _times("<answer>1</answer>"),
    "angle brackets": "<" * MEGABYTE,
    "half tags": _times("<think<answer"),
    "tags in tags": _nested("<answer>", "</answer>", HUNDRED_THOUSAND),
    "hashes": "#" * MEGABYTE,
    "answers after hashes": _times("#### 1\n"),
    "dollars": "$" * MEGABYTE,
    "pipes of a table": _times("| a "),
    "quotes": '"' * MEGABYTE,
    "commas": "," * MEGABYTE,
    "a list of numbers": "[" + "1," * (MEGABYTE // 2) + "1]",
    "words": _times("the same words "),
}
r"""By name, whole completions: long, deep, or bait for a pattern that backtracks."""

SHORT: tuple[str, ...] = (
    "",
    " ",
    "\0",
    "".join(map(chr, range(32))) + "".join(map(chr, range(127, 160))),
    "\ud800",
    "\udfff\ud800",
    "\u202e7\u202c",
    "\u200f\u200e",
    "\ufeff8",
    "\u2028\u2029\x85",
    "٨",
    "१२३४५",
    "1२٣",
    "⑧",
    "¾",
    "9" * 999,
    "0" * 999 + "8",
    "9" * 5000,  # beyond what int() takes
    "-" * 500 + "8",
    "1e999999999",
    "1e-999999999",
    "1e1000000000000",
    "nan",
    "-inf",
    r"\infty",
    r"\infty-\infty",
    "1/0",
    r"\frac{0}{0}",
    "0^{-1}",
    "0^0",
    "10^10^10",
    "10^{10^{10}}",
    "10^{-10^{10}}",
    "9**9**9**9",
    "9^{9^{9^9}}",
    "9^9^9^9",
    "2^{2^{2^{2^{2^2}}}}",
    r"\sqrt[10^{10}]{10^{10^{10}}}",
    r"\log(10^{10^{10}})",
    r"\log(0)",
    "9999999!",
    "9999999!!",
    "((((9!)!)!)!)!",
    r"\binom{10^9}{5 \cdot 10^8}",
    r"\sum_{i=1}^{10^{12}} i^i",
    r"\prod_{i=1}^{10^{12}} i",
    r"\int_0^1 x^{x^{x^x}} dx",
    r"\lim_{n \to \infty} n^{n^n}",
    "(x+1)^{10000}",
    "(a+b+c+d+e)^{300}",
    "x^{1000000}-1",
    "(10^{100}+1)(10^{100}-1)/(10^{50})!",
    "1" + "0" * 300 + "^{1/3}",
    _nested(r"\frac{1}{", "}", 90),
    _nested(r"\sqrt{", "}", 120),
    _nested("x^{", "}", 200),
    _nested("2^{", "}", 200, "2"),
    _nested(r"\sin(", ")", 120),
    _nested("|", "|", 300),
    _nested("{", "}", 450),
    _nested("(", ")", 450),
    _nested("[", "]", 450),
    r"\frac{" * 150,
    r"\left(" * 150,
    "}" * 900,
    "{" * 900,
    "\\" * 999,
    r"\\" * 400 + "}",
    "$" * 900,
    "^" * 900,
    "_" * 900,
    "=" * 900,
    "1=" * 400 + "1",
    "1<" * 400 + "x",
    "+1" * 450,
    "-1" * 450,
    "1*" * 450 + "1",
    "1/" * 450 + "1",
    "1," * 450,
    "x_1" * 300,
    "a" * 990,
    "sin" * 300,
    r"\pm 1" * 100,
    r"\cup(1,2)" * 90,
    r"\{" + "1," * 400 + r"1\}",
    r"\begin{matrix}" + r"1 & 2 \\ " * 90 + r"\end{matrix}",
    r"\begin{pmatrix}" * 60,
    r"\text{" * 150,
    r"\text{8",
    r"\mathrm{7} 8",
    r"\def\a{\a\a}\a",
    r"\newcommand{\x}{\x\x}\x",
    r"\input{/etc/passwd}",
    r"\boxed{\boxed{\boxed{}}}",
    r"\boxed{8",
    "50\\%%%%%",
    "0x7",
    "7 or 8",
    "__import__('os').system('touch {canary}')",
    "__import__('pathlib').Path('{canary}').touch()",
    "open('{canary}', 'w')",
    "exec(\"open('{canary}', 'w')\")",
    "().__class__.__bases__[0].__subclasses__()",
    "$(touch {canary})",
    "`touch {canary}`",
    "; touch {canary}",
    "{{7*7}}",
    "lambda: 7",
    "' or 1=1 --",
    "<script>alert(7)</script>",
)
"""Answers, each put where an answer is looked for. `{canary}` is a file that must not appear."""

WRAPPERS: tuple[str, ...] = (
    "%s",
    r"so \boxed{%s}",
    "<think>hm</think><answer>%s</answer>",
    "#### %s",
    '["%s"]',
)


def completions(canary: str) -> Iterator[str]:
    """The whole corpus; `canary` is the path of a file that only executed text would make."""
    yield from LONG.values()
    for wrapper, answer in itertools.product(WRAPPERS, SHORT):
        yield wrapper.replace("%s", answer.replace("{canary}", canary))


def texts() -> st.SearchStrategy[str]:
    """Completions made of pieces of the corpus and of anything else, surrogates included."""
    pieces = (
        *SHORT,
        *("\\boxed{", "{", "}", "\\", "<think>", "</think>", "<answer>", "</answer>", "####", "\n"),
        *("7", "8", ",", ".", "-", "^", "!", "(", ")", "[", "]", '"', "|", "$", "=", " "),
        *("\\frac", "\\sqrt", "{9}", "9^{9", "x", "\\cdot ", "\\pi", "\\infty", "^{"),
    )
    piece = st.sampled_from(pieces) | st.text(st.characters(), max_size=20)
    lots = st.builds(lambda text, n: text * n, st.sampled_from(pieces), st.integers(2, 200))
    inner = st.lists(piece | lots, max_size=12).map("".join)
    return st.builds(lambda w, text: w.replace("%s", text), st.sampled_from(WRAPPERS), inner)


def variants(name: str) -> list[dict[str, Any]]:
    """Options of a reward that lead to other code: every choice of a word and of true or false."""
    spec = rewards.spec(name)
    found: list[dict[str, Any]] = [{}]
    for option, kind in spec.option_types.items():
        kinds = [kind, *get_args(kind)]  # `Literal[...] | None` too
        choices = next((get_args(k) for k in kinds if get_origin(k) is Literal), ())
        choices = (True, False) if kind is bool else choices
        rest = {"pattern": PATTERN} if "pattern" in spec.options else {}
        found += [
            {option: choice, **(rest if choice == "regex" else {})}
            for choice in choices
            if choice != spec.options[option]
        ]
    return found


def call(reward: Any, texts: list[str], **keywords: Any) -> list[float | None]:
    """Score texts as a trainer does; every value must be None or a finite number in the range."""
    spec, count = reward.spec, len(texts)
    missing = [name for name in (*spec.needs, *spec.signals) if name not in COLUMNS]
    assert not missing, f"say in tests/hostile.py, COLUMNS, what the columns {missing} hold"
    values: list[float | None] = reward(
        prompts=["p"] * count,
        completions=texts,
        completion_ids=[[0] * min(len(text), 1000) for text in texts],
        **{name: [COLUMNS[name]] * count for name in (*spec.needs, *spec.signals)},
        **keywords,
    )
    low, high = spec.range or (-math.inf, math.inf)
    assert len(values) == count
    for text, value in zip(texts, values, strict=True):
        defined = value is None or (math.isfinite(value) and low <= value <= high)
        assert defined, f"{spec.name}: {value} for {text!r:.80}"
    return values
