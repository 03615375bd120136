"""Solutions sampled outside training: draw them, verify them, measure them, keep them."""

from data.solutions.collect import sample_to_file
from data.solutions.sample import sample
from data.solutions.solution import Solution
from data.solutions.statistics import Accuracy, accuracy, pass_at_k, summary
from data.solutions.store import read_solutions, write_solutions
from data.solutions.verify import verify

__all__ = [
    "Accuracy",
    "Solution",
    "accuracy",
    "pass_at_k",
    "read_solutions",
    "sample",
    "sample_to_file",
    "summary",
    "verify",
    "write_solutions",
]
