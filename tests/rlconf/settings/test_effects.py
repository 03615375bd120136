"""What the parts cost, and what does nothing here."""

import dataclasses
from typing import Any

import pytest

from rlconf.settings.arithmetic import Batch, plan
from rlconf.settings.effects import advice, extra_forwards, without_effect
from rlconf.settings.schema import Config, GuardSection, LoggingSection, TrackingSection
from rlconf.settings.trl_fields import effective

ON_POLICY = {"per_device_train_batch_size": 8, "num_generations": 8}
OFF_POLICY = {**ON_POLICY, "steps_per_generation": 4}


def costs(needs_signals: bool, **trainer: Any) -> list[str]:
    args = effective(trainer)
    batch, _ = plan(args, 1)
    assert isinstance(batch, Batch)
    return extra_forwards(args, batch, needs_signals)


def idle(config: Config | None = None, **trainer: Any) -> str:
    args = effective(trainer)
    batch, _ = plan(args, 1)
    assert batch is not None
    return " | ".join(without_effect(trainer, args, batch, config or Config()))


def test_on_policy_grpo_costs_nothing_and_signals_cost_one():
    assert costs(False, **ON_POLICY) == []
    assert costs(True, **ON_POLICY) == [
        "1 forward for the policy's signals, which shapers and rewards share"
    ]


def test_signals_ride_on_the_old_log_probs():
    found = costs(True, **OFF_POLICY)
    assert found[0].startswith("1 forward for the old log-probs, because 32 completions serve 4")
    assert found[1].startswith("0 forwards")


def test_signals_that_are_heard_cost_none():
    args = effective(ON_POLICY)
    batch, _ = plan(args, 1)
    assert batch is not None
    found = (
        extra_forwards(args, batch, True, heard=True),
        extra_forwards(args, batch, False, replay=True, heard=True),
    )
    assert [one[0][:30] for one in found] == [
        "0 forwards for the policy's si",
        "0 forwards for the log-probs o",
    ]


def test_the_reference_costs_one():
    assert "trainer.beta=0.04" in costs(False, **ON_POLICY, beta=0.04)[0]


def test_vllm_is_always_corrected():
    assert "vLLM" in costs(False, **ON_POLICY, use_vllm=True)[0]
    assert costs(False, **ON_POLICY, use_vllm=True, vllm_importance_sampling_correction=False) == []


def test_clipping_needs_a_policy_that_has_moved():
    assert "epsilon_high=0.28" in idle(**ON_POLICY, epsilon_high=0.28)
    assert idle(**OFF_POLICY, epsilon_high=0.28) == ""


@pytest.mark.parametrize(
    ("trainer", "part"),
    [
        ({"loss_type": "sapo", "epsilon": 0.3}, "loss_type=sapo does not clip"),
        ({"loss_type": "cispo", "epsilon": 0.3, "epsilon_high": 5.0}, "trainer.epsilon=0.3"),
        ({"vespo_k_pos": 3.0}, "trainer.vespo_k_pos=3.0: loss_type=dapo"),
        ({"vllm_mode": "server"}, "use_vllm=false"),
        ({"lr_scheduler_type": "constant", "warmup_steps": 10}, "use constant_with_warmup"),
        ({"max_steps": 5, "num_train_epochs": 2.0}, "max_steps=5 decides"),
        ({"ref_model_sync_steps": 64}, "no reference"),
        ({"entropy_target": 0.3}, "use_adaptive_entropy=false"),
        ({"eval_steps": 5}, "eval_strategy=no"),
    ],
)
def test_settings_that_another_makes_idle(trainer: dict, part: str):
    assert part in idle(**OFF_POLICY, **trainer)


def test_cispo_reads_epsilon_high():
    assert "epsilon_high" not in idle(**OFF_POLICY, loss_type="cispo", epsilon_high=5.0)


def test_our_own_sections():
    config = Config(
        tracking=TrackingSection(mode="offline"),
        logging=LoggingSection(rollouts=False, every=5, token_samples=3),
    )
    config.model.name, config.model.path, config.model.tiny = None, "a/b", {"hidden": 32}
    text = idle(config, **ON_POLICY)
    for part in (
        "tracking.mode=offline",
        "logging.every=5",
        "logging.token_samples=3",
        "model.tiny=",
    ):
        assert part in text


def test_advice():
    def told(config: Config | None = None, **trainer: Any) -> list[str]:
        args = effective(trainer)
        batch, _ = plan(args, 1)
        assert batch is not None
        return advice(args, config or Config(), batch)

    assert "clamps every weight at epsilon=0.2" in told(loss_type="cispo")[0]
    assert "sequence" in told(loss_type="luspo")[0]
    assert "GSPO is loss_type=grpo" in told(importance_sampling_level="sequence")[0]
    assert told(importance_sampling_level="sequence", loss_type="grpo") == []
    assert told() == []
    crew = Config(reward={"exact": {}, "crew": {}})
    assert told(crew) == []
    assert "pull in opposite directions" in told(dataclasses.replace(crew, shaper={"ucas": {}}))[0]
    raw = Config(reward={"crew": {"mode": "raw"}})
    assert "confidently wrong: prefer gated or signed" in told(raw)[0]


def test_limits_of_worker_processes_that_nothing_runs_in():
    guard = GuardSection(reward_timeout=3.0)
    config = Config(reward={"exact": {}}, guard=guard)
    assert idle(config) == "guard.reward_timeout=3.0: no chosen reward runs in worker processes"
    assert idle(Config(reward={"exact": {}, "math": {}}, guard=guard)) == ""
    assert idle(Config(reward={"exact": {"isolated": True}}, guard=guard)) == ""
