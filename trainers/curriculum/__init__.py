"""Which prompts a training sees when, from how often they are answered right."""

from trainers.curriculum.curriculum import Curriculum
from trainers.curriculum.settings import CurriculumSettings

__all__ = ["Curriculum", "CurriculumSettings"]
