"""Objects from a configuration."""

from pathlib import Path

import pytest
import torch

from rewards.errors import ConfigError
from rlconf.building import parts as building
from rlconf.building.parts import build, build_task, reward_weights
from rlconf.settings.compose import compose

SMALL = [
    "debug=fast",
    "task.train_size=32",
    "model.tiny.hidden=16",
    "model.tiny.intermediate=16",
    "model.tiny.warm_steps=0",
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"model.cache_dir={tmp_path_factory.mktemp('cache')}"


def test_the_parts_of_quickstart(cache: str, tmp_path: Path):
    config = compose(["experiment=quickstart", *SMALL, cache, "seed=5", "peft=lora"])
    parts = build(config, tmp_path / "checkpoints")
    args = parts.grpo_config
    assert args.output_dir == str(tmp_path / "checkpoints")
    assert args.seed == 5
    assert args.reward_weights == [1.0]
    assert args.report_to in ([], "none")
    assert args.max_completion_length == 7  # the task's: 6 digits and the end
    assert args.use_cpu is not torch.accelerator.is_available()
    assert [shaper.name for shaper in parts.shapers] == ["ucas"]
    assert parts.peft_config is not None
    assert parts.peft_config.lora_alpha == 32
    assert len(parts.train) == 32
    assert set(parts.train.column_names) >= {"prompt", "answer", "level", "id"}
    assert parts.dev is None
    kwargs = parts.trainer_kwargs
    assert kwargs["accuracy_reward"] == "exact"
    assert kwargs["reward_funcs"][0](["12"], answer=["12"]) == [1.0]


def test_trl_evaluates_on_the_dev_split_when_asked_to(cache: str, tmp_path: Path):
    changes = ["trainer.eval_strategy=steps", "trainer.eval_steps=1", "task.dev_size=8"]
    parts = build(compose([*SMALL, cache, *changes]), tmp_path)
    assert parts.dev is not None
    assert len(parts.dev) == 8


def test_the_limit_of_a_completion_can_be_set(cache: str, tmp_path: Path):
    config = compose([*SMALL, cache, "trainer.max_completion_length=12"])
    assert build(config, tmp_path).grpo_config.max_completion_length == 12


@pytest.mark.parametrize(
    ("overrides", "weights", "gate"),
    [
        (["reward=[crew]"], {"crew": 1.0, "exact": 0.0}, "exact"),
        (["reward=[exact,crew]", "reward.crew.weight=0.2"], {"exact": 1.0, "crew": 0.2}, "exact"),
        (
            ["reward=[crew]", "reward.crew.gate=math", "reward.crew.mode=signed"],
            {"crew": 1.0, "math": 0.0},
            "math",
        ),
    ],
)
def test_confidence_brings_the_reward_that_says_what_is_right(
    cache: str, tmp_path: Path, overrides: list[str], weights: dict[str, float], gate: str
):
    config = compose([*SMALL, cache, *overrides])
    parts = build(config, tmp_path)
    assert reward_weights(config, parts.task) == weights
    assert [reward.__name__ for reward in parts.rewards] == list(weights)
    assert parts.grpo_config.reward_weights == list(weights.values())
    (crew,) = [reward for reward in parts.rewards if reward.__name__ == "crew"]
    assert crew.spec.options["gate"] == gate


def test_no_reward_chosen_means_the_tasks_own():
    config = compose(["reward=[]"])
    assert reward_weights(config, build_task(config)) == {"exact": 1.0}


def test_columns_that_a_reward_reads_are_recorded_with_the_rollouts(cache: str, tmp_path: Path):
    chosen = ["task=micro_tables", "reward=[table]", "task.train_size=64", "task.dev_size=8", cache]
    chosen += ["task.test_size=8", "task.ood_size=8", "model.tiny.hidden=16"]
    chosen += ["model.tiny.warm_steps=0"]
    parts = build(compose(chosen), tmp_path)
    assert parts.recorded_columns == ["form", "gold", "id"]


def test_rewards_carry_options_and_weights(cache: str, tmp_path: Path):
    changes = [
        "reward=[length,exact,think_format_reward]",
        "reward.length.weight=0.5",
        "reward.length.budget=1",
        "reward.length.unit=characters",
    ]
    parts = build(compose([*SMALL, cache, *changes]), tmp_path)
    assert parts.grpo_config.reward_weights == [0.5, 1.0, 1.0]
    names = [reward.__name__ for reward in parts.rewards]
    assert names == ["length", "exact", "think_format_reward"]
    # budget 1, limit 2: one character full marks, two none.
    assert parts.rewards[0](["1", "12"]) == [1.0, 0.0]
    assert parts.trainer_kwargs["accuracy_reward"] == "exact"


def test_accuracy_is_not_logged_when_its_reward_is_not_trained_on(cache: str, tmp_path: Path):
    parts = build(compose([*SMALL, cache, "reward=[boxed]"]), tmp_path)
    assert parts.trainer_kwargs["accuracy_reward"] is None
    assert parts.accuracy_reward.__name__ == "exact"  # evaluation still measures it


def test_long_prompts_are_left_out(cache: str, tmp_path: Path):
    # Levels 3-6: prompts of 4 to 7 characters, a token each; at most 5 leaves levels 3 and 4.
    parts = build(compose([*SMALL, cache, "model.max_prompt_tokens=5"]), tmp_path)
    assert {row["level"] for row in parts.train} == {3, 4}
    (note,) = parts.notes
    assert "training prompts have more than 5 tokens (the longest 7) and are left out" in note


def test_an_empty_prompt_is_left_out_and_counted(tokenizer):
    rows = [{"prompt": ""}, {"prompt": "1>"}, {"prompt": []}]
    kept, notes = building.short_enough(rows, tokenizer, compose())
    assert kept == [{"prompt": "1>"}]
    assert notes == ["2 of 3 training prompts are empty and left out"]


def test_too_few_rows_for_a_batch(cache: str, tmp_path: Path):
    config = compose([*SMALL, cache, "task.train_size=1"])
    with pytest.raises(ConfigError, match="1 training rows and one generation batch takes 2"):
        build(config, tmp_path)


def test_a_missing_column_is_said_before_the_model_is_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(building, "check_columns", lambda *_: [building_problem()])
    monkeypatch.setattr(building, "build_model", lambda *_: pytest.fail("the model was made"))
    with pytest.raises(ConfigError, match="no such column"):
        build(compose(SMALL), tmp_path)


def building_problem():
    from rlconf.settings.problems import Problem

    return Problem("no such column")


def test_what_trl_refuses_is_a_config_error(cache: str, tmp_path: Path):
    config = compose([*SMALL, cache])
    config.trainer["num_generations"] = 3  # past the check, as a library user might
    with pytest.raises(ConfigError, match="TRL refuses"):
        build(config, tmp_path)


def test_a_local_model_is_loaded(tmp_path: Path, make_model, tokenizer):
    folder = tmp_path / "model"
    make_model().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    config = compose([*SMALL[:2], f"model.path={folder}", "trainer.bf16=false"])
    parts = build(config, tmp_path / "out")
    assert parts.model.config.hidden_size == 32
    assert parts.tokenizer.padding_side == "left"
