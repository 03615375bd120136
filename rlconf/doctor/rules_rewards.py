"""Rules on rewards and completions."""

from __future__ import annotations

from statistics import fmean

from rlconf.doctor.finding import (
    LEAST,
    NOT_FINITE,
    Finding,
    Rule,
    Series,
    change,
    end,
    head,
    rule,
    tail,
    values,
)

__all__ = ["RULES"]


@rule("frac_reward_zero_std", "accuracy")
def zero_variance(share: Series, accuracy: Series) -> Finding | None:
    """More than 0.8 of the groups have equal rewards over the last fifth, on a task not solved."""
    last, right = end(share), end(accuracy)
    if last is None or last <= 0.8 or (right is not None and right >= 0.9):
        return None
    return Finding(
        "zero_variance",
        share[-1][0],
        last,
        0.8,
        f"in {last:.0%} of the groups all completions have the same reward, so they teach nothing",
        "easier questions or a graded reward if it is near its minimum, more "
        "trainer.num_generations, a higher trainer.temperature",
    )


@rule("accuracy", "frac_reward_zero_std")
def reward_saturated(accuracy: Series, share: Series) -> Finding | None:
    """Accuracy at least 0.99 and 0.95 of the groups without variance over the second half."""
    if len(accuracy) < LEAST or len(share) < LEAST:
        return None
    right, same = fmean(tail(accuracy, 0.5)), fmean(tail(share, 0.5))
    if right < 0.99 or same < 0.95:
        return None
    return Finding(
        "reward_saturated",
        accuracy[-1][0],
        right,
        0.99,
        f"accuracy is {right:.1%} over the second half and {same:.0%} of the groups teach nothing: "
        "the task is solved",
        "stop here (trainer.max_steps), or harder questions",
    )


@rule("reward", "accuracy", "reward_std")
def reward_flat(reward: Series, accuracy: Series, reward_std: Series) -> Finding | None:
    """No rise from the first third to the second or last (under 2 errors) in 50 rows or more."""
    right = end(accuracy)
    if len(reward) < 50 or (right is not None and right >= 0.9):
        return None
    difference, errors = change(reward)
    if max(errors, change(reward[: 2 * len(reward) // 3])[1], -errors) >= 2:
        return None
    spread = end(reward_std)
    signal = "" if spread is None else f"; its standard deviation is {spread:.3g}"
    return Finding(
        "reward_flat",
        reward[-1][0],
        errors,
        2.0,
        f"the reward changed by {difference:+.3g} from the first to the last third, "
        f"{errors:+.1f} standard errors{signal}: nothing is learnt",
        "if the deviation is 0 the reward gives no signal: rlconf rewards test RUN; else a higher "
        "learning_rate, easier questions, more generations, a warm start",
    )


@rule("reward")
def reward_fell(reward: Series) -> Finding | None:
    """The last fifth lost over half of what the best fifth had gained, by 3 standard errors."""
    if len(reward) < 50:
        return None
    size = len(reward) // 5
    parts = [fmean(values(reward[i * size : (i + 1) * size])) for i in range(4)]
    best, last = max(parts), fmean(tail(reward))
    since = reward[parts.index(best) * size :]
    if best - last <= 0.5 * (best - parts[0]) or change(since)[1] > -3:
        return None
    return Finding(
        "reward_fell",
        reward[-1][0],
        last,
        best,
        f"the reward fell from {best:.3g} to {last:.3g}",
        "go on from a checkpoint of the better time with a lower learning_rate or a "
        "trainer.beta above 0",
    )


@rule("completions/clipped_ratio")
def truncation(clipped: Series) -> Finding | None:
    """More than a tenth of the completions are cut off at the limit over the last fifth."""
    last = end(clipped)
    if last is None or last <= 0.1:
        return None
    return Finding(
        "truncation",
        clipped[-1][0],
        last,
        0.1,
        f"{last:.0%} of the completions are cut off before their end and are judged unfinished",
        "a higher trainer.max_completion_length, trainer.mask_truncated_completions=true, or "
        "reward=[...,length]",
    )


@rule("completions/mean_length", "accuracy", "reward")
def length_explosion(length: Series, accuracy: Series, reward: Series) -> Finding | None:
    """Completions twice as long as at the beginning, and no more right (under 2 errors better)."""
    if len(length) < LEAST:
        return None
    first, last = fmean(head(length, 0.1)), fmean(tail(length, 0.1))
    measure = accuracy or reward
    if first <= 0 or last < 2 * first or len(measure) < LEAST or change(measure)[1] >= 2:
        return None
    return Finding(
        "length_explosion",
        length[-1][0],
        last / first,
        2.0,
        f"completions grew from {first:.3g} to {last:.3g} tokens, {last / first:.1f} times, and "
        f"{'accuracy' if accuracy else 'the reward'} did not rise",
        "trainer.loss_type=dr_grpo or dapo (no bonus for long wrong answers), reward=[...,length], "
        "and read the longest completions",
    )


@rule("reward_failures/*")
def reward_failures(failures: Series) -> Finding | None:
    """At least one completion of a batch and rank, on average of the last fifth, broke a reward."""
    last = end(failures)
    if last is None or last < 1:
        return None
    return Finding(
        "reward_failures",
        failures[-1][0],
        last,
        1.0,
        f"a guarded reward failed on {last:.3g} completions of each batch and rank",
        "the log names the first of each kind; reward.NAME.timeout, or guard=strict to stop at "
        "the first",
    )


@rule(NOT_FINITE)
def not_finite(null: Series) -> Finding | None:
    """A loss or gradient norm that was NaN or infinite: null in metrics.jsonl."""
    hit = [step for step, count in null if count]
    if not hit:
        return None
    return Finding(
        "not_finite",
        hit[0],
        float(len(hit)),
        0.0,
        f"the loss or the gradient was NaN or infinite in {len(hit)} row(s), first at step "
        f"{hit[0]}",
        "not-finite/ holds the batch; resume=auto guard.nan=skip leaves such steps out; another "
        "max_grad_norm or bf16=false: resume=CHECKPOINT run.dir=NEW; another learning_rate: a new "
        "run with model.path=CHECKPOINT",
    )


RULES: tuple[Rule, ...] = (
    not_finite,
    reward_failures,
    zero_variance,
    reward_saturated,
    reward_flat,
    reward_fell,
    truncation,
    length_explosion,
)
