"""What cannot work is refused in one sentence that names the settings and the cure."""

import dataclasses
from typing import Any

import pytest

from rlconf.settings.check import check, check_columns, options_under_guard, ranks
from rlconf.settings.compose import compose
from rlconf.settings.schema import Config, GuardSection


@pytest.fixture(scope="module")
def base() -> Config:
    return compose(["experiment=quickstart"])


def said(config: Config, **changes: Any) -> str:
    """Everything wrong with the configuration after changing sections, as one text."""
    return " | ".join(p.text for p in check(dataclasses.replace(config, **changes)))


def trainer(config: Config, **changes: Any) -> str:
    return said(config, trainer={**config.trainer, **changes})


def test_the_base_is_right(base: Config):
    assert check(base) == []


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"gate": "exakt"},
            "reward.crew.gate=exakt: expected a reward that says what is right.",
        ),
        ({"gate": "crew"}, "reward.crew.gate=crew: expected a reward that says"),
        ({"mode": "rawr"}, "reward.crew.mode='rawr'"),
        ({"how": "regex"}, "how=regex needs a pattern"),
    ],
)
def test_options_of_crew(base: Config, options: dict[str, str], text: str):
    assert text in said(base, reward={"exact": {}, "crew": options})
    assert said(base, reward={"exact": {}, "crew": {"gate": "accuracy_reward"}}) == ""


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"loss_type": "luspo", "importance_sampling_level": "sequence"}, ["loss_type", "shaper"]),
        ({"loss_type": "vespo"}, ["loss_type=vespo", "shaper=[ucas]"]),
        ({"importance_sampling_level": "sequence"}, ["importance_sampling_level", "to token"]),
        ({"off_policy_mask_threshold": 0.5}, ["off_policy_mask_threshold", "to null"]),
        ({"remove_unused_columns": True}, ["remove_unused_columns", "false"]),
        ({"auto_find_batch_size": True}, ["auto_find_batch_size", "per_device_train_batch_size"]),
        ({"load_best_model_at_end": True}, ["load_best_model_at_end", "checkpoint.keep"]),
        ({"bf16": True, "fp16": True}, ["bf16", "fp16", "choose one"]),
        ({"temperature": 0.0}, ["temperature=0.0", "more than 0"]),
        ({"top_p": 1.5}, ["top_p=1.5"]),
        ({"max_steps": 0}, ["max_steps=0", "-1 to count"]),
        ({"learning_rate": -1.0}, ["learning_rate=-1.0"]),
        ({"max_completion_length": 0}, ["max_completion_length=0"]),
        ({"beta": -0.1}, ["beta=-0.1"]),
        ({"sync_ref_model": True}, ["sync_ref_model", "beta"]),
        ({"use_vllm": True, "use_transformers_continuous_batching": True}, ["choose one engine"]),
        ({"use_vllm": True}, ["needs the package vllm", "rlconf[vllm]"]),
        ({"use_cpu": True, "deepspeed": "zero3.json"}, ["use_cpu", "DeepSpeed"]),
        ({"log_completions_hub_repo": "a/b"}, ["log_completions=false"]),
        ({"save_steps": 1.5}, ["save_steps=1.5", "whole number"]),
        ({"save_steps": 0}, ["save_steps=0", "whole number"]),
        ({"save_only_model": True}, ["save_only_model", "could be resumed"]),
        ({"ignore_data_skip": True}, ["ignore_data_skip", "on resume"]),
        ({"eval_strategy": "steps", "per_device_eval_batch_size": 12}, ["set it to 8 or 16"]),
        ({"num_generations": 7}, ["num_generations to 4 or 8"]),
    ],
)
def test_combinations_of_the_trainer(
    base: Config, monkeypatch: pytest.MonkeyPatch, changes: dict, parts: list[str]
):
    monkeypatch.setattr("rlconf.settings.check._installed", lambda package: False)
    text = trainer(base, **changes)
    for part in parts:
        assert part in text


@pytest.mark.parametrize("loss", ["dapo", "grpo", "dr_grpo", "bnpo", "cispo", "sapo"])
def test_ucas_goes_with_every_other_loss(base: Config, loss: str):
    assert trainer(base, loss_type=loss) == ""


def test_without_a_shaper_every_loss_of_trl_is_allowed(base: Config):
    for loss in ("luspo", "vespo"):
        found = said(base, shaper={}, trainer={**base.trainer, "loss_type": loss})
        assert found == ""


@pytest.mark.parametrize("name", ["output_dir", "report_to", "seed", "save_total_limit"])
def test_what_another_setting_decides_is_refused_with_its_name(base: Config, name: str):
    text = trainer(base, **{name: "x"})
    assert text.startswith(f"trainer.{name}: ")
    assert any(word in text for word in ("run.dir", "tracking", "seed=", "checkpoint.keep"))


def test_a_save_may_fall_anywhere(base: Config):
    for save_steps in (7, 0.1):
        assert trainer(base, save_steps=save_steps, steps_per_generation=4) == ""


def test_the_ranks_that_are_planned_count(base: Config):
    three = dataclasses.replace(base.launch, processes=3)
    text = said(base, launch=three, trainer={**base.trainer, "num_generations": 16})
    assert text == ""  # 256 x 3 = 768 = 48 x 16
    assert ranks(dataclasses.replace(base, launch=three), {"WORLD_SIZE": "2"}) == 3
    assert ranks(base, {"WORLD_SIZE": "2"}) == 2
    assert ranks(base, {}) == 1


def test_rewards(base: Config):
    assert "Did you mean 'exact'?" in said(base, reward={"exat": {}})
    assert "reward.exact.weight='a': expected float" in said(
        base, reward={"exact": {"weight": "a"}}
    )
    assert "did you mean reward.exact.how?" in said(base, reward={"exact": {"hwo": "boxed"}})
    assert "expected one of" in said(base, reward={"exact": {"how": "guess"}})
    assert "budget=5, limit=3" in said(base, reward={"length": {"budget": 5, "limit": 3}})
    assert "every reward has weight 0" in said(base, reward={"exact": {"weight": 0.0}})
    assert said(base, reward={}) == ""  # the task's own


def test_limits_of_isolated_rewards(base: Config):
    math = {"math": {"timeout": 2, "on_failure": "none"}}
    assert said(base, reward=math) == ""
    assert "timeout=-1.0; expected" in said(base, reward={"math": {"timeout": -1.0}})
    assert "on_failure=2.0 is outside" in said(base, reward={"math": {"on_failure": 2}})
    assert "did you mean reward.math.timeout?" in said(base, reward={"math": {"time_out": 1}})
    assert "add reward.exact.isolated=true" in said(base, reward={"exact": {"workers": 2}})
    assert "reward.accuracy_reward: workers=-1" in said(
        base, reward={"accuracy_reward": {"workers": -1}}
    )
    assert "no such setting" in said(base, reward={"think_format_reward": {"workers": 1}})
    wrong = GuardSection(reward_timeout=0, reward_workers=-2)
    assert said(base, reward=math, guard=wrong) == (
        "guard.reward_timeout=0; expected a number above 0 | guard.reward_workers=-2; expected 1 "
        "or more, or 0 for as many as there are cores"
    )


def test_a_reward_has_its_own_limits_else_the_guards(base: Config):
    rewards = {"math": {"weight": 0.5, "timeout": 2.0}, "exact": {}, "accuracy_reward": {}}
    guard = GuardSection(reward_timeout=3.0, reward_on_failure="stop")
    config = dataclasses.replace(base, reward=rewards, guard=guard)
    assert options_under_guard(config, "math") == {"timeout": 2.0, "on_failure": "stop"}
    assert options_under_guard(config, "exact") == {}
    both = {"timeout": 3.0, "on_failure": "stop"}
    assert options_under_guard(config, "accuracy_reward") == both


def test_rewards_of_trl(base: Config):
    text = said(base, reward={"soft_overlong_punishment": {"max_completion_len": 9}})
    assert "soft_punish_cache is not set" in text
    assert said(base, reward={"think_format_reward": {"weight": 0.1}, "exact": {}}) == ""


def test_shapers(base: Config):
    assert "Did you mean 'ucas'?" in said(base, shaper={"ucsa": {}})
    assert "alpha_pos is -1" in said(base, shaper={"ucas": {"alpha_pos": -1}})
    assert "did you mean shaper.ucas.beta?" in said(base, shaper={"ucas": {"btea": 1}})
    gate = {"gate": "correctness", "gate_reward": "math"}
    assert "gate_reward=math is not among the chosen rewards (exact)" in said(
        base, shaper={"ucas": gate}
    )
    assert said(base, shaper={"ucas": {**gate, "gate_reward": "exact"}}) == ""


def test_tasks(base: Config):
    assert "Did you mean 'sort'?" in said(base, task={"name": "srot"})
    assert "did you mean task.levels?" in said(base, task={"name": "sort", "level": [3]})
    assert "levels=[3, 99]" in said(base, task={"name": "sort", "levels": [3, 99]})


def test_a_name_is_one_folder(base: Config):
    for name in ("", "..", "a/b"):
        assert "expected the name of a folder" in said(base, name=name)


def test_models(base: Config):
    model = base.model
    assert "name two models" in said(base, model=dataclasses.replace(model, path="x"))
    assert "no model is chosen" in said(base, model=dataclasses.replace(model, name=None))
    assert "tiny model is float32" in said(base, model=dataclasses.replace(model, dtype="bfloat16"))
    assert "did you mean model.tiny.hidden?" in said(
        base, model=dataclasses.replace(model, tiny={"hiden": 3})
    )
    lora = compose(["peft=lora"]).peft
    assert lora is not None
    head = dataclasses.replace(lora, target_modules=["q_proj", "lm_head"])
    assert "lm_head" in said(base, peft=head)
    assert "0 <= dropout < 1" in said(base, peft=dataclasses.replace(lora, dropout=1.0))


@pytest.mark.parametrize(
    ("section", "changes", "part"),
    [
        ("evaluate", {"ks": [1, 32]}, "pass@32 needs 32 samples"),
        ("evaluate", {"ks": [0]}, "pass@0"),
        ("evaluate", {"temperature": 0.0}, "evaluate.greedy=true"),
        ("evaluate", {"top_p": 0.0}, "0 < top_p <= 1"),
        ("evaluate", {"limit": 0}, "evaluate.limit=0"),
        ("logging", {"every": 0}, "logging.every=0"),
        ("logging", {"token_samples": -1}, "logging.token_samples=-1: expected 0 or more"),
        ("checkpoint", {"keep": 0}, "checkpoint.keep=0"),
        ("launch", {"processes": 0}, "launch.processes=0"),
        ("launch", {"name": "single", "processes": 2}, "use launch=ddp"),
        ("tracking", {"trackio": True}, "pip install 'rlconf[trackio]'"),
        ("tracking", {"wandb": True}, "tracking=wandb needs the package wandb: pip install wandb"),
        ("tracking", {"rollout_rows": -1}, "tracking.rollout_rows=-1: expected 0 or more"),
    ],
)
def test_ranges_of_our_sections(
    base: Config, monkeypatch: pytest.MonkeyPatch, section: str, changes: dict, part: str
):
    monkeypatch.setattr("rlconf.settings.check._installed", lambda package: False)
    changed = dataclasses.replace(getattr(base, section), **changes)
    assert part in said(base, **{section: changed})


def test_a_column_that_a_reward_reads_and_the_task_lacks():
    problems = check_columns(["exact", "boxed"], ["prompt", "level"], "mine")
    assert [p.text for p in problems] == [
        "reward 'exact' needs the column 'answer' and task 'mine' has prompt, level: "
        "choose another reward or another task"
    ]
    assert check_columns(["accuracy_reward"], ["prompt", "answer"], "mine") == []


@pytest.mark.parametrize(
    "overrides",
    [
        ["trainer.vllm_mode=colocate", "trainer.vllm_gpu_memory_utilization=0.4"],
        ["trainer.vllm_mode=server", "trainer.vllm_server_base_url=http://node1:8000"],
        ["experiment=ucas_qwen_math_1p5b", "trainer.vllm_importance_sampling_mode=token_mask"],
        ["experiment=spear_aime_32b", "trainer.vllm_tensor_parallel_size=8"],
    ],
)
def test_vllm_is_configured_by_trl_s_own_arguments(
    overrides: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlconf.settings.check._installed", lambda name: True)
    config = compose(["trainer.use_vllm=true", *overrides])
    assert config.trainer["use_vllm"] is True
