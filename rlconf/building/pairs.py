"""From a file of pairs to the rows that `trainers.crew_dpo` learns from, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from data.pair_files import read_pairs
from data.solutions.fingerprint import parameters_digest
from rewards.errors import ConfigError
from rlconf.building.parts import check_held_out
from rlconf.settings.schema import Config

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from data.tasks import Row, Task

__all__ = ["TrainingPairs", "dev_pairs", "training_pairs"]

TOKENS = ("prompt_ids", "chosen_ids", "rejected_ids", "chosen_answer", "rejected_answer")
CONFIDENCES = ("chosen_confidence", "rejected_confidence")


@dataclass(frozen=True)
class TrainingPairs:
    """Rows to learn from.

    Attributes:
        path: of their file.
        rows: with the columns of `trainers.crew_dpo`.
        scorer: the fingerprint of the model that was scored.
        notes: sentences for the user.
    """

    path: str
    rows: list[dict[str, Any]]
    scorer: dict[str, Any]
    notes: list[str]

    @property
    def aggregate(self) -> str:
        """Of the recorded confidences."""
        return str(self.scorer.get("aggregate", "mean"))

    def check_scored(self, model: PreTrainedModel) -> None:
        """Refuse pairs whose confidences are those of another model than the one to be trained.

        Raises:
            ConfigError: naming both.
        """
        now = parameters_digest(model)
        if self.scorer.get("parameters_sha256") == now:
            return
        raise ConfigError(
            f"pairs.file={self.path} was scored by {self.scorer.get('model')} (weights "
            f"{self.scorer.get('parameters_sha256')}), and the model to be trained is "
            f"{model.name_or_path} (weights {now}): its confidences are others. Train that model, "
            "make the pairs again with this one (rlconf pairs), or say pairs.any_model=true"
        )


def training_pairs(config: Config, task: Task) -> TrainingPairs:
    """The pairs of `pairs.file`, checked against the task.

    Raises:
        ConfigError: there are none, the evaluation asks their questions, or the task does not have
            them.
    """
    path = config.pairs.file
    if path is None:
        raise ConfigError(
            "trainer=dpo learns from pairs: set pairs.file=FILE, written by rlconf pairs "
            "pairs.file=FILE"
        )
    pairs, manifest = read_pairs(path)
    check_held_out(f"pairs.file={path}", (one["question_id"] for one in pairs), task)
    identity = manifest["identity"]
    columns = list(TOKENS)
    if identity["pairs"]["confidence"] == "crew":  # else they are somebody else's numbers
        columns += CONFIDENCES
    told = (
        f"{len(pairs)} pairs of {manifest['questions_with_pairs']} questions from {path}, mean gap "
        f"{manifest['mean_gap']:.3f}"
    )
    rows = _rows(f"pairs.file={path}", pairs, task.train, columns)
    return TrainingPairs(path, rows, identity["scorer"], [told])


def dev_pairs(config: Config, task: Task) -> list[dict[str, Any]]:
    """The pairs that the trainer evaluates its loss on.

    Raises:
        ConfigError: there is no file of them, or it is not of the dev split.
    """
    path = config.pairs.dev_file
    if path is None:
        raise ConfigError(
            "trainer.eval_strategy is on and there are no dev pairs: set pairs.dev_file (rlconf "
            "pairs sampling.split=dev writes one), or trainer.eval_strategy=no"
        )
    return _rows(f"pairs.dev_file={path}", read_pairs(path)[0], task.dev, TOKENS)


def _rows(
    source: str, pairs: Sequence[Mapping[str, Any]], asked: Sequence[Row], columns: Sequence[str]
) -> list[dict[str, Any]]:
    """The columns of each pair, with the question's prompt as the task has it now."""
    prompts = {str(row["id"]): row["prompt"] for row in asked}
    unknown = sorted({one["question_id"] for one in pairs} - prompts.keys())
    if unknown:
        raise ConfigError(
            f"{source} holds {len(unknown)} questions that the task does not have, such as "
            f"{unknown[0]!r}: give the task settings and the seed that they were sampled with"
        )
    return [
        {"prompt": prompts[one["question_id"]], **{name: one[name] for name in columns}}
        for one in pairs
    ]
