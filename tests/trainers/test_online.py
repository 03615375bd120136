"""What the trainer adds to TRL's: signals, shaped advantages, metrics, rollouts, order."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import pytest
import torch
from trl import GRPOTrainer

from rewards.errors import CheckpointError, ConfigError
from trainers import named, signals
from trainers.maths.ucas import PAPER_V1, RELEASE_2026_04, UCASSettings
from trainers.online import OnlineTrainer
from trainers.sampler import ResumableRepeatSampler
from trainers.shapers import make_shaper
from trainers.shapers.base import Shaper

LORA = {
    "r": 4,
    "target_modules": ["q_proj", "v_proj"],
    "task_type": "CAUSAL_LM",
    "init_lora_weights": False,
}


@pytest.fixture
def build(make_model, tokenizer, grpo_config, prompts, digit_reward):
    def make(
        trainer_class: type = OnlineTrainer, peft: bool = False, reward: Any = None, **kwargs: Any
    ) -> Any:
        parts = {
            key: kwargs.pop(key)
            for key in ("shapers", "on_rollout", "rollout_data", "accuracy_reward", "ucas")
            if key in kwargs
        }
        model = kwargs.pop("model", None) or make_model()
        peft_config = None
        if peft:
            from peft import LoraConfig

            peft_config = LoraConfig(**LORA)
        return trainer_class(
            model=model,
            reward_funcs=reward or digit_reward,
            args=grpo_config(**kwargs),
            train_dataset=prompts,
            processing_class=tokenizer,
            peft_config=peft_config,
            **parts,
        )

    return make


def generate(trainer: OnlineTrainer) -> dict[str, torch.Tensor]:
    trainer.model.train()
    rows = trainer.args.generation_batch_size
    return trainer._generate_and_score_completions(
        [trainer.train_dataset[i // 4] for i in range(rows)]
    )


def spy(wants: tuple[str, ...] = ("certainty", "chosen_logit")) -> tuple[Shaper, list[Any]]:
    """A shaper that changes nothing and keeps what it was given."""
    seen: list[Any] = []

    def keep(batch: Any, given: Any, settings: Any) -> torch.Tensor:
        seen.append((batch, given))
        return batch.advantages[:, None].expand(batch.mask.shape).clone()

    return Shaper("spy", keep, wants, None), seen


@pytest.mark.parametrize("peft", [False, True])
@pytest.mark.parametrize("beta", [0.0, 0.1])
@pytest.mark.parametrize("num_iterations", [1, 2])
def test_signals_are_those_of_full_logits(
    build, peft: bool, beta: float, num_iterations: int
) -> None:
    """Riding on TRL's forward or alone, with and without a reference: always the policy's."""
    part, seen = spy()
    trainer = build(
        shapers=[part], peft=peft, beta=beta, num_iterations=num_iterations, temperature=0.7
    )
    output = generate(trainer)
    batch, given = seen[0]
    ids = torch.cat([output["prompt_ids"], output["completion_ids"]], dim=1)
    attention = torch.cat([output["prompt_mask"], output["completion_mask"]], dim=1)
    length = output["completion_ids"].size(1)
    with torch.no_grad():
        logits = (
            trainer.model.eval()(input_ids=ids, attention_mask=attention)
            .logits[:, -length - 1 : -1]
            .double()
        )
    scaled = logits / 0.7
    expected = scaled.logsumexp(-1) - scaled.mean(-1) - math.log(scaled.size(-1))
    chosen = logits.gather(-1, output["completion_ids"][..., None]).squeeze(-1)
    mask = batch.mask
    assert mask.any()
    torch.testing.assert_close(given.certainty[mask].double(), expected[mask], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        given.chosen_logit[mask].double(), chosen[mask], atol=1e-5, rtol=1e-5
    )
    assert given.certainty[~mask].isnan().all()
    assert given.vocab_size == logits.size(-1)


@pytest.mark.parametrize(
    ("wants", "num_iterations", "forwards"),
    [((), 1, 0), (("certainty",), 1, 1), ((), 2, 1), (("certainty", "chosen_logit"), 2, 1)],
)
def test_at_most_one_forward_for_signals(
    build, monkeypatch, wants, num_iterations: int, forwards: int
) -> None:
    """On-policy: one more forward, only when asked. With old log-probs: none more than TRL's."""
    calls = []
    original = GRPOTrainer._get_per_token_logps_and_entropies

    def counted(self, *args, **kwargs):
        calls.append(1)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(GRPOTrainer, "_get_per_token_logps_and_entropies", counted)
    part, _ = spy(wants)
    generate(build(shapers=[part], num_iterations=num_iterations))
    assert len(calls) == forwards


def test_signal_pass_never_holds_tokens_times_vocabulary(
    build, make_model, monkeypatch, watch_tensors
) -> None:
    """The largest tensor of the signal pass is one chunk of logits."""
    vocabulary, chunk_rows = 5000, 8
    monkeypatch.setattr(signals, "CHUNK_ELEMENTS", chunk_rows * vocabulary)
    trainer = build(
        shapers=[make_shaper("ucas")],
        model=make_model(vocab_size=vocabulary),
        max_completion_length=20,
    )
    output = generate(trainer)
    assert int(output["completion_mask"].sum()) > 10 * chunk_rows
    weights = vocabulary * trainer.model.config.hidden_size
    with watch_tensors(weights) as seen:
        trainer._signals(trainer._recorder, output)
    assert 0 < seen.largest <= chunk_rows * vocabulary


def test_signal_pass_leaves_modes_and_rng(build) -> None:
    trainer = build(shapers=[make_shaper("ucas")])
    output = generate(trainer)
    frozen = trainer.model.model.layers[0]
    frozen.eval()
    before = torch.get_rng_state()
    trainer._signals(trainer._recorder, output)
    assert torch.equal(torch.get_rng_state(), before)
    assert trainer.model.training
    assert not frozen.training


def test_evaluation_is_left_alone(build) -> None:
    part, seen = spy()
    trainer = build(shapers=[part], per_device_eval_batch_size=4)
    trainer.model.eval()
    output = trainer._generate_and_score_completions([trainer.train_dataset[0]] * 4)
    assert seen == []
    assert output["advantages"].dim() == 1
    assert trainer.generation == 0


@pytest.mark.parametrize("loss_type", ["dapo", "grpo", "dr_grpo", "bnpo", "cispo", "sapo"])
@pytest.mark.parametrize("preset", [PAPER_V1, RELEASE_2026_04], ids=["paper", "release"])
def test_ucas_trains_with_every_loss_it_allows(build, loss_type: str, preset: UCASSettings) -> None:
    trainer = build(
        shapers=[make_shaper("ucas", **asdict(preset))],
        loss_type=loss_type,
        epsilon_high=0.28,
        max_steps=2,
    )
    trainer.train()
    entries = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert len(entries) == 2
    for entry in entries:
        assert math.isfinite(entry["loss"])
        assert {"ucas/confidence/mean", "ucas/norm_logit/mean", "ucas/degenerate_share"} <= set(
            entry
        )


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("loss_type", "luspo"),
        ("loss_type", "vespo"),
        ("importance_sampling_level", "sequence"),
        ("off_policy_mask_threshold", 0.5),
    ],
)
def test_settings_that_rule_ucas_out_are_refused(build, setting: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"trainer.{setting}={value}"):
        build(shapers=[make_shaper("ucas")], **{setting: value})
    build(**{setting: value})


def test_ucas_must_come_first(build) -> None:
    part, _ = spy(())
    with pytest.raises(ConfigError, match="must come first"):
        generate(build(shapers=[part, make_shaper("ucas")]))


def test_wrong_shape_from_a_shaper_is_named(build) -> None:
    flat = Shaper("flat", lambda batch, given, settings: batch.advantages, (), None)
    with pytest.raises(ConfigError, match="shaper 'flat' returned advantages of shape"):
        generate(build(shapers=[flat]))


def test_correctness_gate_reads_the_named_reward(build) -> None:
    """Graded rewards: A > 0 is not "correct"; with the gate W follows the sign of the reward."""

    def digit(completions, **_):  # the second is right by the gate, and below the group's mean
        return [1.0, 0.25, 0.9, -0.1] * (len(completions) // 4)

    gate = {"gate": "correctness", "alpha_pos": 1.0, "alpha_neg": 1.0, "beta": 0.0}
    seen: list[Any] = []
    part = make_shaper("ucas", gate_reward="digit", **gate)
    generate(build(shapers=[part], on_rollout=[seen.append], reward=digit))
    columns = {
        name: torch.tensor(seen[0].columns[name])
        for name in ("certainty", "reward/digit", "advantage")
    }
    confidence = columns["certainty"].view(4, 4)
    z = (confidence - confidence.mean(1, keepdim=True)) / (confidence.std(1, keepdim=True) + 1e-6)
    sign = torch.where(columns["reward/digit"] > 0, 1.0, -1.0)
    sign = torch.where(columns["advantage"].abs() < 1e-6, 0.0, sign)
    expected = torch.exp(-sign * z.flatten())
    assert seen[0].columns["ucas/weight"] == pytest.approx(expected.tolist(), rel=1e-3)
    assert ((columns["reward/digit"] > 0) & (columns["advantage"] < 0)).any()
    with pytest.raises(ConfigError, match="this run's rewards are: digit"):
        generate(build(shapers=[make_shaper("ucas", gate_reward="none_such", **gate)]))


def test_ucas_trainer_is_the_composition(build) -> None:
    torch.manual_seed(1)
    thin = generate(build(named.UCASTrainer))
    composed = generate(build(shapers=[make_shaper("ucas")]))
    assert torch.equal(thin["advantages"], composed["advantages"])
    assert thin["advantages"].dim() == 2


def test_rollout_columns(build) -> None:
    """What a listener gets agrees with the rollout that is trained on."""
    seen: list[Any] = []
    trainer = build(
        shapers=[make_shaper("ucas")], on_rollout=[seen.append], rollout_data=["answer"]
    )
    output = generate(trainer)
    (rollout,) = seen
    assert (rollout.generation, rollout.step) == (1, 0)
    assert set(rollout.columns) == {
        "prompt",
        "completion",
        "reward/digit",
        "advantage",
        "length",
        "certainty",
        "ucas/weight",
        "ucas/advantage",
    }
    assert {len(values) for values in rollout.columns.values()} == {16}
    assert rollout.columns["prompt"][0] == trainer.train_dataset[0]["prompt"]
    answers = {row["prompt"]: row["answer"] for row in trainer.train_dataset}
    assert rollout.data == {"answer": [answers[text] for text in rollout.columns["prompt"]]}
    assert rollout.columns["length"] == output["completion_mask"].sum(dim=1).tolist()
    mean = output["advantages"].sum(dim=1) / output["completion_mask"].sum(dim=1)
    torch.testing.assert_close(torch.tensor(rollout.columns["ucas/advantage"]), mean)
    rewards = torch.tensor(rollout.columns["reward/digit"]).view(-1, 4)
    centred = rewards - rewards.mean(dim=1, keepdim=True)
    assert torch.equal(
        torch.tensor(rollout.columns["advantage"]).view(-1, 4).sign(), centred.sign()
    )


def test_a_listener_gets_the_tokens_with_what_was_made_of_them(build) -> None:
    """Certainty, log-prob and shaped advantage of each token, as they are trained on."""
    seen: list[Any] = []
    trainer = build(shapers=[make_shaper("ucas")], on_rollout=[seen.append])
    output = generate(trainer)
    tokens = seen[0].tokens
    assert tokens.first == 0
    assert torch.equal(tokens.completion_ids, output["completion_ids"])
    assert torch.equal(tokens.present, output["completion_mask"].bool())
    assert torch.equal(tokens.advantages, output["advantages"])
    with torch.no_grad():
        log_prob, _, _ = trainer._get_per_token_logps_and_entropies(
            trainer.model,
            torch.cat([output["prompt_ids"], output["completion_ids"]], dim=1),
            torch.cat([output["prompt_mask"], output["completion_mask"]], dim=1),
            output["completion_ids"].size(1),
        )
    torch.testing.assert_close(tokens.log_prob[tokens.mask], log_prob[tokens.mask])
    mean = (tokens.certainty.masked_fill(~tokens.mask, 0)).sum(1) / tokens.mask.sum(1)
    torch.testing.assert_close(mean, torch.tensor(seen[0].columns["certainty"]).float())


def test_without_shapers_tokens_have_what_trl_computed_and_no_more(build) -> None:
    seen: list[Any] = []
    on_policy = build(on_rollout=[seen.append])
    generate(on_policy)
    off_policy = build(on_rollout=[seen.append], num_iterations=2)
    generate(off_policy)
    assert [one.tokens.certainty for one in seen] == [None, None]
    assert [one.tokens.advantages.dim() for one in seen] == [1, 1]
    assert seen[0].tokens.log_prob is None
    assert seen[1].tokens.log_prob.shape == seen[1].tokens.mask.shape


def test_accuracy_is_the_share_of_full_marks(build) -> None:
    def exact(completions, **_):
        return [1.0, 0.5, None, 1.0] * (len(completions) // 4)

    trainer = build(reward=exact, accuracy_reward="exact")
    generate(trainer)
    assert trainer._metrics["train"]["accuracy"] == [pytest.approx(2 / 3)]
    with pytest.raises(ConfigError, match="not among the reward functions: exact"):
        build(reward=exact, accuracy_reward="other")


def test_missing_reward_leaves_the_confidence_statistics(build) -> None:
    """A completion that no reward scored has weight 1 and advantage 0."""

    def sometimes(completions, **_):
        return [None, 1.0, 0.0, 0.0] * (len(completions) // 4)

    seen: list[Any] = []
    output = generate(
        build(reward=sometimes, shapers=[make_shaper("ucas", beta=0.0)], on_rollout=[seen.append])
    )
    assert output["advantages"][::4].abs().max() == 0
    assert seen[0].columns["ucas/weight"][::4] == [1.0] * 4


def test_prompt_order_survives_a_resume_in_a_later_epoch() -> None:
    """A sampler that starts in epoch 2 yields what TRL's yields in its third epoch."""
    settings = {"mini_repeat_count": 2, "batch_size": 3, "seed": 7}
    reference = signals_reference_epochs(settings)
    started_late = ResumableRepeatSampler(range(9), **settings)
    started_late.set_epoch(2)
    assert list(started_late) == reference[2]
    started_late.set_epoch(3)
    assert list(started_late) == reference[3]
    assert reference[0] != reference[2]


def signals_reference_epochs(settings: dict[str, int]) -> list[list[int]]:
    from trl.trainer.utils import RepeatSampler

    sampler = RepeatSampler(range(9), **settings)
    return [list(sampler) for _ in range(4)]


def test_foreign_checkpoint_is_refused(build, tmp_path) -> None:
    plain = build(
        GRPOTrainer,
        save_strategy="steps",
        save_steps=1,
        max_steps=1,
        output_dir=str(tmp_path / "trl"),
    )
    plain.train()
    with pytest.raises(CheckpointError, match="was not written by rlconf"):
        build().train(resume_from_checkpoint=str(tmp_path / "trl" / "checkpoint-1"))


def saved(build, folder, **settings) -> OnlineTrainer:
    """A trainer that has written checkpoints 1 and 2 into `folder`, the first inside a window."""
    trainer = build(
        output_dir=str(folder),
        save_strategy="steps",
        save_steps=1,
        max_steps=2,
        num_iterations=2,
        **settings,
    )
    trainer.train()
    return trainer


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"seed": 1}, "seed: 0 in the checkpoint, 1 now"),
        ({"num_generations": 2}, "num_generations: 4 in the checkpoint, 2 now"),
        ({"num_iterations": 1}, "optimiser steps per generation batch: 2 in the checkpoint, 1 now"),
        ({"per_device_train_batch_size": 8}, "generation_batch_size: 16 in the checkpoint, 8 now"),
        ({"hidden_size": 64}, "trainable parameters: "),
        ({"peft": True}, "model: LlamaForCausalLM in the checkpoint, PeftModel"),
    ],
)
def test_checkpoint_of_another_run_is_refused(build, make_model, tmp_path, changes, text) -> None:
    saved(build, tmp_path)
    if "hidden_size" in changes:
        changes = {"model": make_model(**changes)}
    other = build(**({"num_iterations": 2} | changes))
    before = {name: value.clone() for name, value in other.model.state_dict().items()}
    with pytest.raises(CheckpointError, match="belongs to another run") as caught:
        other.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))
    assert text in str(caught.value)
    assert all(before[name].equal(value) for name, value in other.model.state_dict().items())


def test_a_batch_cut_up_another_way_goes_on_with_a_new_one(build, tmp_path) -> None:
    """Half the micro-batch, twice the accumulation: same prompts, the begun batch sampled anew."""
    saved(build, tmp_path)
    halved = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 2}
    seen: list[Any] = []
    other = build(
        num_iterations=2,
        max_steps=4,
        on_rollout=[seen.append],
        output_dir=str(tmp_path / "other"),
        **halved,
    )
    other.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))
    assert other._step == 4 * 2
    assert [rollout.generation for rollout in seen] == [2, 3]
    assert [rollout.step for rollout in seen] == [1, 2]


class Part:
    """A reward with a state of its own on each rank."""

    __name__ = "part"
    per_rank = True

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, completions, **_):
        self.calls += 1
        return [float(len(text)) for text in completions]

    def state_dict(self):
        return {"calls": self.calls}

    def load_state_dict(self, state):
        self.calls = state["calls"]


def test_parts_with_a_state_are_saved_and_restored_before_the_first_batch(build, tmp_path) -> None:
    saved(build, tmp_path, reward=Part())
    part = Part()
    other = build(reward=part, num_iterations=2, max_steps=2, output_dir=str(tmp_path / "other"))
    assert other.stateful == {"part": part}
    other.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))
    assert part.calls == 1  # step 2 trains on the batch of step 1


def test_a_state_of_each_rank_does_not_go_to_another_number_of_ranks(build, tmp_path) -> None:
    saved(build, tmp_path, reward=Part())
    other = build(reward=Part(), num_iterations=2)
    other.looks["layout"]["processes"] = 2
    with pytest.raises(CheckpointError, match=r"written by 1 process.*part holds a state of its"):
        other.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))


@pytest.mark.parametrize(
    ("where", "error"),
    [
        ("torch.save", RuntimeError("PytorchStreamWriter failed writing file data/0")),
        ("trainers.state.save_file", OSError(28, "No space left on device")),
    ],
)
def test_a_full_disk_is_told_with_the_path(build, tmp_path, monkeypatch, where, error) -> None:
    saved(build, tmp_path)
    trainer = build(
        output_dir=str(tmp_path), save_strategy="steps", save_steps=3, max_steps=3, num_iterations=2
    )

    def full(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(where, full)
    with pytest.raises(CheckpointError, match=r"checkpoint-3 could not be written: .*untouched"):
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))


def test_a_resumed_run_saves_where_it_is_told_to_now(build, tmp_path) -> None:
    """Hugging Face alone would go on with the interval in the checkpoint."""
    saved(build, tmp_path)
    trainer = build(
        output_dir=str(tmp_path), save_strategy="steps", save_steps=2, max_steps=5, num_iterations=2
    )
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == [
        f"checkpoint-{step}" for step in (1, 2, 4, 5)
    ]
