"""Solutions sampled outside training: draw, verify, measure, compare and keep them."""

from data.solutions import fusion  # registers its voting methods
from data.solutions.collect import sample_to_file, score_to_file
from data.solutions.fingerprint import scorer_fingerprint
from data.solutions.foreign import from_texts
from data.solutions.paired import Difference, Outcome, differences, outcomes, shared
from data.solutions.sample import sample
from data.solutions.score import score
from data.solutions.solution import Solution
from data.solutions.statistics import Accuracy, accuracy, pass_at_k, summary
from data.solutions.store import read_solutions, read_verdicts, write_solutions
from data.solutions.verify import verify
from data.solutions.vote import Vote, vote

__all__ = [
    "Accuracy",
    "Difference",
    "Outcome",
    "Solution",
    "Vote",
    "accuracy",
    "differences",
    "from_texts",
    "fusion",
    "outcomes",
    "pass_at_k",
    "read_solutions",
    "read_verdicts",
    "sample",
    "sample_to_file",
    "score",
    "score_to_file",
    "scorer_fingerprint",
    "shared",
    "summary",
    "verify",
    "vote",
    "write_solutions",
]
