"""Replay inside a trainer: what `OnlineTrainer` calls from its hooks.

In the mode "term" the rows of a micro-batch go through the model by themselves, after TRL's own
loss; in the mode "mixed" they are joined to the rollout, and TRL's loss sees them like any other.
Both give the same gradient, but for what the clip by covariance looks at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rewards.errors import ConfigError
from trainers._trl import IMAGE_KEYS
from trainers.loss_mask import loss_mask
from trainers.maths.spear import sil_parts
from trainers.maths.tally import Tally, share_tally
from trainers.replay.fit import misfits, rows_of
from trainers.replay.loss import Batch, clip_tokens, mixed_scales, replay_loss
from trainers.replay.replay import Drawn, Replay, Sampled
from trainers.replay.rows import join, padded
from trainers.replay.settings import ReplaySettings
from trainers.shapers.base import ShaperBatch

__all__ = ["ReplayPart"]


class ReplayPart:
    """The replay of one trainer.

    Args:
        trainer: an `OnlineTrainer` whose base class is set up.
        settings: of the replay.

    Attributes:
        replay: buffer and baseline, with the state to be saved.

    Raises:
        ConfigError: the trainer's settings rule it out.
    """

    def __init__(self, trainer: Any, settings: ReplaySettings) -> None:
        args, ranks = trainer.args, trainer.accelerator.num_processes
        problems = misfits(args, settings, ranks)
        if settings.require_outcome_positive and trainer.accuracy_reward is None:
            problems.append(
                "replay.require_outcome_positive=true needs accuracy_reward, the reward that says "
                "what is right"
            )
        if settings.require_tool_call and not (trainer.tools or trainer.rollout_func):
            problems.append(
                "replay.require_tool_call=true and there are no tools, so nothing would be stored: "
                "set it to false, or give tools, environment_factory or rollout_func"
            )
        if problems:
            raise ConfigError("\n".join(problems))
        self.trainer = trainer
        self.settings = settings
        self.replay = Replay(
            settings,
            rows=rows_of(settings, args.per_device_train_batch_size),
            micro_batches=args.steps_per_generation,
            ranks=ranks,
            comm=trainer._comm,
            seed=args.seed + trainer.accelerator.process_index,
            temperature=trainer.temperature,
        )
        self._rows = 0
        self._seen: Tensor | None = None
        self._replaying = False
        self._squares: dict[bool, Tensor] = {}

    def observe(
        self,
        batch: ShaperBatch,
        output: dict[str, Any],
        rewards: Tensor,
        keep: Tensor | None,
        log_probs: Callable[[Tensor], Tensor],
    ) -> Tally:
        """Take in a generation batch and draw for it; see `Replay.observe`.

        Args:
            batch: with TRL's advantages.
            output: TRL's rollout, nothing masked yet.
            rewards: (world * B,) weighted sums.
            keep: (world * B,) bool, what the filters keep; None without filters.
            log_probs: of rows given by their numbers.

        Raises:
            ConfigError: the prompts have images, which are not stored.
        """
        if any(name in output for name in IMAGE_KEYS):
            raise ConfigError("replay stores text only, and these prompts have images: replay=none")
        sampled = Sampled(
            generation=self.trainer.generation,
            prompt_ids=output["prompt_ids"],
            prompt_mask=output["prompt_mask"],
            completion_ids=output["completion_ids"],
            completion_mask=output["completion_mask"],
            mask=batch.mask,
            advantages=batch.base_advantages,
            rewards=rewards,
            keep=torch.ones_like(rewards, dtype=torch.bool) if keep is None else keep,
            worthy=self._worthy(batch),
            group_id=batch.group_id,
            num_generations=batch.num_generations,
            log_probs=log_probs,
        )
        return self.replay.observe(sampled)

    def join(self, output: dict[str, Any], log_probs: Callable[[Tensor], Tensor]) -> None:
        """In the mode "mixed": append this generation's rows to TRL's rollout.

        Args:
            output: after shapers and filters.
            log_probs: of rows given by their numbers, of the policy that sampled them.
        """
        chunk = self.replay.whole_chunks() if self.settings.mode == "mixed" else []
        if not chunk:
            return
        trainer, rows = self.trainer, self._padded(chunk)
        size, mask = len(output["advantages"]), loss_mask(rows)
        if "old_per_token_logps" not in output:
            everyone = torch.arange(size, device=mask.device)
            output["old_per_token_logps"] = log_probs(everyone).nan_to_num()
        batch_scale, replay_scale = mixed_scales(
            trainer.loss_type,
            self.settings.norm,
            rows=size,
            replayed=len(chunk),
            tokens=float(loss_mask(output).sum()),
            replayed_tokens=float(mask.sum()),
            all_tokens=float(output["num_items_in_batch"]) / trainer.accelerator.num_processes,
        )
        advantages = rows["advantages"]
        if self.settings.cov_clip:
            now, clip = trainer.score_tokens(rows), self._clip()
            parts = sil_parts(now, rows["old_per_token_logps"], advantages, **clip)
            keep = clip_tokens(
                now, advantages, mask, parts.clipped, self.settings, self.replay.generator
            )
            counts = torch.stack([(mask & ~keep).sum(), mask.sum()])
            trainer.tell_later(share_tally("spear/cov_clip_share", counts))
            advantages = advantages[:, None] * keep
        rows["advantages"] = advantages * (self.replay.weight * replay_scale * batch_scale)
        output["advantages"] = output["advantages"] * batch_scale
        join(output, rows)

    def loss(self, model: Any, inputs: dict[str, Any]) -> Tensor | None:
        """In the mode "term": what the micro-batch's replayed rows add to TRL's loss.

        Args:
            model: as TRL's loss is given it.
            inputs: TRL's micro-batch.

        Returns:
            A scalar; None where nothing is replayed, which is so on all ranks or none.
        """
        trainer = self.trainer
        at = trainer._step % trainer.args.steps_per_generation
        chunk = self.replay.chunk(at) if self.settings.mode == "term" else []
        if not chunk:
            return None
        rows = self._padded(chunk)
        self._replaying = True
        log_probs = trainer._get_per_token_logps_and_entropies(
            model,
            torch.cat([rows["prompt_ids"], rows["completion_ids"]], dim=1),
            torch.cat([rows["prompt_mask"], rows["completion_mask"]], dim=1),
            rows["completion_ids"].size(1),
        )[0]
        self._replaying = False
        result = replay_loss(
            log_probs,
            rows["old_per_token_logps"],
            rows["advantages"],
            loss_mask(rows),
            self._batch(inputs),
            self.settings,
            generator=self.replay.generator,
            **self._clip(),
        )
        self._seen = torch.cat([result.sums, result.loss.detach()[None]])
        self._rows = len(chunk)
        return self.replay.weight * result.loss / trainer.current_gradient_accumulation_steps

    def watch(self, log_probs: Tensor) -> None:
        """Measure the gradient at the log-probs of a loss, the batch's or the replayed rows'."""
        if not log_probs.requires_grad or self.settings.mode != "term":
            return
        replaying = self._replaying

        def keep(gradient: Tensor) -> None:
            self._squares[replaying] = gradient.detach().float().square().sum()

        log_probs.register_hook(keep)

    def report(self) -> Tally | None:
        """Metrics of the micro-batch that was just trained on; None without replay.

        Called after the backward pass, on all ranks.
        """
        seen, squares = self._seen, self._squares
        self._seen, self._squares = None, {}
        if seen is None:
            return None
        nothing = torch.zeros((), device=seen.device)
        norms = [squares.get(ours, nothing) for ours in (False, True)]
        local = torch.cat([seen, torch.stack([*norms, torch.full_like(nothing, self._rows)])])
        return Tally(local, _term_metrics)

    def _worthy(self, batch: ShaperBatch) -> Tensor:
        """(B,) bool, the rows that may be stored whatever their advantage."""
        worthy = batch.mask.any(dim=1)  # an episode that broke at once has no token to learn
        if self.settings.require_outcome_positive:
            worthy &= batch.comm.local(batch.rewards[self.trainer.accuracy_reward]) >= 1
        if self.settings.require_tool_call:
            worthy &= self.trainer.filter_batch(batch).tool_calls > 0
        return worthy

    def _padded(self, chunk: list[Drawn]) -> dict[str, Tensor]:
        trainer = self.trainer
        token, device = trainer._tokenizer.pad_token_id, trainer.accelerator.device
        return padded(chunk, token, device, trainer.pad_to_multiple_of)

    def _clip(self) -> dict[str, float]:
        return {"epsilon": self.trainer.epsilon_low, "epsilon_high": self.trainer.epsilon_high}

    def _batch(self, inputs: dict[str, Any]) -> Batch:
        """What TRL's loss of this micro-batch was divided by."""
        trainer = self.trainer
        share = trainer.accelerator.num_processes * trainer.args.steps_per_generation
        return Batch(
            loss_type=trainer.loss_type,
            rows=trainer.rows_of_micro_batch(inputs),
            tokens=loss_mask(inputs).sum().float(),
            window_tokens=inputs["num_items_in_batch"].float() / share,
            longest=trainer.max_completion_length,
        )


def _term_metrics(everywhere: Tensor) -> dict[str, float]:
    """Of what each rank reports of its replayed rows, (world, 8)."""
    tokens, ratio, clipped, left_out, loss, batch, replayed, rows = everywhere.sum(dim=0).tolist()
    tokens, ranks = max(tokens, 1.0), len(everywhere)
    return {
        "spear/rows_used": rows,
        "spear/loss": loss / ranks,
        "spear/ratio_mean": ratio / tokens,
        "spear/clip_share": clipped / tokens,
        "spear/cov_clip_share": left_out / tokens,
        "spear/gradient_batch": (batch / ranks) ** 0.5,
        "spear/gradient_replay": (replayed / ranks) ** 0.5,
    }
