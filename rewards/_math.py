"""math-verify's comparison. Imported by worker processes only: it loads sympy."""

from __future__ import annotations

import functools
import logging
import re

from math_verify import parse, verify

for _library in ("math_verify", "latex2sympy2_extended"):
    # They warn at each call that their time-out is off.
    logging.getLogger(_library).setLevel(logging.CRITICAL)


_TEXT = re.compile(r"\\(?:text|textbf|textit|mathrm|mbox)\{([^{}]*)\}")
_WORDS = re.compile(r"(?=.*[A-Za-z]{4})[A-Za-z][A-Za-z '\-.,]*")


def compare(gold: str, answer: str) -> bool | None:
    """Whether two expressions have the same value; None if the gold is not an expression.

    Words, letters alone and four of them together, are compared as texts: as an expression `Peru`
    is the product of its letters, and so is `Pure`.
    """
    words = _words(gold), _words(answer)
    if words != (None, None):
        return words[0] == words[1]
    # The last resort of `parse` is the string itself, which has no value to compare.
    golds = [item for item in _read(gold) if not isinstance(item, str)]
    if not golds:
        return None
    return bool(verify(list(_read(gold)), list(_read(answer)), timeout_seconds=None))


def _words(text: str) -> str | None:
    """The words that a text is, without case and punctuation at its end; None if it is none."""
    plain = _TEXT.sub(r"\1", text).strip()
    if not _WORDS.fullmatch(plain):
        return None
    return " ".join(plain.casefold().rstrip(".,").split())


@functools.lru_cache(maxsize=1024)  # a group of completions has one gold answer
def _read(text: str) -> tuple[object, ...]:
    """Parse one expression; math-verify wants to see it between dollar signs."""
    # None: math-verify's own limit is an exception from a signal handler; ours is stronger.
    return tuple(parse(f"${text}$", parsing_timeout=None)) if text else ()


# What sympy and the parser build at first use, a second's work, belongs to the imports: the process
# that imports this is forked for each worker, and no worker should spend its first answer on it.
for _gold, _answer in (
    (r"\frac{1}{2}", "0.5"),
    ("7", "nan"),
    ("x^2+1", r"\sqrt{x}"),
    (r"\{1,2\}", "(1,2)"),
    ("x>1", "x=2"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\infty"),
):
    compare(_gold, _answer)
