"""Solutions sampled outside training: draw, verify, measure, compare and keep them."""

from data.solutions.collect import sample_to_file
from data.solutions.fingerprint import scorer_fingerprint
from data.solutions.foreign import from_texts
from data.solutions.paired import Difference, Outcome, differences, outcomes, shared
from data.solutions.sample import sample
from data.solutions.score import score
from data.solutions.solution import Solution
from data.solutions.statistics import Accuracy, accuracy, pass_at_k, summary
from data.solutions.store import read_solutions, write_solutions
from data.solutions.verify import verify

__all__ = [
    "Accuracy",
    "Difference",
    "Outcome",
    "Solution",
    "accuracy",
    "differences",
    "from_texts",
    "outcomes",
    "pass_at_k",
    "read_solutions",
    "sample",
    "sample_to_file",
    "score",
    "scorer_fingerprint",
    "shared",
    "summary",
    "verify",
    "write_solutions",
]
