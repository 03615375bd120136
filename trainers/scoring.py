"""TRL's GRPO, listened to: signals while it samples, beside its forwards, or by one more."""

from __future__ import annotations

import functools
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from trainers._trl import IMAGE_KEYS, policy_is_active
from trainers.comm import most
from trainers.heard import Heard, drops_out, hears
from trainers.resume import is_sharded
from trainers.signals import SignalRecorder, Signals, evaluating
from trainers.speed import FasterGRPO

__all__ = ["ScoringGRPO"]


class ScoringGRPO(FasterGRPO):
    """GRPO that can be listened to; a subclass that wants signals sets the recorder."""

    _recorder: SignalRecorder | None = None
    _listener: SignalRecorder | None = None
    """The recorder, while the batch at hand is to be recorded."""
    _heard: Heard | None = None
    _signals_asked = False
    """Whether a forward that TRL makes is to be recorded."""
    dynamic: Any = None

    @functools.cached_property
    def drops_out(self) -> bool:
        """Whether the policy has dropout."""
        return drops_out(self.model)

    def _generate_single_turn(self, prompt_ids: Any, images: Any, *args: Any, **kwargs: Any) -> Any:
        recorder = self._listener if self.speed.signals and images is None else None
        if recorder is None or not hears(self):
            return super()._generate_single_turn(prompt_ids, images, *args, **kwargs)
        with recorder.listening(len(prompt_ids)) as self._heard:
            return super()._generate_single_turn(prompt_ids, images, *args, **kwargs)

    def _hold_heard(self, completion_ids: Any) -> None:
        """Have what was heard of these taken, unless a rank that forwards with us lacks it."""
        recorder, heard, self._heard = self._recorder, self._heard, None
        if recorder is None or not self.speed.signals or self._listener is None:
            return
        if heard is not None:
            recorder.hold(heard, completion_ids)
        together = self.accelerator.num_processes > 1 and is_sharded(self)
        if together and hears(self) and most(self, not recorder.was_heard):
            recorder.forget_heard()

    def _get_per_token_logps_and_entropies(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        # Listens only: the signals ride on the forward that scores the rollout under the policy.
        recorder = self._listener if self._signals_asked else None
        if recorder is not None and recorder.was_heard:
            recorder = None
        policy = model is self.model and policy_is_active(self.accelerator.unwrap_model(model))
        with recorder.recording(alone=False) if recorder and policy else nullcontext():
            return super()._get_per_token_logps_and_entropies(model, *args, **kwargs)

    def score_tokens(self, batch: dict[str, Tensor]) -> Tensor:
        """(n, T) log-probs of a batch's completions under the policy at the sampling temperature.

        Without gradient, in eval mode, the random state left as found. All ranks must call it, with
        as many rows.

        Args:
            batch: prompt_ids, prompt_mask, completion_ids and completion_mask as in TRL's rollout.
        """
        log_probs: Tensor = self._forward(batch)[0]
        return log_probs

    def _forward(self, batch: dict[str, Any]) -> Any:
        """TRL's scoring forward of the policy, without gradient and in eval mode."""
        args = self.args
        size = args.per_device_train_batch_size
        if not self.model.training:
            size = args.per_device_eval_batch_size
        with torch.no_grad(), evaluating(self.model):
            return super()._get_per_token_logps_and_entropies(
                self.model,
                torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1),
                torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1),
                batch["completion_ids"].size(1),
                batch_size=size,
                **{key: batch[key] for key in IMAGE_KEYS if key in batch},
            )

    def _signals(self, recorder: SignalRecorder, batch: dict[str, Any]) -> Signals:
        """The signals of this batch: those that rode along, else one forward without gradient."""
        if not recorder.recorded:
            with recorder.recording(alone=True):
                self._forward(batch)
        return recorder.take(batch["completion_ids"].size(1))
