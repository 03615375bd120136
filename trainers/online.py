"""The one online trainer: TRL's GRPO with parts of ours, each optional.

With no part given it is `trl.GRPOTrainer` bit for bit (tests/invariant). Every override calls
`super()` and adds what the parts need; the maths is in `trainers/maths`.
"""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor
from transformers.trainer_utils import get_last_checkpoint

from rewards.conversation import completion_text
from rewards.errors import ConfigError
from trainers import resume
from trainers.agents import EnvironmentRollout
from trainers.compatibility import conflicts, misnamed, remarks
from trainers.curriculum import Curriculum
from trainers.curriculum.callback import CurriculumCallback
from trainers.curriculum.fit import bind, right_by
from trainers.curriculum.observed import Observed
from trainers.dynamic import DynamicSettings
from trainers.dynamic.part import DynamicPart
from trainers.filters.base import FilterBatch, RolloutFilter, keep_mask
from trainers.filters.batch import filter_batch
from trainers.gather_rollout import gather_rollout
from trainers.guarded import GuardedTrainer
from trainers.heard import hears
from trainers.keep import keep_rows
from trainers.loss_mask import loss_mask
from trainers.maths.dynamic import weighted
from trainers.maths.schedules import decay
from trainers.replay.part import ReplayPart
from trainers.replay.settings import ReplaySettings
from trainers.reward_signals import (
    Generated,
    RewardSignals,
    call_keywords,
    check_without_images,
)
from trainers.rollout import Rollout
from trainers.sampler import PlannedRepeatSampler, ResumableRepeatSampler
from trainers.scoring import ScoringGRPO
from trainers.shapers.base import Shaper, ShaperBatch
from trainers.signals import SignalRecorder, Signals
from trainers.speed.settings import misfits
from trainers.state import State, Stateful
from trainers.tool_calls import ToolCalls

_log = logging.getLogger(__name__)

# What a forward reads of TRL's rollout, of text.
_TEXT = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask")


class OnlineTrainer(GuardedTrainer, ToolCalls, ScoringGRPO):
    """GRPO with advantage shapers, listeners for rollouts, and a resume that is exact at any step.

    Takes everything that `trl.GRPOTrainer` takes, and:

    Args:
        shapers: run in order on the advantages of each training rollout batch.
        filters: which completions of it are learnt from; a completion must pass all.
        replay: self-imitation replay. None: none.
        dynamic: gives places of groups without variance to other prompts. None: to none.
        reward_decay: by name of a reward function, the generations over which its weight falls to
            0, half a cosine; such a reward counts nothing in evaluation.
        on_rollout: called on every rank with a `Rollout` after each training generation.
        rollout_data: columns of the data set that a `Rollout` carries along, such as those that its
            rewards were computed from.
        accuracy_reward: name of a reward function; logs `accuracy`, the share of scored completions
            whose reward under it is at least 1.
        curriculum: chooses the prompts of each round. None: TRL's order.
        speed: what the training phase leaves out. None: nothing.
        finite, phase: as in `GuardedTrainer`; here the phases are "generation", "reward" (inside
            it), "checkpoint" and "evaluation".

    Attributes:
        first_step: optimiser steps taken before this training, by another stage of the run;
            rollouts are numbered on from there.
        rows: of the data set, those that completions are being generated for.
        stateful: by name, what is saved with every checkpoint and restored before the first batch
            is drawn: the curriculum, and shapers, reward functions and listeners with
            `state_dict`/`load_state_dict` (`trainers.state.Stateful`). Whoever adds a part with a
            state puts it here.

    Rewards that declare signals (`rewards.function.SIGNALS`) get them, in training and evaluation.

    Raises:
        ConfigError: a setting of `args` rules out a shaper, the replay or the curriculum, shapers
            disagree on the temperature of the certainty, `accuracy_reward` or `reward_decay` names
            no reward function, or a reward has no gate.
    """

    reward_weights: Tensor

    def __init__(
        self,
        *args: Any,
        shapers: Sequence[Shaper] = (),
        filters: Sequence[RolloutFilter] = (),
        replay: ReplaySettings | None = None,
        dynamic: DynamicSettings | None = None,
        reward_decay: Mapping[str, float] | None = None,
        on_rollout: Iterable[Callable[[Rollout], None]] = (),
        rollout_data: Sequence[str] = (),
        accuracy_reward: str | None = None,
        curriculum: Curriculum | None = None,
        **kwargs: Any,
    ) -> None:
        with warnings.catch_warnings():
            # TRL says so of every `rollout_func`; ours is held to this TRL by tests/contract.
            warnings.filterwarnings("ignore", message="You are using 'rollout_func'")
            super().__init__(*args, **kwargs)
        self.rows: Sequence[dict[str, Any]] = ()
        self.shapers = list(shapers)
        self.filters = list(filters)
        self.reward_decay = dict(reward_decay or {})
        self.on_rollout = list(on_rollout)
        self.rollout_data = list(rollout_data)
        self.accuracy_reward = accuracy_reward
        self.curriculum = curriculum
        self.generation = 0
        self.first_step = 0
        self.train_sampler: ResumableRepeatSampler | PlannedRepeatSampler | None = None
        self.stateful: dict[str, Stateful] = resume.stateful_parts(
            {f"shaper {part.name}": part.function for part in self.shapers}
            | dict(zip(self.reward_func_names, self.reward_funcs, strict=True))
            | {f"listener {i}": listener for i, listener in enumerate(self.on_rollout)}
            | ({} if curriculum is None else {"curriculum": curriculum})
        )
        self.looks = resume.looks(self)
        self.first_reward_weights = self.reward_weights.clone()
        self.resumed: State | None = None
        self.add_callback(resume.Resumption(self))
        problems = conflicts(self.args, [part.name for part in self.shapers])
        problems += misfits(self.args, self.speed, None if replay is None else replay.mode)
        problems += misnamed(self.reward_func_names, self.reward_decay, accuracy_reward)
        temperatures = {
            part.certainty_temperature or self.temperature
            for part in self.shapers
            if "certainty" in part.needs
        }
        if len(temperatures) > 1:
            problems.append(
                f"shapers ask for certainty at different temperatures ({sorted(temperatures)}): "
                "set their confidence_temperature alike"
            )
        if problems:
            raise ConfigError("\n".join(problems))
        self.replay: ReplayPart | None = None
        if replay is not None:
            self.replay = ReplayPart(self, replay)
            self.stateful["replay"] = self.replay.replay
        self.dynamic: DynamicPart | None = None
        if dynamic is not None:
            self.dynamic = self.stateful["dynamic"] = DynamicPart(self, dynamic)
        if curriculum is not None:
            bind(curriculum, self)
            self.add_callback(CurriculumCallback(curriculum, self._comm))
        if self.accelerator.is_main_process:
            specs = [f.spec for f in self.reward_funcs if hasattr(f, "spec")]
            chosen = {spec.name: spec.options for spec in specs}
            for text in remarks(chosen, [part.name for part in self.shapers]):
                _log.warning("%s.", text)
        self._asked = RewardSignals(self)
        self._generated: Generated | None = None
        self._batch_signals: Signals | None = None
        self._scored: Any = None
        self._filter_batch: FilterBatch | None = None
        self._spoken: list[list[dict[str, str]]] | None = None
        self._shapers_ask = any(part.needs for part in self.shapers)
        self._signals_asked = self._shapers_ask or self._asked.of_tokens
        # Replay stores log-probs, and where TRL scores old ones they are there already.
        passes = self.args.steps_per_generation * self.num_iterations
        missing = replay is not None and self.args.gradient_accumulation_steps % passes == 0
        if self._signals_asked or (missing and self.speed.signals and hears(self)):
            self._recorder = SignalRecorder(
                self.model,
                self.temperature,
                temperatures.pop() if temperatures else self.temperature,
                cut=lambda: self.columns_cut,
            )

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        sampler = super()._get_train_sampler(dataset)
        if self.curriculum is not None:
            self.train_sampler = PlannedRepeatSampler(
                self.curriculum.plan_for,
                self.curriculum.prompts_per_round,
                mini_repeat_count=sampler.mini_repeat_count,
                batch_size=sampler.batch_size,
                repeat_count=sampler.repeat_count,
            )
            return self.train_sampler
        self.train_sampler = ResumableRepeatSampler(
            data_source=sampler.data_source,
            mini_repeat_count=sampler.mini_repeat_count,
            batch_size=sampler.batch_size,
            repeat_count=sampler.repeat_count,
            shuffle=sampler.shuffle,
            seed=sampler.seed,
        )
        return self.train_sampler

    def _generate(self, prompts: Any) -> Any:
        # Listens only: rewards that ask for signals need the token ids, which they are not given.
        known = None if self.dynamic is None else self.dynamic.assembled
        output = super()._generate(prompts) if known is None else known.output
        self._batch_signals = None
        if isinstance(self.rollout_func, EnvironmentRollout):
            self._spoken = self.rollout_func.spoken(output[1], output[2], self)
        if self._recorder is not None and self._asked.of_tokens:
            prompt_ids, completion_ids, tool_mask, *_, images, tool_images = output
            pictured = images is not None or any(tool_images or ())
            self._generated = Generated(prompt_ids, completion_ids, tool_mask, pictured)
            answers = self._asked.locate(self._generated)
            whole = (self._shapers_ask or self.replay is not None) and self.model.training
            whole = whole and (self.dynamic is None or known is not None)
            self._recorder.clear(answers if self._asked.of_answers_alone and not whole else None)
        if known is None:
            self._hold_heard(output[1])
        elif not self._shapers_ask:  # rewards had their signals in the rounds
            self._listener = None
        return output

    def _calculate_rewards(
        self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any
    ) -> Tensor:
        spoken = self._spoken
        if spoken is not None:  # TRL's text of an episode has in it what the environment said
            completions = [
                completion_text(turns) if isinstance(prompt, str) else turns[-1:]
                for turns, prompt in zip(spoken, prompts, strict=True)
            ]
        known = None if self.dynamic is None else self.dynamic.assembled
        batch = (inputs, prompts, completions, completion_ids_list)
        matrix = self._ask_rewards(*batch) if known is None else known.matrix
        self._rewards = dict(zip(self.reward_func_names, matrix.unbind(dim=1), strict=True))
        self._scored = inputs, spoken or completions, completion_ids_list
        if self.accuracy_reward is not None and known is None:
            scores = self._rewards[self.accuracy_reward]
            scores = scores[~scores.isnan()]
            mode = "train" if self.model.training else "eval"
            if len(scores):
                self._metrics[mode]["accuracy"].append((scores >= 1).float().mean().item())
        return matrix

    def _ask_rewards(self, *batch: Any) -> Tensor:
        handing: Any = nullcontext()
        if self._recorder is not None and self._generated is not None:
            if not self._recorder.recorded:
                check_without_images(self._generated)
            self._batch_signals = self._signals(self._recorder, self._generated.padded(self))
        if self._asked.any:
            handing = self._asked.handed_over(
                self._generated, self._batch_signals, call_keywords(self, *batch)
            )
        with self.phase("reward"), handing:
            return super()._calculate_rewards(*batch)

    def _get_per_token_logps_and_entropies(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        result = super()._get_per_token_logps_and_entropies(model, *args, **kwargs)
        if self.replay is not None:
            self.replay.watch(result[0])
        return result

    def _compute_loss(self, model: Any, inputs: Any) -> Tensor:
        loss = super()._compute_loss(model, inputs)
        if self.replay is None or not self.model.training:
            return loss
        replayed = self.replay.loss(model, inputs)
        return loss if replayed is None else loss + replayed

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        """Forward and backward of one micro-batch; see `trl.GRPOTrainer.training_step`."""
        loss = super().training_step(*args, **kwargs)
        seen = None if self.replay is None else self.replay.report()
        if seen is not None:
            self.tell_later(seen)
        return loss

    def _log_metrics(self, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self._metrics["train"][name].append(value)

    def trained_on(self, micro_batches: int) -> list[dict[str, Any]]:
        """The micro-batches just trained on, within the last generation batch."""
        buffered = self._buffered_inputs or []
        last = (self._step - 1) % max(len(buffered), 1)
        return list(buffered[max(0, last + 1 - micro_batches) : last + 1])

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        with self.phase("generation"):
            return self._generate_score_and_shape(inputs)

    def _generate_score_and_shape(self, inputs: Any) -> dict[str, Any]:
        training = self.model.training
        if training:
            self.generation += 1
        self._weigh_rewards(training)
        sampling = self.dynamic.assembling(inputs) if training and self.dynamic else None
        self._listener = self._recorder if training or self._asked.of_tokens else None
        try:
            with sampling or nullcontext(inputs) as self.rows:
                output = super()._generate_and_score_completions(self.rows)
                return self._shape(self.rows, output) if training else output
        finally:
            self._listener = self._generated = self._batch_signals = self._scored = None
            self._filter_batch = None
            self._spoken = None

    def _weigh_rewards(self, training: bool) -> None:
        """Set the weights of decaying rewards for this generation; in evaluation they are 0."""
        if not self.reward_decay:
            return
        weights = self.reward_weights.clone()
        for name, generations in self.reward_decay.items():
            at = self.reward_func_names.index(name)
            share = decay(self.generation, generations) if training else 0.0
            weights[at] = self.first_reward_weights[at] * share
            if training:
                self._metrics["train"][f"rewards/{name}/weight"].append(weights[at].item())
        self.reward_weights = weights

    def _weighted_rewards(self) -> Tensor:
        """(world * B,) sums as TRL's advantages are made of, NaN where no reward scored."""
        matrix = torch.stack(list(self._rewards.values()), dim=1)
        return weighted(matrix, self.reward_weights.to(matrix.device))

    def _shape(self, inputs: Any, output: dict[str, Any]) -> dict[str, Any]:
        batch = self._shaper_batch(output)
        observed = None if self.curriculum is None else self._observe(self.curriculum, inputs)
        keep = self._keep(batch, observed)
        signals = None
        if self._recorder is not None and self._shapers_ask:
            signals = self._batch_signals or self._signals(self._recorder, output)
        known = signals or self._batch_signals
        if known is None and self._recorder is not None and self._recorder.was_heard:
            known = self._recorder.take(output["completion_ids"].size(1))
        sampled_by = functools.partial(self._sampled_log_probs, output, known)
        if self.replay is not None:
            self.tell_later(
                self.replay.observe(batch, output, self._weighted_rewards(), keep, sampled_by)
            )
        for part in self.shapers:
            batch.advantages = part(batch, signals)
        output["advantages"] = batch.advantages
        self._log_metrics(batch.metrics)
        for tally in batch.tallies:
            self.tell_later(tally)
        if self.on_rollout:
            rollout = gather_rollout(self, batch, signals, inputs, output, observed)
            for listener in self.on_rollout:
                listener(rollout)
        if keep is not None and not keep.all():
            keep_rows(output, self._comm.local(keep), self._comm)
        if self.replay is not None:
            self.replay.join(output, sampled_by)
        return output

    def _keep(self, batch: ShaperBatch, observed: Observed | None) -> Tensor | None:
        """(world * B,) bool, what filters and curriculum keep; None where nobody has a say."""
        masks = []
        if observed is not None and not all(observed.active):
            active = torch.tensor(observed.active, device=batch.mask.device)
            masks.append(active.repeat_interleave(self.num_generations))
        if self.filters:
            keep, metrics = keep_mask(self.filters, self.filter_batch(batch))
            self._log_metrics(metrics)
            batch.columns["kept"] = self._comm.local(keep).float()
            masks.append(keep)
        return torch.stack(masks).all(dim=0) if masks else None

    def _observe(self, curriculum: Curriculum, inputs: list[dict[str, Any]]) -> Observed:
        """Tell the curriculum what this rollout's rewards say of its questions."""
        observed = curriculum.observe(
            self.generation,
            gather_object([row["id"] for row in inputs]),
            self._rewards[right_by(curriculum, self)],
            self.num_generations,
        )
        self._log_metrics(observed.metrics)
        return observed

    def filter_batch(self, batch: ShaperBatch) -> FilterBatch:
        """What filters see of the batch at hand, built once."""
        if self._filter_batch is None:
            inputs, completions, completion_ids = self._scored
            self._filter_batch = filter_batch(
                batch,
                inputs,
                completions,
                completion_ids,
                self._weighted_rewards(),
                self.max_completion_length,
                played=self._spoken is not None,
            )
        return self._filter_batch

    def _sampled_log_probs(
        self, output: dict[str, Any], signals: Signals | None, rows: Tensor
    ) -> Tensor:
        """(n, T) of the policy that sampled these rows, from a forward that was made already."""
        if "old_per_token_logps" in output:
            return output["old_per_token_logps"][rows]
        if signals is not None:
            return signals.log_prob[rows]
        return self.score_tokens({name: output[name][rows] for name in _TEXT})

    def _shaper_batch(self, output: dict[str, Any]) -> ShaperBatch:
        advantages = output["advantages"]
        first = self.accelerator.process_index * len(advantages)
        rows = torch.arange(first, first + len(advantages), device=advantages.device)
        return ShaperBatch(
            advantages=advantages,
            base_advantages=advantages,
            mask=loss_mask(output),
            completion_ids=output["completion_ids"],
            rewards=self._rewards,
            group_id=rows // self.num_generations,
            num_generations=self.num_generations,
            mode="train",
            comm=self._comm,
        )

    def train(self, resume_from_checkpoint: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Train, from a checkpoint if one is given; see `transformers.Trainer.train`.

        Raises:
            CheckpointError: the checkpoint was not written by this class, or belongs to another
                model, data set or batch; or a checkpoint cannot be written.
        """
        if resume_from_checkpoint is True:  # with none there, the base class raises
            resume_from_checkpoint = get_last_checkpoint(self.args.output_dir) or True
        if isinstance(resume_from_checkpoint, str | Path):
            resume.check(self, Path(resume_from_checkpoint))
        try:
            return super().train(resume_from_checkpoint, *args, **kwargs)
        finally:
            if isinstance(self.rollout_func, EnvironmentRollout):
                self.rollout_func.close()

    def save_state_in(self, folder: Path) -> None:
        """Add what an exact resume needs to a checkpoint."""
        resume.save(self, folder)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            self.resumed = resume.load(self, Path(checkpoint))
