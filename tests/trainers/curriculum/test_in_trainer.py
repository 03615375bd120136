"""The curriculum inside `OnlineTrainer`: its prompts are asked, its filter leaves the gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from datasets import Dataset

from rewards.errors import ConfigError, TopologyError
from trainers.curriculum import Curriculum, CurriculumSettings
from trainers.curriculum.callback import CurriculumCallback
from trainers.keep import keep_rows
from trainers.maths.comm import LOCAL
from trainers.named import STaRTrainer
from trainers.online import OnlineTrainer
from trainers.shapers import make_shaper

RATES = {f"q{i}": float(i < 16) for i in range(32)}


@pytest.fixture
def data(prompts) -> Dataset:
    return prompts.add_column("id", [f"q{i}" for i in range(len(prompts))])


@pytest.fixture
def build(make_model, tokenizer, grpo_config, data, digit_reward):
    def make(curriculum: Curriculum | None = None, **kwargs: Any) -> OnlineTrainer:
        keys = ("shapers", "on_rollout", "reward_funcs", "train_dataset", "accuracy_reward")
        parts = {key: kwargs.pop(key) for key in keys if key in kwargs}
        return OnlineTrainer(
            model=make_model(),
            args=grpo_config(**kwargs),
            processing_class=tokenizer,
            curriculum=curriculum,
            **({"reward_funcs": digit_reward, "train_dataset": data} | parts),
        )

    return make


def always(completions, **_):
    return [1.0] * len(completions)


def test_the_planned_prompts_are_asked_together_with_ucas(build, data) -> None:
    seen: list[Any] = []
    curriculum = Curriculum(CurriculumSettings(stage_rounds=2, round_batches=2), RATES)
    trainer = build(
        curriculum, max_steps=6, shapers=[make_shaper("ucas")], on_rollout=[seen.append]
    )
    trainer.train()
    by_prompt = dict(zip(data["prompt"], data["id"], strict=True))
    asked = [{by_prompt[prompt] for prompt in rollout.columns["prompt"]} for rollout in seen]
    easy = {f"q{i}" for i in range(16)}
    assert [questions <= easy for questions in asked] == [True] * 4 + [False] * 2
    assert not any(questions & easy for questions in asked[4:])
    assert len(set.union(*asked[:4])) == 16  # each once before one comes again
    log = [entry for entry in trainer.state.log_history if "curriculum/stage" in entry]
    assert [entry["curriculum/stage"] for entry in log] == [1, 1, 1, 1, 2, 2]
    assert [entry["curriculum/round"] for entry in log] == [0, 0, 1, 1, 2, 2]
    assert all("ucas/confidence/mean" in entry for entry in log)
    columns = seen[-1].columns
    assert set(columns["curriculum/action"]) <= {"active", "review", "mastered", "too_hard"}
    assert len(columns["curriculum/rate"]) == len(columns["prompt"]) == 16


def test_steps_of_several_batches_and_batches_of_several_steps(build) -> None:
    for settings in (
        {"per_device_train_batch_size": 8, "steps_per_generation": 4, "num_iterations": 2},
        {"gradient_accumulation_steps": 2, "steps_per_generation": 1},
    ):
        curriculum = Curriculum(CurriculumSettings(mode="online", round_batches=2))
        trainer = build(curriculum, max_steps=5, **settings)
        trainer.train()
        assert trainer.state.global_step == 5
        assert len(curriculum.history) >= trainer.generation


def test_what_is_mastered_ends_the_training_with_a_checkpoint(build, tmp_path) -> None:
    settings = CurriculumSettings(stage="hard")
    trainer = build(
        Curriculum(settings, RATES),
        max_steps=30,
        reward_funcs=always,
        save_strategy="steps",
        save_steps=100,
    )
    trainer.train()
    assert trainer.state.global_step == 4  # 16 hard questions, 4 a step
    assert (tmp_path / "out" / "checkpoint-4").is_dir()
    log = [entry for entry in trainer.state.log_history if "grad_norm" in entry]
    assert {entry["grad_norm"] for entry in log} == {0.0}
    assert {entry["curriculum/empty_batch"] for entry in log} == {1.0}


@pytest.mark.parametrize("loss_type", ["dapo", "grpo"])
def test_the_gradient_of_kept_rows_is_that_of_a_batch_of_them(build, loss_type: str) -> None:
    """Dapo divides by the tokens that are left, grpo by all rows: then 6/16 of it remains."""
    trainer = build(loss_type=loss_type, beta=0.1)
    trainer.model.train()
    output = trainer._generate_and_score_completions(
        [trainer.train_dataset[i // 4] for i in range(16)]
    )
    output["advantages"] = torch.linspace(-1, 1, 16)
    keep = torch.zeros(16, dtype=torch.bool)
    keep[[0, 2, 5, 6, 7, 9]] = True
    whole = {key: value.clone() for key, value in output.items()}
    keep_rows(output, keep, LOCAL)
    part = {key: value[keep] if value.dim() else value for key, value in whole.items()}
    part["num_items_in_batch"] = part["completion_mask"].sum()
    share = keep.float().mean() if loss_type == "grpo" else 1.0
    masked, alone = gradient(trainer, output), gradient(trainer, part)
    assert alone.norm() > 0
    torch.testing.assert_close(masked, alone * share, atol=1e-6, rtol=1e-4)


def gradient(trainer: OnlineTrainer, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    trainer.model.zero_grad()
    trainer.current_gradient_accumulation_steps = 1
    trainer._compute_loss(trainer.model, batch).backward()
    found = [p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None]
    return torch.cat(found).clone()


def test_keeping_leaves_tool_tokens_out_of_the_count() -> None:
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    tools = torch.tensor([[1, 0, 1], [1, 1, 1]])
    output = {"completion_mask": mask, "tool_mask": tools, "advantages": torch.ones(2, 3)}
    keep_rows(output, torch.tensor([True, False]), LOCAL)
    assert output["completion_mask"].tolist() == [[1, 1, 1], [0, 0, 0]]
    assert output["num_items_in_batch"] == 2
    assert output["advantages"].tolist() == [[1.0] * 3, [0.0] * 3]


@pytest.mark.parametrize(
    ("settings", "args", "text"),
    [
        ({}, {"max_steps": -1, "num_train_epochs": 2}, r"set trainer\.max_steps, .*=2"),
        (
            {},
            {"gradient_accumulation_steps": 6, "steps_per_generation": 4},
            r"raise curriculum\.round_batches to 3",
        ),
        ({"metric": "exact"}, {}, r"curriculum\.metric=exact: expected one of .* digit"),
    ],
)
def test_settings_of_the_trainer_that_rule_it_out(build, settings, args, text) -> None:
    with pytest.raises(ConfigError, match=text):
        build(Curriculum(CurriculumSettings(mode="online", **settings)), **args)


def test_a_stream_is_refused(build, data) -> None:
    with pytest.raises(ConfigError, match="give a Dataset, not a stream"):
        build(
            Curriculum(CurriculumSettings(mode="online")),
            train_dataset=data.to_iterable_dataset(),
        )


def test_few_generations_never_put_off_and_that_is_said(build, caplog) -> None:
    build(Curriculum(CurriculumSettings(mode="online")))
    assert "nothing is ever put off for review" in caplog.text


def test_star_trainer_is_a_curriculum_by_another_name(
    make_model, tokenizer, grpo_config, data, digit_reward
) -> None:
    trainer = STaRTrainer(
        model=make_model(),
        args=grpo_config(),
        reward_funcs=digit_reward,
        train_dataset=data,
        processing_class=tokenizer,
        pass_rates=RATES,
    )
    assert trainer.curriculum.settings == CurriculumSettings()
    assert trainer.curriculum.stage == "easy"


def test_ranks_that_differ_are_stopped(build) -> None:
    class Other:
        def gather(self, x):
            return torch.cat([x, x + 1])

    trainer = build(Curriculum(CurriculumSettings(mode="online")))
    CurriculumCallback(trainer.curriculum, LOCAL).check(torch.device("cpu"))
    with pytest.raises(TopologyError, match=r"rank 0: .*, rank 1: "):
        CurriculumCallback(trainer.curriculum, Other()).check(torch.device("cpu"))
