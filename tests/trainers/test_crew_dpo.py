"""CRew-DPO's trainer: T13, what it refuses, and that confidence in right answers grows."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from datasets import Dataset
from trl import DPOConfig, DPOTrainer
from trl.trainer.utils import FusedCausalLMOutput

from rewards.confidence import crew_score
from rewards.errors import ConfigError
from rlconf import CRewDPOTrainer

# Digits are tokens 3 to 12 (0 to 9), `>` is 13, the end is 2.
PROMPT = [4, 5, 13]


def rows(**changes: Any) -> list[dict[str, Any]]:
    """Eight pairs: a digit and the end, right is 7 and wrong 3."""
    row = {
        "prompt": "12>",
        "prompt_ids": PROMPT,
        "chosen_ids": [10, 2],
        "rejected_ids": [6, 2],
        "chosen_answer": [0],
        "rejected_answer": [0],
    }
    return [row | changes for _ in range(8)]


@pytest.fixture
def build(make_model, tokenizer, tmp_path):
    """`build(rows, **settings)`; `extra` goes to the trainer."""

    def make(pairs: list[dict[str, Any]], extra: Any = (), cls: Any = CRewDPOTrainer, **given: Any):
        settings = {
            "max_length": None,
            "max_steps": 3,
            "per_device_train_batch_size": 4,
            "learning_rate": 1e-2,
            "logging_steps": 1,
            "save_strategy": "no",
            "use_cpu": True,
            "bf16": False,
            "gradient_checkpointing": False,
            "report_to": "none",
            "disable_tqdm": True,
        } | given
        return cls(
            model=make_model(),
            args=DPOConfig(output_dir=str(tmp_path / "out"), **settings),
            train_dataset=Dataset.from_list(pairs),
            processing_class=tokenizer,
            **dict(extra),
        )

    return make


def test_t13_the_loss_is_trls(build):
    trainer = build(rows(), beta=0.3)
    trainer.precompute_ref_logps = True  # the reference's are given
    trainer.model.train()

    def policy(**inputs: Any) -> FusedCausalLMOutput:
        """Log-probs of -10 for the chosen completion and -12 for the rejected one."""
        shape = (2, inputs["input_ids"].shape[1] - 1)
        log_probs = torch.zeros(shape)
        log_probs[:, -1] = torch.tensor([-10.0, -12.0])
        filled = {name: torch.zeros(shape) for name in ("entropy", "mean_logits")}
        return FusedCausalLMOutput(log_probs=log_probs, is_top1=torch.zeros(shape).bool(), **filled)

    batch = {
        "input_ids": torch.tensor([[4, 10], [4, 6]]),
        "attention_mask": torch.ones(2, 2, dtype=torch.long),
        "completion_mask": torch.tensor([[0, 1], [0, 1]]),
        "ref_chosen_logps": torch.tensor([-11.0]),
        "ref_rejected_logps": torch.tensor([-11.0]),
    }
    loss = trainer.compute_loss(policy, batch)
    assert float(loss) == pytest.approx(0.437488, abs=1e-6)
    assert trainer._metrics["train"]["rewards/margins"] == [pytest.approx(0.6)]


def test_with_and_without_the_answers_it_is_trls_trainer(build):
    """The same losses and weights as TRL's own on the same pairs as text."""
    text = [{"prompt": "12>", "chosen": "7", "rejected": "3"}] * 8
    own, plain = build(rows()), build(text, cls=DPOTrainer)
    for trainer in (own, plain):
        trainer.train()
    losses = [[row["loss"] for row in t.state.log_history if "loss" in row] for t in (own, plain)]
    assert losses[0] == losses[1]
    for mine, theirs in zip(own.model.parameters(), plain.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert "crew/gap" in own.state.log_history[0]
    assert "crew/gap" not in plain.state.log_history[0]


def test_confidence_in_the_right_answers_grows_on_the_training_pairs(build, make_model):
    trainer = build(rows(), max_steps=8)
    trainer.train()
    logged = [row for row in trainer.state.log_history if "crew/gap" in row]
    assert logged[-1]["crew/gap"] > logged[0]["crew/gap"]
    assert logged[-1]["crew/confidence/chosen"] > logged[0]["crew/confidence/chosen"]
    # The first one is that of the model as it was, before any step.
    with torch.no_grad():
        logits = make_model()(input_ids=torch.tensor([[*PROMPT, 10], [*PROMPT, 6]])).logits
    log_probs = logits.log_softmax(-1)[:, 2].gather(1, torch.tensor([[10], [6]]))
    right, wrong = crew_score(log_probs, torch.ones(2, 1, dtype=torch.bool)).tolist()
    assert logged[0]["crew/confidence/chosen"] == pytest.approx(right, abs=1e-5)
    assert logged[0]["crew/gap"] == pytest.approx(right - wrong, abs=1e-5)


def test_stale_confidences_are_refused_before_the_first_step(build):
    stale = rows(chosen_confidence=0.9, rejected_confidence=0.1)
    with pytest.raises(ConfigError, match="another model was scored"):
        build(stale).train()
    build(stale, extra={"tolerance": None}).train()

    measured = build(rows(), max_steps=1)
    measured.train()
    (first,) = (row for row in measured.state.log_history if "crew/gap" in row)
    fresh = rows(
        chosen_confidence=first["crew/confidence/chosen"],
        rejected_confidence=first["crew/confidence/rejected"],
    )
    build(fresh).train()


def test_an_adapter_is_measured_with_it_and_its_reference_without(build):
    from peft import LoraConfig

    adapter = LoraConfig(r=2, task_type="CAUSAL_LM", target_modules=["q_proj", "v_proj"])
    trainer = build(rows(), extra={"peft_config": adapter}, max_steps=6, learning_rate=0.1)
    trainer.train()
    gaps = [row["crew/gap"] for row in trainer.state.log_history if "crew/gap" in row]
    assert gaps[-1] > gaps[0]  # the reference's would stay where it was


@pytest.mark.parametrize(
    ("pairs", "settings", "text"),
    [
        (rows(chosen_ids=[10, 7]), {}, "pair 0: its chosen completion does not end"),
        (rows(rejected_ids=[]), {}, "pair 0: its rejected completion does not end"),
        (rows(), {"max_length": 4}, "max_length=4 would cut 8 pairs.*set it to 5 or more"),
        (rows(prompt="13>"), {}, r"pair 0: .* from token 1 on it reads '2>'.* '3>' here"),
        (
            [{"prompt": "1" * 9, "chosen": "7", "rejected": "3"}] * 2,
            {"max_length": 9},
            "max_length=9 would cut 2 pairs.*set it to null",
        ),
    ],
)
def test_what_is_refused(build, pairs, settings, text):
    with pytest.raises(ConfigError, match=text):
        build(pairs, **settings)


def test_a_stream_cannot_be_checked(build, make_model, tokenizer):
    stream = Dataset.from_list(rows()).to_iterable_dataset()
    with pytest.raises(ConfigError, match=r"expected a datasets\.Dataset"):
        CRewDPOTrainer(
            make_model(), args=build(rows()).args, train_dataset=stream, processing_class=tokenizer
        )


def test_answers_ride_along_when_the_reference_is_computed_first(build):
    trainer = build(rows(), precompute_ref_log_probs=True, max_steps=1)
    trainer.train()
    assert "crew/gap" in trainer.state.log_history[0]
    batch = trainer.data_collator([trainer.train_dataset[0]])
    assert {"answer_mask", "ref_chosen_logps"} <= set(batch)
    trainer.compute_ref_log_probs(trainer.model, batch)  # as `evaluate(dataset)` does


def test_the_mask_marks_the_answer_tokens_of_both(build):
    pairs = rows(chosen_ids=[9, 10, 2], chosen_answer=[1])
    batch = build(pairs).data_collator([build(pairs).train_dataset[0]])
    assert batch["answer_mask"].tolist() == [[0, 0, 0, 0, 1, 0], [0, 0, 0, 1, 0, 0]]
    assert batch["completion_mask"].tolist() == [[0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 0]]
