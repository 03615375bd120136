"""What cannot be replayed or filtered, what it costs, and what of it does nothing."""

import dataclasses
from typing import Any

import pytest

from rewards.errors import ConfigError
from rlconf.building.parts import build_grpo_config, build_task
from rlconf.preview.validate import report
from rlconf.settings.check import check
from rlconf.settings.compose import compose
from rlconf.settings.schema import Config

SPEAR = ["replay=spear", "trainer.scale_rewards=none"]


@pytest.fixture(scope="module")
def base() -> Config:
    return compose(SPEAR)


def said(config: Config, trainer: dict[str, Any] | None = None, **replay: Any) -> str:
    changed = dataclasses.replace(
        config,
        trainer={**config.trainer, **(trainer or {})},
        replay={**(config.replay or {}), **replay},
    )
    return " | ".join(problem.text for problem in check(changed))


def test_the_base_is_right(base: Config) -> None:
    assert check(base) == []


@pytest.mark.parametrize(
    ("replay", "trainer", "text"),
    [
        ({"rows": 0}, {}, "replay: rows=0: expected 1 or more"),
        ({"coeff": 1.0}, {}, "replay.coeff: there is no such setting; did you mean replay.coef?"),
        ({}, {"loss_type": "vespo"}, "trainer.loss_type=vespo does not clip as the self-imitation"),
        (
            {},
            {"multi_objective_aggregation": "normalize_then_sum"},
            "set it to sum_then_normalize",
        ),
        ({"mode": "mixed"}, {"beta": 0.04}, "would put the KL term of trainer.beta=0.04"),
        (
            {"mode": "mixed"},
            {"importance_sampling_level": "sequence"},
            "replay.mode=mixed needs the ratio of each token",
        ),
        (
            {"mode": "mixed"},
            {"off_policy_mask_threshold": 0.5},
            "both decide about rows of older policies",
        ),
    ],
)
def test_what_rules_replay_out(base: Config, replay, trainer, text: str) -> None:
    assert text in said(base, trainer, **replay)


def test_reentrant_checkpointing_on_several_ranks(base: Config) -> None:
    config = dataclasses.replace(base, launch=dataclasses.replace(base.launch, processes=2))
    kwargs = {"gradient_checkpointing": True}
    reentrant = {**kwargs, "gradient_checkpointing_kwargs": {"use_reentrant": True}}
    assert "two forwards before one backward" in said(config, reentrant)
    assert "two forwards" not in said(config, reentrant, mode="mixed")
    assert "two forwards" not in said(config, kwargs)
    assert "two forwards" not in said(base, reentrant)


def test_nothing_to_replay_or_filter_in_supervised_training() -> None:
    with pytest.raises(ConfigError) as error:
        compose(["trainer=sft", "replay=spear", "filter=[overlong]"])
    text = str(error.value)
    assert "filter=[overlong] and trainer=sft" in text
    assert "set replay=none" in text


def test_a_setting_does_not_switch_a_part_on() -> None:
    with pytest.raises(ConfigError) as error:
        compose(["replay.rows=2", "filter.void.how=final"])
    assert "replay.rows is set but there is no replay: add replay=spear" in str(error.value)
    assert "filter.void.how is set but void is not chosen: add filter=[void]" in str(error.value)


def test_an_unknown_filter_is_told_its_nearest_name() -> None:
    config = dataclasses.replace(Config(), filter={"overlog": {}})
    assert any("Did you mean 'overlong'?" in problem.text for problem in check(config))


def test_decay_is_for_every_reward_and_above_zero(tmp_path) -> None:
    config = compose(["reward=[exact,length]", "reward.length.decay=20"])
    assert config.reward["length"]["decay"] == 20
    build_grpo_config(config, build_task(config), [1.0, 1.0], tmp_path)
    with pytest.raises(ConfigError, match=r"reward\.exact\.decay=0: expected generations above 0"):
        compose(["reward=[exact]", "reward.exact.decay=0"])


def block(text: str, title: str) -> str:
    (found,) = [part for part in text.split("\n\n") if part.startswith(title)]
    return found


def test_validate_says_what_is_replayed_and_what_it_takes() -> None:
    text = report(compose([*SPEAR, "trainer.max_steps=100", "replay.fill=3"]))
    told = block(text, "replay")
    assert "up to 64 replayed rows beside each micro-batch of 256, with every batch: 25%" in told
    # 2048 x (2304 + 7 x 4 + 7 x 9) bytes = 4.68 MiB.
    assert "2048 trajectories over all ranks, of up to 7 + 7 tokens: at most 4.7 MiB" in told
    assert "1 forward of the completions that replay stores" in block(text, "extra forwards")
    assert "replay.fill=3: replay.draw=continuous" in block(text, "without effect")
    # (1 - cos(pi / 2)) / 2 after half of the warm-up.
    assert "rises to 0.5 of its 1" in block(text, "worth a look")
    assert "replay = term (default: null)" in text


def test_old_log_probs_serve_the_replay_too() -> None:
    text = report(compose([*SPEAR, "trainer.num_iterations=2"]))
    assert "replay stores" not in block(text, "extra forwards")


def test_what_does_nothing_is_said() -> None:
    small = ["trainer.per_device_train_batch_size=8", "trainer.gradient_accumulation_steps=4"]
    one = [*SPEAR, *small, "replay.rows=1"]
    assert "so that no token has a covariance" in block(report(compose(one)), "without effect")
    two = [*one, "replay.rows=2"]
    assert "covariance" not in block(report(compose(two)), "without effect")
    off = [*one, "replay.cov_clip=false", "replay.cov_lower=2", "replay.coef=0"]
    told = block(report(compose(off)), "without effect")
    assert "replay.cov_lower=2: replay.cov_clip=false" in told
    assert "replay.coef=0: completions are stored and none is replayed" in told
    # The clip range of the batch does nothing on-policy, but replayed rows have ratios.
    clip = [*SPEAR, "trainer.epsilon_high=0.28"]
    assert "epsilon_high" not in block(report(compose(clip)), "without effect")
    masked = ["filter=[overlong]", "trainer.mask_truncated_completions=true"]
    assert "filter=[overlong]: " in block(report(compose(masked)), "without effect")


def test_divided_advantages_are_worth_a_look() -> None:
    text = report(compose(["replay=spear"]))
    assert "trainer.scale_rewards=group divides the batch's advantages" in block(text, "worth")
