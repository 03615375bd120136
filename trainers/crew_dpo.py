"""CRew-DPO: TRL's DPO on pairs of sampled token sequences, with what must not go wrong checked.

The loss is TRL's. What is ours: rows that already hold tokens are taken as they are, so that what
is learnt is what was sampled; rows that would be cut, that do not end, or whose prompt this
tokenizer writes otherwise are refused; and the confidence in the answers is logged, and compared
with the recorded one while the policy is still the model that was scored.

| column                                     | holds                                             |
| ------------------------------------------ | ------------------------------------------------- |
| `prompt_ids`, `chosen_ids`, `rejected_ids` | token ids; both completions end with an end token |
| `prompt`                                   | may lack: text or messages that give `prompt_ids` |
| `chosen_answer`, `rejected_answer`         | may lack: places of the answer in the completion  |
| `chosen_confidence`, `rejected_confidence` | may lack: CRew of the answers, of the start model |

Source: CRew-DPO, arXiv 2510.13501, section 3; the checks are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from transformers import GenerationConfig
from trl import DPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference

from data.prompts import prompt_ids
from data.solutions.sample import end_tokens
from rewards.confidence import crew_score
from rewards.errors import ConfigError
from trainers.guarded import KeepsBatches
from trainers.maths.tally import Tally

TOKENS = ("prompt_ids", "chosen_ids", "rejected_ids")
ANSWERS = ("chosen_answer", "rejected_answer")
CONFIDENCES = ("chosen_confidence", "rejected_confidence")


class CRewDPOTrainer(KeepsBatches, DPOTrainer):
    """`trl.DPOTrainer` on pairs of `data.pairs`; takes what that takes, and rows with token ids.

    Rows of text are left to TRL and only checked. With `chosen_answer` and `rejected_answer` it
    logs `crew/confidence/chosen`, `crew/confidence/rejected` and `crew/gap`, their difference: the
    confidence of the policy, before the step, averaged over the batch.

    Args:
        model: the policy, a model or its path.
        aggregate: of CRew, the one that the recorded confidences were made with.
        tolerance: how far, on average over the first batch, the confidence may be from the
            recorded one; more means that another model was scored. None: do not compare.
        chat_template_kwargs: for the chat template, when `prompt` is checked.

    Raises:
        ConfigError: a row would be cut by `max_length`, does not end, or has another prompt.
    """

    data_collator: Any
    TOLERANCE = 0.02
    """How far bfloat16 and another way to batch may move a confidence on average."""

    def __init__(
        self,
        model: Any,
        *args: Any,
        aggregate: str = "mean",
        tolerance: float | None = TOLERANCE,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.aggregate = aggregate
        self.tolerance = tolerance
        self.chat_template_kwargs = chat_template_kwargs
        self._generation_config = getattr(model, "generation_config", None) or GenerationConfig()
        self._compared = False
        super().__init__(model, *args, **kwargs)
        if isinstance(self.data_collator, DataCollatorForPreference):
            self.data_collator = _WithAnswers(**vars(self.data_collator))

    def _prepare_dataset(
        self, dataset: Any, processing_class: Any, args: Any, dataset_name: str
    ) -> Any:
        if not isinstance(dataset, Dataset):
            raise ConfigError(
                f"the pairs are a {type(dataset).__name__}: expected a datasets.Dataset, all of "
                "which can be checked before training"
            )
        prepared = dataset
        if set(TOKENS) <= set(dataset.column_names):
            check_ends(dataset, end_tokens(self._generation_config, processing_class))
            if "prompt" in dataset.column_names:
                check_prompts(dataset, processing_class, self.chat_template_kwargs)
        else:
            prepared = super()._prepare_dataset(dataset, processing_class, args, dataset_name)
        check_uncut(prepared, args.max_length, dropped=len(dataset) - len(prepared))
        return prepared

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        known = self._signature_columns
        known += [name for name in (*ANSWERS, *CONFIDENCES) if name not in known]

    def compute_ref_log_probs(self, model: Any, inputs: Any) -> Any:
        """Log-probabilities of the reference; see `trl.DPOTrainer`."""
        return super().compute_ref_log_probs(model, _without_answers(inputs)[0])

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """TRL's loss; see `trl.DPOTrainer`. Measures the confidence on the same forward."""
        inputs, answer, recorded = _without_answers(inputs)
        if answer is None:
            return super().compute_loss(model, inputs, *args, **kwargs)
        heard: list[Any] = []
        hook = model.register_forward_hook(lambda module, given, outputs: heard.append(outputs))
        try:
            loss = super().compute_loss(model, inputs, *args, **kwargs)
        finally:
            hook.remove()
        # The policy's forward comes first; that of a reference may be the same module's. A token's
        # log-probability stands one place before it.
        log_probs = heard[0].log_probs[:, 1 - answer.shape[1] :].detach().float()
        self._measure(crew_score(log_probs, answer[:, 1:].bool(), self.aggregate), recorded)
        return loss

    def _measure(self, scores: Tensor, recorded: Tensor | None) -> None:
        """Log the confidences (2B,), the chosen ones first; compare them before the first step."""
        mode = "train" if self.model.training else "eval"
        self.tell_later(Tally(torch.stack(scores.chunk(2), dim=1), _confidences))
        fresh = mode == "train" and self.state.global_step == 0 and not self._compared
        if recorded is None or self.tolerance is None or not fresh:
            return
        self._compared = True
        off = self._comm.gather((scores - recorded).abs()).nanmean().item()
        if off > self.tolerance:
            raise ConfigError(
                f"the recorded confidences are off by {off:.3f} on average from those of this "
                f"model (at most {self.tolerance} is rounding), so another model was scored, or "
                "this one has changed since. Sample and score again with this model"
            )


def _confidences(everywhere: Tensor) -> dict[str, float]:
    """Metrics of the confidence in pairs, (world, B, 2), the chosen answer first."""
    chosen, rejected = everywhere.flatten(0, 1).unbind(dim=1)
    return {
        "crew/confidence/chosen": chosen.nanmean().item(),
        "crew/confidence/rejected": rejected.nanmean().item(),
        "crew/gap": (chosen - rejected).nanmean().item(),
    }


def check_ends(dataset: Dataset, ends: Sequence[int]) -> None:
    """Refuse completions that do not end with one of the tokens `ends`.

    Raises:
        ConfigError: naming the first such row.
    """
    for name in ("chosen_ids", "rejected_ids"):
        for number, ids in enumerate(dataset[name]):
            if not ids or ids[-1] not in ends:
                raise ConfigError(
                    f"pair {number}: its {name.removesuffix('_ids')} completion does not end with "
                    f"an end-of-sequence token ({', '.join(map(str, ends))}), so it was cut off, "
                    "or comes from another tokenizer"
                )


def check_uncut(dataset: Dataset, max_length: int | None, dropped: int = 0) -> None:
    """Refuse rows that TRL would cut: it keeps their start, and the answer stands at the end.

    Args:
        dataset: rows with token ids.
        max_length: of prompt and completion together; None cuts nothing.
        dropped: rows that TRL left out already, since their prompt alone is too long.

    Raises:
        ConfigError: with the number of rows, and the length that would do.
    """
    if max_length is None:
        return
    lengths = [
        len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"]))
        for row in dataset.select_columns(list(TOKENS))
    ]
    long = dropped + sum(length > max_length for length in lengths)
    if long:
        enough = "null" if dropped else f"{max(lengths)} or more, or to null"
        raise ConfigError(
            f"trainer.max_length={max_length} would cut {long} pairs, and with them their answers: "
            f"set it to {enough}"
        )


def check_prompts(
    dataset: Any, tokenizer: Any, chat_template_kwargs: Mapping[str, Any] | None = None
) -> None:
    """Refuse rows whose `prompt` this tokenizer and template write with other tokens.

    Raises:
        ConfigError: naming the first such row.
    """
    columns = dataset.select_columns(["prompt", "prompt_ids"])
    for start in range(0, len(columns), 1024):
        part = columns[start : start + 1024]
        now = prompt_ids(tokenizer, part["prompt"], chat_template_kwargs)
        for place, (mine, theirs) in enumerate(zip(now, part["prompt_ids"], strict=True)):
            if mine != theirs:
                at = next(
                    (i for i, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b),
                    min(len(mine), len(theirs)),
                )
                raise ConfigError(
                    f"pair {start + place}: its prompt was sampled with another chat template or "
                    f"tokenizer: from token {at} on it reads "
                    f"{tokenizer.decode(theirs[at:])[:60]!r} in the pairs and "
                    f"{tokenizer.decode(mine[at:])[:60]!r} here. Set model.chat_template and "
                    "trainer.chat_template_kwargs as they were, or sample again"
                )


@dataclass
class _WithAnswers(DataCollatorForPreference):
    """TRL's collator, and where rows have them the mask of the answers and their confidences."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """As TRL's, with `answer_mask` (2B, width) and `confidence` (2B,), chosen ones first."""
        batch: dict[str, Any] = super().torch_call(examples)
        if all(one.get(name) is not None for one in examples for name in ANSWERS):
            batch["answer_mask"] = torch.zeros_like(batch["input_ids"])
            both = [(one, name) for name in ANSWERS for one in examples]
            for row, (one, name) in enumerate(both):
                places = torch.tensor(one[name], dtype=torch.long) + len(one["prompt_ids"])
                batch["answer_mask"][row, places] = 1
        if all(one.get(name) is not None for one in examples for name in CONFIDENCES):
            values = [one[name] for name in CONFIDENCES for one in examples]
            batch["confidence"] = torch.tensor(values, dtype=torch.float32)
        return batch


def _without_answers(inputs: Mapping[str, Any]) -> tuple[dict[str, Any], Any, Any]:
    """The batch as TRL made it, since it passes on to the model what it does not know."""
    rest = dict(inputs)
    return rest, rest.pop("answer_mask", None), rest.pop("confidence", None)
