"""Signals heard while completions are sampled: those of a forward of their own, without it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from trl import GRPOTrainer

import rewards
from trainers import OnlineTrainer, ReplaySettings, make_shaper
from trainers.heard import Heard
from trainers.shapers.base import Shaper
from trainers.speed import SpeedSettings

LORA = {
    "r": 4,
    "target_modules": ["q_proj", "v_proj"],
    "task_type": "CAUSAL_LM",
    "init_lora_weights": False,
}
HEAR = SpeedSettings(signals=True)


@pytest.fixture
def build(make_model, tokenizer, grpo_config, prompts, digit_reward):
    def make(
        peft: bool = False, reward: Any = None, model: Any = None, lora: Any = None, **kwargs: Any
    ) -> OnlineTrainer:
        parts = {
            name: kwargs.pop(name) for name in ("shapers", "speed", "replay") if name in kwargs
        }
        peft_config = None
        if peft or lora:
            from peft import LoraConfig

            peft_config = LoraConfig(**(lora or LORA))
        return OnlineTrainer(
            model=model or make_model(),
            reward_funcs=reward or digit_reward,
            args=grpo_config(**kwargs),
            train_dataset=prompts,
            processing_class=tokenizer,
            peft_config=peft_config,
            **{"speed": HEAR} | parts,
        )

    return make


@pytest.fixture
def forwards(monkeypatch) -> list[int]:
    """Rows of every scoring forward that is made."""
    seen: list[int] = []
    original = GRPOTrainer._get_per_token_logps_and_entropies

    def counted(self, model, input_ids, *args, **kwargs):
        seen.append(len(input_ids))
        return original(self, model, input_ids, *args, **kwargs)

    monkeypatch.setattr(GRPOTrainer, "_get_per_token_logps_and_entropies", counted)
    return seen


def generate(trainer: OnlineTrainer) -> dict[str, torch.Tensor]:
    trainer.model.train()
    rows = trainer.args.generation_batch_size
    return trainer._generate_and_score_completions(
        [trainer.train_dataset[i // 4] for i in range(rows)]
    )


def spy() -> tuple[Shaper, list[Any]]:
    seen: list[Any] = []

    def keep(batch: Any, given: Any, settings: Any) -> torch.Tensor:
        seen.append((batch, given))
        return batch.advantages[:, None].expand(batch.mask.shape).clone()

    return Shaper("spy", keep, ("certainty", "chosen_logit"), None), seen


def assert_alike(given: Any, alone: Any, mask: torch.Tensor) -> None:
    assert mask.any()
    assert not mask.all()  # completions differ in length
    for name in ("certainty", "chosen_logit", "log_prob", "model_log_prob"):
        one, other = getattr(given, name), getattr(alone, name)
        torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-4, equal_nan=True)
        assert one[~mask].isnan().all()
    assert given.vocab_size == alone.vocab_size


@pytest.mark.parametrize(
    ("peft", "settings"),
    [
        (False, {}),
        (True, {"temperature": 0.7}),
        (False, {"num_iterations": 2, "temperature": 1.3}),
        (False, {"pad_to_multiple_of": 4, "beta": 0.1}),
        (False, {"generation_kwargs": {"use_cache": False}}),
        (False, {"cache_implementation": "static"}),
    ],
)
def test_they_are_those_of_a_forward(build, forwards, peft: bool, settings: dict[str, Any]) -> None:
    part, seen = spy()
    trainer = build(shapers=[part], peft=peft, **settings)
    output = generate(trainer)
    theirs = settings.get("num_iterations") == 2  # old log-probs, which are TRL's to ask for
    assert len(forwards) == theirs + ("beta" in settings)
    (batch, given), *_ = seen
    assert_alike(given, trainer._signals(trainer._recorder, output), batch.mask)


@pytest.mark.parametrize(
    "settings",
    [
        {"generation_kwargs": {"num_beams": 2}},
        {"generation_kwargs": {"prefill_chunk_size": 3}},
    ],
)
def test_where_they_cannot_be_heard_a_forward_is_made(build, forwards, settings) -> None:
    part, seen = spy()
    trainer = build(shapers=[part], **settings)
    output = generate(trainer)
    assert len(forwards) == 1
    (batch, given), *_ = seen
    assert_alike(given, trainer._signals(trainer._recorder, output), batch.mask)


@pytest.mark.parametrize("where", ["model", "adapter"])
def test_with_dropout_a_forward_without_it_is_made(build, make_model, forwards, where: str) -> None:
    part, seen = spy()
    model = make_model(attention_dropout=0.3) if where == "model" else make_model()
    lora = LORA | {"lora_dropout": 0.3} if where == "adapter" else None
    trainer = build(shapers=[part], model=model, lora=lora)
    output = generate(trainer)
    assert len(forwards) == 1
    (batch, given), *_ = seen
    assert_alike(given, trainer._signals(trainer._recorder, output), batch.mask)


def test_nobody_asks_nothing_is_heard(build, monkeypatch) -> None:
    monkeypatch.setattr(Heard, "hear", lambda *_: pytest.fail("heard"))
    generate(build())
    generate(build(shapers=[make_shaper("ucas")], speed=SpeedSettings()))


def test_a_reward_is_handed_what_was_heard(build, forwards, digit_reward) -> None:
    """Training and evaluation, without a forward of their own."""
    values = []
    for speed in (SpeedSettings(), HEAR):
        trainer = build(reward=[digit_reward, rewards.get("crew", how="number")], speed=speed)
        for training in (True, False):
            torch.manual_seed(0)
            trainer.model.train(training)
            trainer._generate_and_score_completions(
                [trainer.train_dataset[i // 4] for i in range(16)]
            )
            values.append(trainer._rewards["crew"])
    assert len(forwards) == 2
    alone, heard = torch.stack(values[:2]), torch.stack(values[2:])
    assert not alone.isnan().all()
    torch.testing.assert_close(heard, alone, atol=1e-4, rtol=1e-4, equal_nan=True)


def test_a_step_with_ucas_ends_at_the_same_weights(build) -> None:
    ends = []
    for speed in (SpeedSettings(), HEAR):
        # Plain descent in one step: Adam and further draws would make much of rounding.
        plain = {"optim": "sgd", "learning_rate": 1.0, "max_steps": 1}
        trainer = build(shapers=[make_shaper("ucas")], speed=speed, **plain)
        trainer.train()
        ends.append(torch.cat([p.detach().flatten() for p in trainer.model.parameters()]))
    assert ends[0].isfinite().all()
    torch.testing.assert_close(*ends, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"num_iterations": 2}])
def test_replay_stores_the_log_probs_that_were_heard(build, forwards, settings) -> None:
    """The same as from a forward; TRL's own are taken where it makes one."""
    stored = []
    for speed in (SpeedSettings(), HEAR):
        trainer = build(speed=speed, replay=ReplaySettings(min_groups=1), **settings)
        torch.manual_seed(0)
        forwards.clear()
        generate(trainer)
        stored.append([row.old_log_probs for row in trainer.replay.replay.trajectories])
        assert len(forwards) == (1 if settings or not speed.signals else 0)
        assert (trainer._recorder is not None) == (speed.signals and not settings)
    assert stored[0]
    for alone, heard_ones in zip(*stored, strict=True):
        torch.testing.assert_close(heard_ones, alone, atol=2e-5, rtol=1e-4)


LOGITS = torch.tensor([[[0.0, 1.0, 3.0]], [[2.0, 0.0, 0.0]]])  # two rows, one position


def heard(*inputs: torch.Tensor | None, rows: int = 2) -> Heard:
    made = Heard(rows, 1.0, 1.0)
    for step, ids in enumerate(inputs):
        made.hear(ids, LOGITS + step * torch.tensor([0.0, 0.0, 1.0]))
    return made


def ids(*rows: list[int]) -> torch.Tensor:
    return torch.tensor(rows)


def test_a_token_belongs_to_the_logits_before_it() -> None:
    made = heard(ids([5, 5], [5, 5]), ids([1], [0]))
    signals = made.end([[1, 2], [0]])
    assert signals is not None
    assert made.vocab_size == 3
    # Row 0 took token 1 (logit 1), then 2 (3 + 1); row 1 took token 0 (logit 2) and ended.
    torch.testing.assert_close(signals.chosen_logit, torch.tensor([[1.0, 4.0], [2.0, torch.nan]]),
                               equal_nan=True)  # fmt: skip
    whole = torch.tensor([0.0, 1.0, 4.0])
    assert signals.log_prob[0, 1].item() == pytest.approx((4 - whole.logsumexp(0)).item())


@pytest.mark.parametrize(
    ("inputs", "completions", "rows"),
    [
        ([ids([5, 5], [5, 5])], [[1, 2], [0]], 2),  # a forward is missing
        ([ids([5, 5], [5, 5]), ids([1, 2], [0, 1])], [[1, 2], [0]], 2),  # two tokens at once
        ([ids([5, 5], [5, 5]), None], [[1, 2], [0]], 2),
        ([ids([5, 5], [5, 5]), ids([1], [0])], [[1, 2]], 1),  # two beams of one row
        ([ids([5, 5], [5, 5]), ids([1], [0])], [[2, 2], [0]], 2),  # another token than was taken
        ([], [[1]], 1),
    ],
)
def test_other_ways_to_generate_are_not_heard(inputs, completions, rows) -> None:
    assert heard(*inputs, rows=rows).end(completions) is None


def test_without_a_cache_inputs_grow() -> None:
    prompt = ids([5, 5], [5, 5])
    steps = list(itertools.accumulate([ids([1], [0])] * 2, lambda a, b: torch.cat([a, b], 1),
                                      initial=prompt))  # fmt: skip
    cached = heard(prompt, ids([1], [0]), ids([1], [0])).end([[1, 1, 2], [0, 0]])
    whole = heard(*steps).end([[1, 1, 2], [0, 0]])
    assert whole is not None
    assert torch.equal(whole.log_prob.nan_to_num(), cached.log_prob.nan_to_num())
