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
        rows: with the columns of `trainers.crew_dpo`.
        aggregate: of the confidences.
        notes: sentences for the user.
    """

    rows: list[dict[str, Any]]
    aggregate: str
    notes: list[str]


def training_pairs(config: Config, task: Task, model: PreTrainedModel) -> TrainingPairs:
    """The pairs of `pairs.file`, checked against the task and the model that is to learn from them.

    Raises:
        ConfigError: the evaluation asks their questions, the task does not have them, or another
            model was scored.
    """
    path = str(config.pairs.file)
    pairs, manifest = read_pairs(path)
    check_held_out(f"pairs.file={path}", (one["question_id"] for one in pairs), task)
    identity = manifest["identity"]
    if not config.pairs.any_model:
        _check_scored(path, identity["scorer"], model)
    told = (
        f"{len(pairs)} pairs of {manifest['questions_with_pairs']} questions from {path}, mean gap "
        f"{manifest['mean_gap']:.3f}; reference: the model at the start, {model.name_or_path}"
    )
    columns = TOKENS
    if identity["pairs"]["confidence"] == "crew":  # else they are somebody else's numbers
        columns += CONFIDENCES
    rows = _rows(f"pairs.file={path}", pairs, task.train, columns)
    return TrainingPairs(rows, identity["scorer"].get("aggregate", "mean"), [told])


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


def _check_scored(path: str, scorer: Mapping[str, Any], model: PreTrainedModel) -> None:
    """Refuse pairs whose confidences are those of another model than the one to be trained."""
    now = parameters_digest(model)
    if scorer.get("parameters_sha256") == now:
        return
    raise ConfigError(
        f"pairs.file={path} was scored by {scorer.get('model')} (weights "
        f"{scorer.get('parameters_sha256')}), and the model to be trained is {model.name_or_path} "
        f"(weights {now}): its confidences are others. Train that model, make the pairs again with "
        "this one (rlconf pairs), or say pairs.any_model=true"
    )
