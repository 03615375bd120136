"""Rules on the policy: entropy, KL, importance ratios, clipping, gradients."""

from __future__ import annotations

from statistics import fmean

from rlconf.doctor.finding import LEAST, Finding, Rule, Series, end, head, rule, spikes, tail

__all__ = ["RULES"]

SOLVED = 0.9  # accuracy above which a sure policy has reason to be sure


@rule("entropy", "accuracy", "reward")
def entropy_collapse(entropy: Series, accuracy: Series, reward: Series) -> Finding | None:
    """Entropy fell below a tenth of its beginning, and below 0.1 nats, on a task not solved."""
    if len(entropy) < LEAST or not (accuracy or reward):
        return None  # supervised training has neither, and is to become sure
    first, last = fmean(head(entropy, 0.1)), fmean(tail(entropy, 0.1))
    if last >= 0.1 * first or last >= 0.1 or _is_solved(accuracy, reward):
        return None
    reached = end(accuracy or reward)
    return Finding(
        "entropy_collapse",
        entropy[-1][0],
        last,
        0.1 * first,
        f"entropy fell from {first:.3g} to {last:.3g} nats while "
        f"{'accuracy' if accuracy else 'reward'} is {reached or 0:.3g}: the policy no longer "
        "explores",
        "trainer.epsilon_high=0.28 (clip-higher), trainer.entropy_coef, trainer.beta above 0, or "
        "shaper=[ucas], in a branch from before the fall: resume=CHECKPOINT run.dir=NEW; or a "
        "lower learning_rate in a new run with model.path=CHECKPOINT",
    )


def _is_solved(accuracy: Series, reward: Series) -> bool:
    """Accurate, or, where accuracy is not logged, still gaining reward in the second half."""
    if accuracy:
        return (end(accuracy) or 0.0) >= SOLVED
    half = reward[len(reward) // 2 :]
    if len(half) < 10:
        return False
    rise = fmean(tail(half)) - fmean(head(half))
    return rise > 0.02 * max(abs(fmean(tail(reward))), 1e-9)


@rule("kl")
def kl_drift(kl: Series) -> Finding | None:
    """KL from the reference above 1 nat per token over the last fifth."""
    last = end(kl)
    if last is None or last <= 1.0:
        return None
    return Finding(
        "kl_drift",
        kl[-1][0],
        last,
        1.0,
        f"KL from the reference is {last:.3g} nats per token: the policy has gone far from it",
        "a higher trainer.beta, a lower learning_rate, or read some completions: this is where "
        "rewards get gamed",
    )


@rule("sampling/importance_sampling_ratio/mean", "sampling/sampling_logp_difference/mean")
def ratio_drift(ratio: Series, difference: Series) -> Finding | None:
    """The sampler's probabilities are not the trainer's: ratio off by 0.1, log-probs by 0.02."""
    mean, gap = end(ratio), end(difference)
    if mean is not None and abs(mean - 1.0) > 0.1:
        return Finding(
            "ratio_drift",
            ratio[-1][0],
            mean,
            0.1,
            f"the mean importance ratio of sampler and trainer is {mean:.3g}, not 1",
            "weights that are not synchronised, or another dtype in vLLM: set both alike; "
            "trainer.vllm_importance_sampling_correction=true corrects small differences only",
        )
    if gap is not None and gap > 0.02:
        return Finding(
            "ratio_drift",
            difference[-1][0],
            gap,
            0.02,
            f"log-probs of vLLM and the trainer differ by {gap:.3g} a token on average",
            "float32 or the same dtype in both, trainer.vllm_importance_sampling_correction=true",
        )
    return None


@rule("clip_ratio/region_mean", "cispo_clip_ratio")
def clipped_share(region: Series, cispo: Series) -> Finding | None:
    """More than a fifth of the tokens had their ratio clipped over the last fifth."""
    series = region or cispo
    last = end(series)
    if last is None or last <= 0.2:
        return None
    return Finding(
        "clipped_share",
        series[-1][0],
        last,
        0.2,
        f"{last:.0%} of the tokens are clipped and teach nothing: the policy moves too far on one "
        "batch",
        "a lower learning_rate, fewer updates per batch (trainer.num_iterations, "
        "steps_per_generation), or a wider trainer.epsilon",
    )


@rule("grad_norm")
def gradient_spikes(grad_norm: Series) -> Finding | None:
    """Norms above 1 and 10 times the median of the 20 rows before: three, or one of 100 times."""
    found = [(point, times) for point, times in spikes(grad_norm, 10.0) if point[1] > 1.0]
    worst = max(found, key=lambda one: one[1], default=None)
    if worst is None or (len(found) < 3 and worst[1] < 100):
        return None
    (step, norm), times = worst
    return Finding(
        "gradient_spikes",
        step,
        times,
        10.0,
        f"the gradient norm jumped {len(found)} time(s), at step {step} to {norm:.3g}, {times:.0f} "
        "times the usual",
        "look at the rollouts of that step; a lower trainer.max_grad_norm or trainer.bf16=false: "
        "resume=CHECKPOINT run.dir=NEW; a lower learning_rate or longer warm-up: a new run",
    )


RULES: tuple[Rule, ...] = (entropy_collapse, kl_drift, ratio_drift, clipped_share, gradient_spikes)
