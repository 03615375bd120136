"""The run doctor: rules that read a run's numbers and say what is sick and what to try.

A rule is one small pure function in `rules_*.py`; `docs/doctor.md` has its number, range and
source. Standard library, and pyarrow where rollouts are read.
"""

from rlconf.doctor.examine import Examination, examine, look_at
from rlconf.doctor.finding import Finding

__all__ = ["Examination", "Finding", "examine", "look_at"]
