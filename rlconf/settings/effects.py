"""What the settings cost, and which of them do nothing in this combination."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from rewards.isolation import LIMITS
from rlconf.settings.arithmetic import Batch
from rlconf.settings.check import is_isolated
from rlconf.settings.check_replay import (
    filters_without_effect,
    replay_advice,
    replay_without_effect,
)
from rlconf.settings.schema import Config, LoggingSection

__all__ = ["advice", "extra_forwards", "without_effect"]


def extra_forwards(
    args: SimpleNamespace,
    batch: Batch,
    needs_signals: bool,
    replay: bool = False,
    heard: bool = False,
    rounds: bool = False,
) -> list[str]:
    """Forwards without gradient that each generation batch costs beside generation and training.

    Args:
        args: trainer settings, defaults filled in.
        batch: the generation batch.
        needs_signals: whether a chosen shaper or reward needs signals of the sampling policy.
        replay: whether completions are stored with their log-probs.
        heard: whether those signals are read while completions are sampled.
        rounds: whether rewards ask for signals in every round of dynamic sampling.

    Returns:
        One sentence for each; empty if there is none.
    """
    found: list[str] = []
    corrects_vllm = args.use_vllm and args.vllm_importance_sampling_correction
    scores_old = not batch.on_policy or corrects_vllm
    if scores_old:
        reason = (
            "vLLM's log-probs are corrected"
            if batch.on_policy
            else f"{batch.completions} completions serve {batch.updates} optimiser steps"
        )
        found.append(f"1 forward for the old log-probs, because {reason}")
    if args.beta != 0:
        found.append(f"1 forward of the reference model, because trainer.beta={args.beta}")
    if rounds:
        found.append("1 forward in each round of dynamic sampling, for the signals of rewards")
    if needs_signals and heard:
        found.append("0 forwards for the policy's signals: speed.signals reads them while sampling")
    elif needs_signals and scores_old:
        found.append("0 forwards for the policy's signals: they ride on the old log-probs'")
    elif needs_signals:
        found.append("1 forward for the policy's signals, which shapers and rewards share")
    elif replay and not scores_old and heard:
        found.append("0 forwards for the log-probs of what replay stores: speed.signals reads them")
    elif replay and not scores_old:
        found.append("1 forward of the completions that replay stores, for their log-probs")
    return found


def without_effect(
    given: Mapping[str, Any],
    args: SimpleNamespace,
    batch: Batch,
    config: Config,
    *,
    native: bool = False,
) -> list[str]:
    """Settings that are set and change nothing here, one sentence each.

    Args:
        given: trainer settings that were set.
        args: the same, defaults filled in.
        batch: the generation batch.
        config: the whole configuration.
        native: whether the methods of an environment are tools.
    """
    found: list[str] = []

    def idle(names: tuple[str, ...], why: str) -> None:
        found.extend(f"trainer.{name}={given[name]}: {why}" for name in names if given.get(name))

    if batch.on_policy and not args.use_vllm and config.replay is not None:
        idle(
            ("delta",),
            f"each generation batch serves {_steps(batch)}, and replayed rows have no delta",
        )
    elif batch.on_policy and not args.use_vllm:
        idle(
            ("epsilon", "epsilon_high", "delta"),
            f"each generation batch serves {_steps(batch)}, so every ratio is 1, never clipped",
        )
    elif args.loss_type in ("sapo", "vespo"):
        idle(("epsilon", "epsilon_high", "delta"), f"loss_type={args.loss_type} does not clip")
    elif args.loss_type == "cispo":
        idle(("epsilon", "delta"), "loss_type=cispo clips from above only, at epsilon_high")
    for loss in ("sapo", "vespo"):
        if args.loss_type != loss:
            own = tuple(name for name in given if name.startswith(f"{loss}_"))
            idle(own, f"loss_type={args.loss_type}")
    if not args.use_vllm:
        idle(tuple(name for name in given if name.startswith("vllm_")), "use_vllm=false")
    if str(args.lr_scheduler_type) == "constant":
        idle(("warmup_steps",), "lr_scheduler_type=constant ignores it; use constant_with_warmup")
    if args.max_steps > 0:
        idle(("num_train_epochs",), f"max_steps={args.max_steps} decides")
    if args.beta == 0:
        idle(("ref_model_mixup_alpha", "ref_model_sync_steps"), "beta=0, so there is no reference")
    if not args.use_adaptive_entropy:
        adaptive = ("entropy_coef_min", "entropy_coef_max", "entropy_coef_delta", "entropy_target")
        idle(adaptive, "use_adaptive_entropy=false")
    if str(args.eval_strategy) == "no":
        idle(("eval_steps", "num_generations_eval", "eval_on_start"), "eval_strategy=no")
    if not config.tracking.wandb and config.tracking.mode == "offline":
        found.append("tracking.mode=offline: only tracking=wandb has such a mode")
    if config.model.name != "tiny" and config.model.tiny:
        found.append(f"model.tiny={config.model.tiny}: the model comes from {config.model.path}")
    if config.model.name == "tiny" and config.model.chat_template is not None:
        found.append("model.chat_template: the tiny model reads plain text")
    for key, default in (("every", 1), ("token_samples", LoggingSection.token_samples)):
        value = getattr(config.logging, key)
        if not config.logging.rollouts and value not in (0, default):
            found.append(f"logging.{key}={value}: logging.rollouts=false")
    if not config.tools and not native:
        idle(("max_tool_calling_iterations",), "tools=[], so nothing is called")
    if config.reward and not any(is_isolated(config, name) for name in config.reward):
        found += [
            f"guard.{key}={value}: no chosen reward runs in worker processes"
            for key, value in vars(config.guard).items()
            if key.removeprefix("reward_") in LIMITS and value is not None
        ]
    found += replay_without_effect(config, batch) + filters_without_effect(config, args)
    return found


def advice(args: SimpleNamespace, config: Config, batch: Batch) -> list[str]:
    """Combinations that run and are seldom meant, one sentence each."""
    from trainers.compatibility import remarks

    found = remarks(config.reward, list(config.shaper)) + replay_advice(config, args, batch)
    if args.loss_type == "cispo" and args.epsilon_high is None:
        found.append(
            "trainer.loss_type=cispo without epsilon_high clamps every weight at epsilon="
            f"{args.epsilon}; its paper clamps at 5"
        )
    if args.loss_type == "luspo" and args.importance_sampling_level != "sequence":
        found.append("trainer.loss_type=luspo is defined for importance_sampling_level=sequence")
    if args.loss_type == "vespo" and args.importance_sampling_level != "token":
        found.append("trainer.loss_type=vespo is defined for importance_sampling_level=token")
    if args.importance_sampling_level == "sequence" and args.loss_type in _TOKEN_SUM_LOSSES:
        found.append(
            f"trainer.importance_sampling_level=sequence with loss_type={args.loss_type} weighs "
            "long completions more; GSPO is loss_type=grpo"
        )
    return found


_TOKEN_SUM_LOSSES = ("bnpo", "dr_grpo", "dapo", "cispo")


def _steps(batch: Batch) -> str:
    """`one optimiser step` or `1/4 of an optimiser step`."""
    return "one optimiser step" if batch.updates == 1 else f"{batch.updates} of an optimiser step"
