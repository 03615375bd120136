"""Hostile completions: a defined value within the limit, from every reward that we ship.

The longer run, with its result: benchmarks/fuzz.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rewards

_spec = importlib.util.spec_from_file_location("hostile", Path(__file__).parents[1] / "hostile.py")
assert _spec is not None
assert _spec.loader is not None
hostile: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(hostile)

NAMES = rewards.names()
LIMIT = 2.0  # processor seconds for one completion in the trainer's process
TIMEOUT = 1.0  # seconds for one in a worker
SHORTER = {"math": 0.4}  # most of what never ends is mathematics
FOR_FORM = {"boxed", "format", "length"}  # nothing hostile is right, but some is well-formed


@pytest.fixture(scope="module")
def tally(request: pytest.FixtureRequest) -> Iterator[Counter[str]]:
    """Completions scored, by reward; told at the end."""
    counts: Counter[str] = Counter()
    start = time.perf_counter()
    yield counts
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        told = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        seconds = time.perf_counter() - start
        reporter.write_line(f"\nhostile completions: {counts.total()} ({told}) in {seconds:.1f} s")


def score(name: str, texts: list[str], **options: Any) -> list[float | None]:
    """Score with every completion held to its limit."""
    if rewards.spec(name).isolation is not None:
        limits = {"timeout": SHORTER.get(name, TIMEOUT), "workers": 2}
        return hostile.call(rewards.get(name, **options, **limits), texts)
    reward, values = rewards.get(name, **options), []
    for text in texts:
        start = time.process_time()
        values += hostile.call(reward, [text])
        assert time.process_time() - start < LIMIT, f"{name} {options}: {text!r:.80}"
    return values


@pytest.mark.parametrize("name", NAMES)
def test_the_corpus_gets_no_full_marks_and_takes_no_time(
    name: str, tmp_path: Path, tally: Counter[str]
) -> None:
    canary = tmp_path / "canary"
    texts = list(hostile.completions(str(canary)))
    assert len(texts) > 500
    values = score(name, texts)
    tally[name] += len(texts)
    best = (rewards.spec(name).range or (0.0, 1.0))[1]
    right = [text for text, value in zip(texts, values, strict=True) if value == best]
    assert name in FOR_FORM or not right, f"{len(right)} get full marks, such as {right[0]!r:.80}"
    assert not canary.exists()


@pytest.mark.parametrize("name", NAMES)
def test_every_variant_has_defined_values_too(name: str, tally: Counter[str]) -> None:
    texts = [text[:200_000] for text in hostile.LONG.values()]
    texts += [f"<answer>{text}</answer>" for text in hostile.SHORT]
    variants = hostile.variants(name)[1:]
    if rewards.spec(name).isolation is not None:
        # Where to look for the answer is tried with `exact`; each variant has workers to start.
        texts, variants = texts[::20], variants[:1]
    for options in variants:
        score(name, texts, **options)
        tally[name] += len(texts)


@pytest.mark.parametrize("name", NAMES)
def test_whatever_hypothesis_finds(name: str, tally: Counter[str]) -> None:
    isolated = rewards.spec(name).isolation is not None

    @settings(
        max_examples=10 if isolated else 100,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(hostile.texts(), min_size=1, max_size=4))
    def try_some(texts: list[str]) -> None:
        score(name, texts)
        tally[name] += len(texts)

    try_some()


def test_the_corpus_is_what_it_says() -> None:
    assert max(map(len, hostile.LONG.values())) >= hostile.MEGABYTE
    assert len(set(hostile.SHORT)) == len(hostile.SHORT)
    assert "hostile" not in sys.modules  # loaded by path: tests are no package
    with pytest.raises(AssertionError, match="COLUMNS"):
        hostile.call(_Reader(), [""])


class _Reader:
    """A reward of a column that the corpus has no value for."""

    spec = type("spec", (), {"needs": ("colour",), "signals": (), "range": None, "name": "reader"})
