"""Replay and filters inside a real trainer: what is stored, what is replayed, what is left out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from trl import GRPOTrainer
from trl.trainer.utils import split_tensor_dict

from rewards.errors import ConfigError
from trainers.filters import RolloutFilter, make_filter
from trainers.named import SPEARTrainer
from trainers.online import OnlineTrainer
from trainers.replay import ReplaySettings
from trainers.shapers import make_shaper
from trainers.shapers.base import Shaper

READY = {"min_groups": 1, "warm_up": 0}


@pytest.fixture
def build(make_model, tokenizer, grpo_config, prompts, digit_reward):
    def make(reward: Any = None, trainer_class: type = OnlineTrainer, **kwargs: Any) -> Any:
        names = ("shapers", "filters", "replay", "reward_decay", "accuracy_reward", "tool_decay")
        parts = {name: kwargs.pop(name) for name in names if name in kwargs}
        peft_config = None
        if kwargs.pop("peft", False):
            from peft import LoraConfig

            peft_config = LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM")
        return trainer_class(
            model=make_model(),
            reward_funcs=reward or digit_reward,
            args=grpo_config(**kwargs),
            train_dataset=prompts,
            processing_class=tokenizer,
            peft_config=peft_config,
            **parts,
        )

    return make


def generate(trainer: OnlineTrainer) -> dict[str, Any]:
    trainer.model.train()
    rows = trainer.args.generation_batch_size
    return trainer._generate_and_score_completions(
        [trainer.train_dataset[i // trainer.num_generations] for i in range(rows)]
    )


def rows_of(trainer: OnlineTrainer) -> list[Any]:
    return list(trainer.replay.replay.trajectories)


@pytest.mark.parametrize("old", [True, False])
def test_the_buffer_holds_the_rows_that_made_it(build, old: bool) -> None:
    """Every good row of every group; TRL's replay trainer stored those of the first group only."""
    trainer = build(replay=ReplaySettings(**READY), num_iterations=2 if old else 1)
    output = generate(trainer)
    good = output["advantages"] > 0
    assert len({row // 4 for row in good.nonzero().flatten().tolist()}) > 1
    stored = rows_of(trainer)
    assert len(stored) == int(good.sum())
    if old:
        log_probs = output["old_per_token_logps"]
    else:
        assert "old_per_token_logps" not in output
        log_probs = trainer.score_tokens(output)
    rewards = trainer._rewards["digit"]
    for row, one in zip(good.nonzero().flatten().tolist(), stored, strict=True):
        prompt, completion = (
            output["prompt_mask"][row].bool(),
            output["completion_mask"][row].bool(),
        )
        assert one.prompt_ids.tolist() == output["prompt_ids"][row][prompt].tolist()
        assert one.completion_ids.tolist() == output["completion_ids"][row][completion].tolist()
        assert one.mask.all()
        expected = log_probs[row][completion]
        torch.testing.assert_close(one.old_log_probs, expected, atol=0 if old else 1e-6, rtol=0)
        assert one.reward == rewards[row].item()
        assert one.advantage == output["advantages"][row].item()
        assert (one.generation, one.group) == (1, row // 4)


@pytest.mark.parametrize("shapers", [[], ["ucas"]])
def test_one_forward_for_the_log_probs_and_none_where_signals_have_them(
    build, monkeypatch, shapers: list[str]
) -> None:
    rows = []
    original = GRPOTrainer._get_per_token_logps_and_entropies

    def counted(self, model, ids, *args, **kwargs):
        rows.append(len(ids))
        return original(self, model, ids, *args, **kwargs)

    monkeypatch.setattr(GRPOTrainer, "_get_per_token_logps_and_entropies", counted)
    parts = [make_shaper(name) for name in shapers]
    trainer = build(replay=ReplaySettings(**READY), shapers=parts)
    generate(trainer)
    stored = rows_of(trainer)
    assert rows == ([16] if shapers else [len(stored)])
    if shapers:
        # The base advantage is stored, whatever a shaper makes of it.
        assert all(one.advantage > 0 for one in stored)


def test_rows_are_replayed_from_the_next_generation_on_and_by_the_baseline(build) -> None:
    trainer = build(replay=ReplaySettings(rows=3, **READY))
    generate(trainer)
    replay = trainer.replay.replay
    assert (len(replay.queue), replay.baselines.bar) == (0, pytest.approx(_median(trainer)))
    bar, able = replay.baselines.bar, [one.reward for one in rows_of(trainer)]
    generate(trainer)
    assert len(replay.queue) == min(3, sum(reward > bar for reward in able)) > 0
    assert all(one.trajectory.generation == 1 for one in replay.queue)
    for one in replay.queue:
        assert one.advantage == pytest.approx(one.trajectory.reward - bar)


def _median(trainer: OnlineTrainer) -> float:
    means = trainer._rewards["digit"].view(-1, 4).mean(dim=1).double()
    return float(means.quantile(0.5))


def gradient(trainer: OnlineTrainer, output: dict[str, Any]) -> torch.Tensor:
    """Of one optimiser step over the whole generation batch."""
    trainer.model.zero_grad()
    cuts = trainer.current_gradient_accumulation_steps = trainer.args.steps_per_generation
    for trainer._step, inputs in enumerate(split_tensor_dict(output, cuts)):
        trainer._compute_loss(trainer.model, inputs).backward()
    return torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None])


@pytest.mark.parametrize(
    ("loss_type", "cuts"),
    [("dapo", 1), ("dapo", 2), ("grpo", 1), ("grpo", 2), ("dr_grpo", 2), ("bnpo", 1)],
)
@pytest.mark.parametrize("norm", ["row", "mean"])
def test_beside_and_joined_give_the_same_gradient(
    build, loss_type: str, cuts: int, norm: str
) -> None:
    """Joined rows go through TRL's own loss; that of bnpo divides by a micro-batch's tokens."""
    gradients = {}
    for mode in ("term", "mixed", None):
        settings = ReplaySettings(
            mode=mode or "term", cov_clip=False, rows=2 // cuts, norm=norm, **READY
        )
        torch.manual_seed(0)
        trainer = build(
            replay=settings if mode else None,
            loss_type=loss_type,
            per_device_train_batch_size=16 // cuts,
            gradient_accumulation_steps=cuts,
        )
        generate(trainer)
        torch.manual_seed(1)
        output = generate(trainer)
        if mode == "mixed":
            assert len(output["advantages"]) == 16 + 2
        gradients[mode] = gradient(trainer, output)
    torch.testing.assert_close(gradients["term"], gradients["mixed"], atol=1e-6, rtol=1e-4)
    assert (gradients["term"] - gradients[None]).norm() > 1e-2 * gradients[None].norm()


@pytest.mark.parametrize("mode", ["term", "mixed"])
def test_a_tools_output_is_read_and_not_learnt(build, mode: str) -> None:
    """What is stored as its log-prob does not matter; whether it is one of the tokens does."""
    gradients = []
    for output_of_tool, log_prob in ((True, 0.0), (True, -3.0), (False, 0.0)):
        torch.manual_seed(0)
        trainer = build(replay=ReplaySettings(mode=mode, rows=2, cov_clip=False, **READY))
        generate(trainer)
        for one in rows_of(trainer):
            one.mask[: len(one.mask) // 2] = not output_of_tool
            one.old_log_probs[: len(one.mask) // 2] = log_prob
        torch.manual_seed(1)
        output = generate(trainer)
        if mode == "mixed" and output_of_tool:
            assert (output["tool_mask"][-2:] == 0).any()
            assert output["tool_mask"][:-2].all()
        gradients.append(gradient(trainer, output))
    assert gradients[0].equal(gradients[1])
    assert not gradients[0].equal(gradients[2])


@pytest.mark.parametrize("mode", ["term", "mixed"])
@pytest.mark.parametrize("draw", ["continuous", "burst"])
def test_it_trains_with_ucas_and_an_adapter_over_several_steps_a_batch(
    build, mode: str, draw: str
) -> None:
    settings = ReplaySettings(mode=mode, draw=draw, fill=0.0, size=8, rows=1, **READY)
    trainer = build(
        replay=settings,
        shapers=[make_shaper("ucas")],
        peft=True,
        max_steps=6,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        steps_per_generation=4,
        loss_type="dr_grpo",
    )
    before = [p.clone() for p in trainer.model.parameters() if p.requires_grad]
    trainer.train()
    after = [p for p in trainer.model.parameters() if p.requires_grad]
    assert any(not one.equal(two) for one, two in zip(before, after, strict=True))
    history = [row for row in trainer.state.log_history if "spear/weight" in row]
    last = history[-1]
    assert last["spear/weight"] == 1
    assert last["spear/buffer_rows"] <= settings.held
    assert max(row["spear/rows_drawn"] for row in history) > 0
    used = [row for row in trainer.state.log_history if "spear/ratio_mean" in row]
    assert bool(used) == (mode == "term")
    for row in used:
        assert row["spear/gradient_replay"] > 0
        assert row["spear/gradient_batch"] > 0
        assert 0 <= row["spear/clip_share"] <= 1


def test_evaluation_touches_nothing(build) -> None:
    trainer = build(replay=ReplaySettings(**READY), filters=[make_filter("overlong")])
    generate(trainer)
    before = trainer.replay.replay.state_dict()
    trainer.model.eval()
    output = trainer._generate_and_score_completions([trainer.train_dataset[0]] * 4)
    trainer._compute_loss(trainer.model, output)
    after = trainer.replay.replay.state_dict()
    assert str(before) == str(after)
    assert trainer.generation == 1


def drop(rows: list[int]) -> RolloutFilter:
    def leave_out(batch: Any, settings: Any) -> torch.Tensor:
        keep = torch.ones(len(batch.lengths), dtype=torch.bool)
        keep[rows] = False
        return keep

    return RolloutFilter("drop", leave_out, None)


def test_what_a_filter_leaves_out_is_neither_learnt_nor_stored(build) -> None:
    torch.manual_seed(0)
    plain = generate(build())
    best = int(plain["advantages"].argmax())
    rows = sorted({0, 1, 2, 3, best})
    torch.manual_seed(0)
    trainer = build(filters=[drop(rows)], replay=ReplaySettings(**READY))
    output = generate(trainer)
    kept = [row for row in range(16) if row not in rows]
    assert (output["advantages"][rows] == 0).all()
    assert output["advantages"][kept].equal(plain["advantages"][kept])
    assert output["num_items_in_batch"] == plain["completion_mask"][kept].sum()
    numbers = {(one.group, one.advantage) for one in rows_of(trainer)}
    assert numbers == {(row // 4, plain["advantages"][row].item()) for row in kept} & {
        (row // 4, a) for row, a in enumerate(plain["advantages"].tolist()) if a > 0
    }
    # The group that is left out whole says nothing of what is usual; the others say all they had.
    means = trainer._rewards["digit"].view(-1, 4).mean(dim=1)[1:].double()
    assert trainer.replay.replay.baselines.bar == pytest.approx(float(means.quantile(0.5)))


@pytest.mark.parametrize("loss_type", ["dapo", "bnpo", "grpo"])
def test_a_batch_of_which_nothing_is_left_gives_no_gradient(build, loss_type: str) -> None:
    trainer = build(filters=[drop(list(range(16)))], loss_type=loss_type)
    found = gradient(trainer, generate(trainer))
    assert not found.any()


def test_a_filter_that_leaves_nothing_out_changes_nothing(build) -> None:
    outputs = []
    for filters in ([], [make_filter("low_variance", keep=1.0), make_filter("repetitive")]):
        torch.manual_seed(0)
        outputs.append(generate(build(filters=filters)))
    assert all(outputs[0][key].equal(outputs[1][key]) for key in outputs[0])


def test_the_tool_reward_fades_and_is_off_in_evaluation(build, digit_reward) -> None:
    def tool_calls(completions, **_):
        return [1.0] * len(completions)

    trainer = build(
        [digit_reward, tool_calls],
        SPEARTrainer,
        tool_decay=4,
        reward_weights=[1.0, 0.5],
    )
    weights = []
    for _ in range(5):
        generate(trainer)
        weights.append(trainer.reward_weights[1].item())
    # Half of 1/2 (1 + cos(pi t / 4)): 0.853553, 0.5, 0.146447, 0, 0.
    assert weights == pytest.approx([0.426777, 0.25, 0.073223, 0, 0], abs=1e-6)
    trainer.generation = 0
    trainer.model.eval()
    trainer._generate_and_score_completions([trainer.train_dataset[0]] * 4)
    assert trainer.reward_weights.tolist() == [1.0, 0.0]
    generate(trainer)
    assert trainer.reward_weights[1].item() == pytest.approx(0.426777, abs=1e-6)


def test_only_right_trajectories_if_so_asked(build) -> None:
    def digit(completions, **_):  # every other one is right
        return [float(row % 2) for row in range(len(completions))]

    def bonus(completions, **_):
        return [float(row % 4 == 0) for row in range(len(completions))]

    trainer = build(
        [digit, bonus],
        replay=ReplaySettings(require_outcome_positive=True, **READY),
        accuracy_reward="digit",
    )
    output = generate(trainer)
    good = output["advantages"] > 0
    right = trainer._rewards["digit"] >= 1
    # 1, 1, 0, 1 in each group, and the first of them is wrong.
    assert good.view(-1, 4).tolist() == [[True, True, False, True]] * 4
    assert len(rows_of(trainer)) == int((good & right).sum()) == 8


def test_clip_cov_takes_the_advantage_of_a_few_tokens(build) -> None:
    seen: list[Any] = []

    def keep(batch: Any, signals: Any, settings: Any) -> torch.Tensor:
        seen.append(batch.advantages)
        return batch.advantages

    spread = [make_shaper("clip_cov", ratio=0.1, lower=0.01, upper=1e9), Shaper("s", keep, (), 0)]
    trainer = build(shapers=spread)
    output = generate(trainer)
    mask = output["completion_mask"].bool()
    zeros = (seen[0] == 0) & mask
    trainer._tallies.settle()
    share = trainer._metrics["train"]["clip_cov/share"][-1]
    assert share == pytest.approx(max(int(0.1 * mask.sum()), 1) / int(mask.sum()))
    assert zeros.sum() >= share * mask.sum()


@pytest.mark.parametrize(
    ("settings", "args", "said"),
    [
        ({}, {"loss_type": "sapo"}, "loss_type=sapo does not clip"),
        ({}, {"multi_objective_aggregation": "normalize_then_sum"}, "sum_then_normalize"),
        ({"mode": "mixed"}, {"beta": 0.1}, "KL term of trainer.beta=0.1"),
        ({"require_outcome_positive": True}, {}, "needs accuracy_reward"),
        ({"require_tool_call": True}, {}, "there are no tools, so nothing would be stored"),
    ],
)
def test_what_cannot_be_is_said_before_training(build, settings, args, said) -> None:
    with pytest.raises(ConfigError, match=said):
        build(replay=ReplaySettings(**settings), **args)
