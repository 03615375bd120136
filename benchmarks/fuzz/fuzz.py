"""Hostile completions against every reward, ours and TRL's, for as long as you like.

    python benchmarks/fuzz/fuzz.py --examples 300 --seed 0

The corpus once for every reward and every variant of its options, then batches of its pieces that
hypothesis makes. Ends with an error at the first value that is not defined or, in the trainer's own
process, took longer than the limit. Writes `results.json` beside itself.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import rewards
from rlconf.settings import foreign

HERE = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("hostile", HERE.parents[1] / "tests" / "hostile.py")
assert _spec is not None
assert _spec.loader is not None
hostile: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(hostile)

LIMIT = 2.0  # processor seconds for one completion in the trainer's process
NEEDED = {
    "cosine_scaled_reward": {"max_len": 100},
    "soft_overlong_punishment": {"max_completion_len": 100, "soft_punish_cache": 20},
}


class Subject:
    """One reward with its options, and what has been seen of it."""

    def __init__(self, name: str, timeout: float, options: dict[str, Any]) -> None:
        ours = name in rewards.names()
        how = rewards.spec(name).isolation if ours else foreign.isolation(name)
        isolated = how is not None
        limits = {"timeout": timeout} if isolated else {}
        self.name, self.options, self.isolated = name, options, isolated
        made = rewards.get if ours else foreign.get
        self.reward: Any = made(name, **options, **limits)
        if not ours and not isolated:
            self.reward.spec = foreign._spec(name)
        self.failures: Counter[str] = Counter()
        self.count = 0
        self.seconds = self.slowest = 0.0

    def score(self, texts: list[str]) -> None:
        """One call for all where a worker is held to the limit, else one for each."""
        for batch in [texts] if self.isolated else [[text] for text in texts]:
            keywords = {"log_metric": self.log} if self.isolated else {}
            start, used = time.perf_counter(), time.process_time()
            hostile.call(self.reward, batch, **keywords)
            used = time.process_time() - used
            if not self.isolated:
                assert used < LIMIT, f"{self.name} {self.options}: {used:.1f} s, {batch[0]!r:.80}"
                self.slowest = max(self.slowest, used)
            self.seconds += time.perf_counter() - start
            self.count += len(batch)

    def log(self, metric: str, value: float) -> None:
        """Count failures by kind."""
        self.failures[metric.rpartition("/")[2]] += int(value)

    def row(self) -> dict[str, Any]:
        """Its line of the results."""
        return {
            "reward": self.name,
            "options": self.options,
            "isolated": self.isolated,
            "completions": self.count,
            "failures": dict(self.failures),
            "seconds": round(self.seconds, 1),
            "slowest_processor_seconds": round(self.slowest, 3),
        }


def subjects(timeout: float) -> list[Subject]:
    """Every reward with every variant of its options."""
    ours = [(name, options) for name in rewards.names() for options in hostile.variants(name)]
    theirs = [(name, NEEDED.get(name, {})) for name in foreign.OPTIONS]
    return [Subject(name, timeout, options) for name, options in (*ours, *theirs)]


def explore(subject: Subject, examples: int, number: int) -> None:
    """Batches made of pieces of the corpus."""

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(hostile.texts(), min_size=1, max_size=8))
    def batches(texts: list[str]) -> None:
        subject.score(texts)

    batches()


def main() -> None:
    """Run and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=300, help="batches of 1 to 8 completions")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timeout", type=float, default=1.0, help="seconds, if isolated")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    rows, start = [], time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        canary = Path(folder) / "canary"
        texts = list(hostile.completions(str(canary)))
        for subject in subjects(options.timeout):
            subject.score(texts)
            explore(subject, options.examples, options.seed)
            assert not canary.exists(), f"{subject.name} executed a completion"
            rows.append(subject.row())
            print(json.dumps(rows[-1]), flush=True)
    total = {
        "completions": sum(row["completions"] for row in rows),
        "seconds": round(time.perf_counter() - start, 1),
        "failures": dict(sum((Counter(row["failures"]) for row in rows), Counter())),
    }
    print(total)
    result = {"command": vars(options), "total": total, "rewards": rows}
    (HERE / "results.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
