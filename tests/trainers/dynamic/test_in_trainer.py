"""Dynamic sampling in a trainer: refills, their cap, left-overs, and what the other parts see."""

from __future__ import annotations

import math
from collections.abc import Callable, Container
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from datasets import Dataset

import rewards
from data.environments import EnvironmentSettings
from data.tasks import make_task
from rewards.errors import ConfigError
from trainers.agents import EnvironmentRollout
from trainers.curriculum import Curriculum, CurriculumSettings
from trainers.dynamic import DynamicSettings
from trainers.dynamic.part import DynamicPart
from trainers.dynamic.rows import Group
from trainers.filters import make_filter
from trainers.models.characters import character_tokenizer
from trainers.online import OnlineTrainer
from trainers.replay import ReplaySettings
from trainers.shapers import make_shaper

G = 4


class Run:
    """Two steps of four prompts; only completions to the prompts of `differs` have variance.

    Attributes:
        calls: the prompts' numbers, by call of the reward.
        rollouts: as listeners got them.
        log: without times and what dynamic sampling logs of itself.
        dynamic: that, by step.
    """

    def __init__(self, build: Callable[..., Any], differs: Container[int], **parts: Any) -> None:
        self.calls: list[list[int]] = []
        self.rollouts: list[Any] = []

        def score(number: list[int], log_extra: Any, log_metric: Any, **_: Any) -> list[float]:
            self.calls.append(number[::G])
            log_extra("asked", number)
            log_metric("asked", number[0])
            return [float(at % G == 0 and one in differs) for at, one in enumerate(number)]

        self.trainer = build(
            reward_funcs=score,
            accuracy_reward="score",
            rollout_data=["number"],
            on_rollout=[self.rollouts.append],
            **parts,
        )
        self.trainer.train()
        history = [entry for entry in self.trainer.state.log_history if "loss" in entry]
        own = ("dynamic/", "step_time")
        self.log = [{k: v for k, v in one.items() if not k.startswith(own)} for one in history]
        self.dynamic = [
            {k[8:]: v for k, v in one.items() if k.startswith("dynamic/")} for one in history
        ]

    def used(self, generation: int) -> list[int]:
        """Numbers of the prompts in a batch."""
        return self.rollouts[generation].data["number"][::G]

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        return dict(self.trainer.model.state_dict())


@pytest.fixture
def build(make_model, tokenizer, grpo_config, prompts):
    def make(rows: int = 32, **parts: Any) -> OnlineTrainer:
        settings = {"max_steps": 2, "shuffle_dataset": False} | parts.pop("settings", {})
        data = prompts.add_column("number", list(range(len(prompts)))).select(range(rows))
        return OnlineTrainer(
            model=make_model(),
            args=grpo_config(**settings),
            processing_class=tokenizer,
            **({"train_dataset": data} | parts),
        )

    return make


def test_places_without_variance_go_to_other_prompts(build) -> None:
    """Prompts 0 to 3 are drawn first; 1 and 2 stay, 0 and 3 are replaced by what differs."""
    differs = {1, 2, *range(8, 32)}
    run = Run(build, differs, dynamic=DynamicSettings(over_generation=8))
    assert run.calls[0] == [0, 1, 2, 3]
    used = run.used(0)
    assert used[1:3] == [1, 2]
    refills = [number for call in run.calls[1 : run.calls.index([4, 5, 6, 7])] for number in call]
    assert {used[0], used[3]} <= set(refills)
    assert set(used) <= differs
    assert len(set(used)) == 4
    # The batch, its texts and what rewards logged are those of the prompts that took the places.
    rollout, log, own = run.rollouts[0], run.log[0], run.dynamic[0]
    assert rollout.columns["asked"] == rollout.data["number"]
    assert rollout.columns["prompt"][:G] == [run.trainer.train_dataset[used[0]]["prompt"]] * G
    assert rollout.columns["reward/score"] == [1.0, 0.0, 0.0, 0.0] * 4
    assert (log["frac_reward_zero_std"], own["unfilled"]) == (0, 0)
    assert own["generated"] == 4 + len(refills)
    assert own["accepted"] == sum(one in differs for one in [0, 1, 2, 3, *refills])
    share = own["accepted"] / own["generated"]
    assert own["batch_reward"] == pytest.approx(0.25)
    for name in ("reward", "rewards/score/mean", "accuracy"):  # how good the policy is
        assert log[name] == pytest.approx(0.25 * share)
    assert log["asked"] == 0  # what a reward says of itself is of the first round
    assert 0 < own["refill_tokens"] < log["num_tokens"]


def test_evaluation_is_left_alone(build, prompts) -> None:
    """Its groups without variance stay, and no prompt of the cursor is used up."""
    held_out = prompts.add_column("number", list(range(len(prompts)))).select(range(4))
    settings = {"eval_strategy": "steps", "eval_steps": 1, "per_device_eval_batch_size": 16}
    runs = [
        Run(build, range(4, 32), dynamic=DynamicSettings(), eval_dataset=held_out, settings=one)
        for one in ({}, settings)
    ]
    history = runs[1].trainer.state.log_history
    evaluations = [entry for entry in history if "eval_loss" in entry]
    assert len(evaluations) == 2
    assert not [name for entry in evaluations for name in entry if "dynamic/" in name]
    states = [run.trainer.dynamic.state_dict() for run in runs]
    assert states[0] == states[1]
    assert states[0]["cursor"]["place"] > 0


def test_a_batch_without_refills_is_trls(build) -> None:
    plain = Run(build, range(32))
    run = Run(build, range(32), dynamic=DynamicSettings(keep_left_over=True))
    assert [key for key, value in run.weights.items() if not value.equal(plain.weights[key])] == []
    assert run.log == plain.log
    assert [one.columns for one in run.rollouts] == [one.columns for one in plain.rollouts]
    assert run.dynamic[1]["generated"] == run.dynamic[1]["accepted"] == 4


def test_nothing_differs(build) -> None:
    """The cap ends it, and the batch stays what it was."""
    plain = Run(build, ())
    run = Run(build, (), dynamic=DynamicSettings(max_rounds=2))
    assert len(run.calls) == 2 * (1 + 2)
    for log, own in zip(run.log, run.dynamic, strict=True):
        assert (own["rounds"], own["unfilled"]) == (2, 4)
        assert (own["accepted"], own["acceptance_rate"]) == (0, 0)
        assert log["frac_reward_zero_std"] == 1
    assert run.rollouts[0].columns == plain.rollouts[0].columns
    asked = [number for call in run.calls[:3] for number in call]
    assert len(asked) == len(set(asked)) == 12  # nobody twice


def test_no_prompt_is_left(build) -> None:
    run = Run(build, (), rows=4, dynamic=DynamicSettings())
    assert [sorted(call) for call in run.calls] == [[0, 1, 2, 3]] * 2
    assert (run.dynamic[0]["rounds"], run.dynamic[0]["unfilled"]) == (0, 4)


@pytest.mark.parametrize("keep", [True, False])
def test_what_is_left_over_fills_the_next_batch(build, keep: bool) -> None:
    """One of four differs, so that four are drawn for three places: one is left over."""
    differs = {1, *range(8, 32)}
    run = Run(build, differs, dynamic=DynamicSettings(max_rounds=1, keep_left_over=keep))
    surplus = {one for one in run.calls[1] if one in differs and one not in run.used(0)}
    assert surplus
    kept = surplus if keep else set()
    assert run.dynamic[0]["left_over_kept"] == run.dynamic[1]["left_over_used"] == len(kept)
    assert surplus & set(run.used(1)) == kept  # the cursor is not there again so soon


def test_what_cannot_be_kept_is_told_once(build, monkeypatch, caplog) -> None:
    monkeypatch.setattr(Group, "can_be_kept", False)
    settings = DynamicSettings(max_rounds=1, keep_left_over=True)
    run = Run(build, {1, *range(8, 32)}, dynamic=settings)
    assert run.dynamic[0]["left_over_kept"] == run.dynamic[1]["left_over_used"] == 0
    assert caplog.text.count("cannot be kept") == 1


def test_a_group_that_teaches_nothing_any_more_takes_no_place(build) -> None:
    """The weight of the reward that told its completions apart has fallen to 0."""
    run = Run(build, (), dynamic=DynamicSettings(keep_left_over=True))
    part = run.trainer.dynamic
    group = Group(0, [[1.0], [0.0]] * 2, [])
    assert part._teaches(group)
    run.trainer.reward_weights = torch.zeros(1)
    assert not part._teaches(group)


def test_every_part_sees_the_batch_put_together(build) -> None:
    run = Run(
        build,
        {1, 2, *range(8, 32)},
        dynamic=DynamicSettings(),
        shapers=[make_shaper("ucas")],
        replay=ReplaySettings(min_groups=1, warm_up=0, include_current=True),
        filters=[make_filter("low_variance", keep=0.75)],
        settings={"num_iterations": 2, "scale_rewards": "none"},
    )
    log = run.log[0]
    assert (log["frac_reward_zero_std"], log["ucas/degenerate_share"]) == (0, 0)
    assert log["spear/admitted"] == 3  # the one of each group that was kept
    assert log["filter/kept"] == 0.75
    certainty = run.rollouts[0].columns["certainty"]
    assert len(certainty) == 16
    assert not any(map(math.isnan, certainty))


def test_rewards_with_signals_are_asked_once_a_round(build, tokenizer) -> None:
    """The confidence logged for a row is that of the row's own tokens, wherever it came from."""
    counts: list[int] = []

    def even(completions: list[str], **_: Any) -> list[float]:
        counts.append(len(completions))
        return [float(len(text) % 2) for text in completions]

    trainer = build(
        reward_funcs=[even, rewards.get("crew", how="number")],
        dynamic=DynamicSettings(),
        settings={"reward_weights": [1.0, 0.0], "max_completion_length": 2, "temperature": 0.1},
    )
    trainer.model.train()
    rows = [dict(trainer.train_dataset[at // G]) for at in range(16)]
    output = trainer._generate_and_score_completions(rows)
    assert len(counts) == 1 + trainer._metrics["train"]["dynamic/rounds"][0] > 1
    assert trainer.rows != rows, "no place was given away"
    ids = torch.cat([output["prompt_ids"], output["completion_ids"]], dim=1)
    mask = torch.cat([output["prompt_mask"], output["completion_mask"]], dim=1)
    length = output["completion_ids"].size(1)
    with torch.no_grad():
        logits = trainer.model.eval()(input_ids=ids, attention_mask=mask).logits.double()
    chosen = logits[:, -length - 1 : -1].log_softmax(-1)
    chosen = chosen.gather(-1, output["completion_ids"][..., None]).squeeze(-1).exp()
    compared = set()
    for row, told in enumerate(trainer._logs["extra"]["crew/confidence"]):
        tokens = output["completion_ids"][row]
        digits = (tokens > 2) & (tokens < len(tokenizer) - 1)
        # The answer is the last number: plain to see where all characters are digits.
        if digits.sum() == (tokens > 2).sum() > 0:
            assert told == pytest.approx(chosen[row][digits].mean().item(), abs=1e-4)
            compared.add(trainer.rows[row]["number"])
    assert compared - {0, 1, 2, 3}, "of a prompt that took a place"


def test_log_probs_of_the_engine_stay_with_their_tokens(build) -> None:
    def differs(number: list[int], **_: Any) -> list[float]:
        return [float(at % G == 0 and one > 3) for at, one in enumerate(number)]

    trainer = build(reward_funcs=differs, dynamic=DynamicSettings())

    def write(*_: Any, **__: Any) -> tuple[list[list[int]], list[list[float]]]:
        numbers = [row["number"] for row in trainer.rows]
        return [[3 + one % 10, 2] for one in numbers], [[-one / 64, -one / 32] for one in numbers]

    trainer._generate_single_turn = write
    trainer.model.train()
    rows = [dict(trainer.train_dataset[at // G]) for at in range(16)]
    output = trainer._generate_and_score_completions(rows)
    numbers = [row["number"] for row in trainer.rows]
    assert min(numbers) > 3
    assert output["completion_ids"].tolist() == [[3 + one % 10, 2] for one in numbers]
    told = [[-one / 64, -one / 32] for one in numbers]
    assert output["sampling_per_token_logps"].tolist() == told


def test_episodes_take_places_too(make_model, grpo_config) -> None:
    task = make_task("peek", {"levels": [1], "train_size": 40, "dev_size": 0, "test_size": 0})
    reader = character_tokenizer(task.alphabet)
    rollouts: list[Any] = []
    trainer = OnlineTrainer(
        model=make_model(vocab_size=len(reader)),
        processing_class=reader,
        reward_funcs=[rewards.get("success")],
        args=grpo_config(max_completion_length=20, shuffle_dataset=False, max_steps=1),
        train_dataset=Dataset.from_list(task.train),
        rollout_func=EnvironmentRollout(EnvironmentSettings("peek")),
        rollout_data=["hidden", "success", "id"],
        on_rollout=[rollouts.append],
        dynamic=DynamicSettings(),
    )

    def write(contexts: list[list[int]], *_: Any) -> tuple[list[list[int]], None]:
        """At once the digit 1 in the first of each group, else 0: right where 1 or 0 is hidden."""
        texts = ["1" if at % G == 0 else "0" for at in range(len(contexts))]
        return [[*reader(text)["input_ids"], reader.eos_token_id] for text in texts], None

    trainer._generate_single_turn = write
    trainer.train()
    (rollout,) = rollouts
    hidden, success = rollout.data["hidden"], rollout.data["success"]
    expected = [float(one == ("1" if at % G == 0 else "0")) for at, one in enumerate(hidden)]
    assert success == rollout.columns["reward/success"] == expected
    log = trainer.state.log_history[0]
    assert log["dynamic/rounds"] > 0
    assert log["dynamic/accepted"] > 0
    assert rollout.columns["ended"] == ["done"] * 16
    assert "env/turns" in log


@pytest.mark.parametrize(
    ("ranks", "size", "missing", "expected"),
    [(1, 3, 1, 3), (2, 4, 1, 3), (2, 3, 1, 4), (4, 6, 3, 8), (4, 3, 3, 8)],
)
def test_every_rank_generates_as_many(ranks: int, size: int, missing: int, expected: int) -> None:
    """3 for each empty place, rounded up to groups whose completions all ranks share evenly."""
    rows = [{"prompt": str(number)} for number in range(9)]
    trainer = SimpleNamespace(
        args=SimpleNamespace(
            generation_batch_size=8 * size,
            seed=0,
            multi_objective_aggregation="sum_then_normalize",
            remove_unused_columns=False,
        ),
        accelerator=SimpleNamespace(num_processes=ranks),
        num_generations=size,
        curriculum=None,
        environment_factories=None,
        train_dataset=rows,
    )
    part, taken = DynamicPart(trainer, DynamicSettings()), set()
    drawn = part._draw(missing, taken)
    assert (len(drawn), len(drawn) * size % ranks) == (expected, 0)
    # What is left of the nine, as far as it can be shared out.
    assert len(part._draw(8, taken)) == (9 - expected) // part.share * part.share


def test_what_rules_it_out(build, digit_reward, prompts) -> None:
    def refused(**parts: Any) -> str:
        with pytest.raises(ConfigError) as error:
            build(reward_funcs=digit_reward, dynamic=DynamicSettings(), **parts)
        return str(error.value)

    curriculum = Curriculum(CurriculumSettings(mode="online", metric="digit"))
    assert "set curriculum=none or dynamic=none" in refused(curriculum=curriculum)
    several = {"multi_objective_aggregation": "normalize_then_sum", "remove_unused_columns": True}
    assert "has no one reward" in refused(settings=several)
    assert "takes columns out of the batch" in refused(settings=several)
    stream = prompts.to_iterable_dataset()
    assert "give a Dataset, not a stream" in refused(train_dataset=stream)
    with pytest.raises(ConfigError, match="max_rounds=0: expected 1 or more"):
        DynamicSettings(max_rounds=0)
    with pytest.raises(ConfigError, match=r"over_generation=0\.5: expected 1 or more"):
        DynamicSettings(over_generation=0.5)
