"""Signals that rewards declare: exact, computed once, handed to whoever asked, in every mode."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from datasets import Dataset
from trl import GRPOTrainer

import rewards
from rewards.errors import ConfigError, RewardError
from rewards.function import REWARDS
from trainers import signals
from trainers.named import SPEARTrainer
from trainers.online import OnlineTrainer
from trainers.reward_signals import Generated, RewardSignals
from trainers.shapers import make_shaper

LORA = {
    "r": 4,
    "target_modules": ["q_proj", "v_proj"],
    "task_type": "CAUSAL_LM",
    "init_lora_weights": False,
}


def even(completions: list[str], **_: Any) -> list[float | None]:
    """Right if the text has an even number of characters, not known if it has three."""
    return [None if len(text) == 3 else float(len(text) % 2 == 0) for text in completions]


@pytest.fixture
def build(make_model, tokenizer, grpo_config, prompts):
    def make(*functions: Any, peft: bool = False, data: Any = None, **kwargs: Any) -> Any:
        parts = {
            key: kwargs.pop(key)
            for key in ("shapers", "on_rollout", "rollout_func")
            if key in kwargs
        }
        reader = kwargs.pop("processing_class", tokenizer)
        peft_config = None
        if peft:
            from peft import LoraConfig

            peft_config = LoraConfig(**LORA)
        return kwargs.pop("trainer_class", OnlineTrainer)(
            model=make_model(),
            reward_funcs=list(functions) or [even, rewards.get("crew", how="number")],
            args=grpo_config(**kwargs),
            train_dataset=data or prompts,
            eval_dataset=(data or prompts).select(range(4)),
            processing_class=reader,
            peft_config=peft_config,
            **parts,
        )

    return make


def generate(trainer: OnlineTrainer, training: bool = True) -> dict[str, torch.Tensor]:
    trainer.model.train(training)
    rows = trainer.args.generation_batch_size
    return trainer._generate_and_score_completions(
        [trainer.train_dataset[i // 4] for i in range(rows)]
    )


def full_log_probs(trainer: OnlineTrainer, output: dict[str, torch.Tensor]) -> torch.Tensor:
    """(B, T) at temperature 1 in float64, from all logits."""
    ids = torch.cat([output["prompt_ids"], output["completion_ids"]], dim=1)
    attention = torch.cat([output["prompt_mask"], output["completion_mask"]], dim=1)
    length = output["completion_ids"].size(1)
    with torch.no_grad():
        logits = trainer.model.eval()(input_ids=ids, attention_mask=attention).logits.double()
    chosen = logits[:, -length - 1 : -1].log_softmax(-1)
    return chosen.gather(-1, output["completion_ids"][..., None]).squeeze(-1)


def confidences(trainer: OnlineTrainer, output: dict[str, torch.Tensor]) -> list[float]:
    """By hand: each token is a character, the last number the answer; NaN without one."""
    log_probs, found = full_log_probs(trainer, output), []
    for row, ids in enumerate(output["completion_ids"].tolist()):
        places = [at for at, token in enumerate(ids) if token > 2]
        text = "".join(trainer._tokenizer.decode([ids[at]]) for at in places)
        span = rewards.locate(text, "number")
        own = [] if span is None else places[slice(*span)]
        found.append(log_probs[row, own].exp().mean().item())
    return found


def logged(trainer: OnlineTrainer) -> list[float]:
    """The confidences of the last batch, NaN where the answer was missing."""
    return [math.nan if c is None else c for c in trainer._logs["extra"]["crew/confidence"]]


def zero_if_missing(confidence: float) -> float:
    return 0.0 if math.isnan(confidence) else confidence


@pytest.mark.parametrize("shapers", [(), ("ucas",)])
@pytest.mark.parametrize("peft", [False, True])
@pytest.mark.parametrize(("num_iterations", "beta"), [(1, 0.0), (2, 0.1)])
@pytest.mark.parametrize("training", [True, False])
def test_the_confidence_is_that_of_full_logits(
    build, shapers: tuple[str, ...], peft: bool, num_iterations: int, beta: float, training: bool
) -> None:
    """At temperature 1 though sampled at 0.7; alone, riding along, beside UCAS, in evaluation."""
    trainer = build(
        shapers=[make_shaper(name) for name in shapers],
        peft=peft,
        num_iterations=num_iterations,
        beta=beta,
        temperature=0.7,
    )
    output = generate(trainer, training)
    expected = confidences(trainer, output)
    assert logged(trainer) == pytest.approx(expected, rel=1e-4, abs=1e-5, nan_ok=True)
    right = trainer._rewards["even"]
    for value, confidence, verdict in zip(
        trainer._rewards["crew"].tolist(), expected, right.tolist(), strict=True
    ):
        if math.isnan(verdict):
            assert math.isnan(value)
        else:
            assert value == pytest.approx(zero_if_missing(confidence) * verdict, abs=1e-5)
    assert right.isnan().any()
    assert (right == 1).any()


@pytest.mark.parametrize(
    ("shapers", "num_iterations", "training", "forwards"),
    [
        ((), 1, True, 1),
        (("ucas",), 1, True, 1),
        ((), 2, True, 1),
        (("ucas",), 2, True, 1),
        ((), 1, False, 1),
        ((), 2, False, 1),
    ],
)
def test_one_forward_in_all(
    build, monkeypatch, shapers, num_iterations: int, training: bool, forwards: int
) -> None:
    calls = []
    original = GRPOTrainer._get_per_token_logps_and_entropies

    def counted(self, *args, **kwargs):
        calls.append(1)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(GRPOTrainer, "_get_per_token_logps_and_entropies", counted)
    generate(
        build(shapers=[make_shaper(s) for s in shapers], num_iterations=num_iterations), training
    )
    assert len(calls) == forwards


@pytest.mark.parametrize("num_iterations", [1, 2])
def test_only_the_answers_go_through_the_output_matrix_again(
    build, monkeypatch, num_iterations: int
) -> None:
    rows = []
    original = signals.head_signals

    def counted(hidden, *args, **kwargs):
        rows.append(len(hidden))
        return original(hidden, *args, **kwargs)

    monkeypatch.setattr(signals, "head_signals", counted)
    trainer = build(num_iterations=num_iterations, max_completion_length=12)
    output = generate(trainer)
    answers = 0
    for ids in output["completion_ids"].tolist():
        span = rewards.locate(trainer._tokenizer.decode(ids, skip_special_tokens=True), "number")
        answers += 0 if span is None else span[1] - span[0]
    assert sum(rows) == answers < int(output["completion_mask"].sum())


def test_shaped_advantages_do_not_depend_on_who_asked_first(build) -> None:
    """UCAS beside CRew at weight 0 is UCAS alone, to the last bit."""
    ucas = [make_shaper("ucas")]
    alone = generate(build(even, shapers=ucas))
    beside = generate(
        build(even, rewards.get("crew", how="number"), shapers=ucas, reward_weights=[1.0, 0.0])
    )
    assert torch.equal(alone["completion_ids"], beside["completion_ids"])
    assert torch.equal(alone["advantages"], beside["advantages"])


@pytest.mark.parametrize("slow", [False, True], ids=["sync", "async"])
def test_the_gate_is_computed_once_and_its_value_is_also_its_reward(build, slow: bool) -> None:
    calls = []

    def gate(completions, log_metric, answer, **_):
        calls.append(len(completions))
        log_metric("gate/calls", 1.0)
        return even(completions)

    async def later(**keywords):
        return gate(**keywords)

    function: Any = later if slow else gate
    function.__name__ = "gate"
    trainer = build(rewards.get("crew", how="number"), function)
    output = generate(trainer)
    assert calls == [16]
    assert trainer.reward_funcs == [trainer.reward_funcs[0], function]
    texts = trainer._tokenizer.batch_decode(output["completion_ids"], skip_special_tokens=True)
    expected = torch.tensor([math.nan if v is None else v for v in even(texts)])
    torch.testing.assert_close(trainer._rewards["gate"], expected, equal_nan=True)
    assert list(trainer._metrics["train"]["gate/calls"]) == [1.0]


def test_a_reward_that_only_asks_what_is_right_costs_no_forward(build, prompts) -> None:
    calls = [row % 3 for row in range(len(prompts))]
    trainer = build(
        even,
        rewards.get("tool_calls_flat"),
        data=prompts.add_column("num_tool_calls", calls),
        trainer_class=SPEARTrainer,
    )
    assert trainer._recorder is None
    assert trainer.reward_decay == {"tool_calls_flat": 200}
    # One, two and three characters in turn: wrong, right, not known.
    given = [[5] * (1 + row % 3) + [2] for row in range(16)]
    trainer._generate_single_turn = lambda *_, **__: (given, None)
    generate(trainer)
    right = trainer._rewards["even"].tolist()
    found = trainer._rewards["tool_calls_flat"].tolist()
    for row, (value, bonus) in enumerate(zip(right, found, strict=True)):
        count = calls[row // 4]
        expected = float(count > 0) if value >= 1 else 0.1 * count
        assert bonus == pytest.approx(math.nan if math.isnan(value) else expected, nan_ok=True)
    assert {0.0, 1.0} < {value for value in found if not math.isnan(value)}


def test_the_locator_is_that_of_the_gate_unless_named(build) -> None:
    number = rewards.get("exact", how="number")
    output = generate(trainer := build(number, rewards.get("crew")))
    assert logged(trainer) == pytest.approx(
        confidences(trainer, output), rel=1e-4, abs=1e-5, nan_ok=True
    )
    generate(boxed := build(number, rewards.get("crew", how="boxed")))
    assert set(boxed._logs["extra"]["crew/confidence"]) == {None}
    assert boxed._metrics["train"]["crew/missing"] == [1.0]
    assert boxed._rewards["crew"].tolist() == [0.0] * 16


def test_a_reward_of_ones_own_gets_signals_as_columns(build) -> None:
    seen = {}

    @rewards.reward("surprise", signals=("log_prob", "certainty", "chosen_logit"))
    def surprise(completions, completion_ids, log_prob, certainty, chosen_logit):
        seen.update(ids=completion_ids, log_prob=log_prob, certainty=certainty, logit=chosen_logit)
        return [-sum(row) / len(row) for row in log_prob]

    try:
        trainer = build(surprise)
        output = generate(trainer)
    finally:
        REWARDS.remove("surprise")
    log_probs = full_log_probs(trainer, output)
    for row, ids in enumerate(seen["ids"]):
        wanted = log_probs[row, : len(ids)]
        assert seen["log_prob"][row] == pytest.approx(wanted.tolist(), rel=1e-4, abs=1e-5)
        assert len(seen["certainty"][row]) == len(seen["logit"][row]) == len(ids)
        assert trainer._rewards["surprise"][row] == pytest.approx(-wanted.mean().item(), rel=1e-4)


def test_chat_completions_are_scored_from_their_tokens(build, tokenizer, prompts) -> None:
    chatty = copy.deepcopy(tokenizer)
    chatty.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    rows = [
        {"prompt": [{"role": "user", "content": row["prompt"]}], "answer": row["answer"]}
        for row in prompts
    ]
    number = rewards.get("exact", how="number")
    chat = generate(
        trainer := build(
            number,
            rewards.get("crew", mode="raw"),
            data=Dataset.from_list(rows),
            processing_class=chatty,
        )
    )
    assert trainer._rewards["crew"].tolist() == pytest.approx(
        [zero_if_missing(c) for c in confidences(trainer, chat)], abs=1e-5
    )
    text = generate(plain := build(number, rewards.get("crew", mode="raw")))
    assert torch.equal(chat["completion_ids"], text["completion_ids"])
    assert torch.equal(trainer._rewards["crew"], plain._rewards["crew"])


def test_what_a_tool_said_is_no_answer(build, tokenizer) -> None:
    """The answer is in the policy's last turn; digits of a tool's output are not its words."""
    crew = RewardSignals(build())
    (five, six), end = tokenizer("56")["input_ids"], tokenizer.eos_token_id
    generated = Generated(
        prompt_ids=[[five]] * 4,
        completion_ids=[[five, six, five, end], [five, six, six], [six, five], [six, six]],
        tool_mask=[[1, 0, 1, 1], [1, 0, 0], [1, 1], [0, 0]],
        images=False,
    )
    mask = crew.locate(generated)
    assert mask.int().tolist() == [[0, 0, 1, 0], [1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]]


def test_a_rollout_with_a_tools_output_in_the_middle(build, tokenizer) -> None:
    """`5`, the tool's `66`, then `34`: the confidence is that of the last two, given all before."""
    five, six, three, four = tokenizer("5634")["input_ids"]
    completion = [five, six, six, three, four, tokenizer.eos_token_id]

    def play(prompts: list[str], trainer: Any) -> dict[str, Any]:
        return {
            "prompt_ids": tokenizer(prompts)["input_ids"],
            "completion_ids": [completion] * len(prompts),
            "logprobs": [[0.0] * len(completion)] * len(prompts),
            "env_mask": [[1, 0, 0, 1, 1, 1]] * len(prompts),
        }

    output = generate(trainer := build(rollout_func=play))
    expected = full_log_probs(trainer, output)[:, 3:5].exp().mean(dim=1)
    assert logged(trainer) == pytest.approx(expected.tolist(), abs=1e-5)


def test_a_completion_that_was_cut_off_and_is_masked_has_no_answer(build) -> None:
    for num_iterations in (1, 2):
        trainer = build(mask_truncated_completions=True, num_iterations=num_iterations)
        output = generate(trainer)
        cut = output["completion_mask"].sum(1) == 0
        assert cut.any()
        found = list(trainer._logs["extra"]["crew/confidence"])
        assert all(c is None for c, gone in zip(found, cut.tolist(), strict=True) if gone)
        assert any(c is not None for c in found) == bool((~cut).any())


def test_signals_with_pictures_are_refused_in_a_sentence(build, tokenizer) -> None:
    trainer = build()
    five = tokenizer("5")["input_ids"]
    trainer._recorder.clear()
    trainer._generated = Generated([five], [five], None, images=True)
    with pytest.raises(RewardError, match="the prompts have images"):
        trainer._calculate_rewards([{"prompt": "5"}], ["5"], ["5"], [five])


def test_training_with_ucas_evaluation_and_a_listener(build, caplog) -> None:
    rollouts = []
    trainer = build(
        shapers=[make_shaper("ucas")],
        on_rollout=[rollouts.append],
        max_steps=2,
        eval_strategy="steps",
        eval_steps=1,
        per_device_eval_batch_size=8,
    )
    assert "reward=[crew] and shaper=[ucas] pull in opposite directions" in caplog.text
    trainer.train()
    rows = [entry for entry in trainer.state.log_history if "crew/confidence/mean" in entry]
    assert len(rows) == 2
    assert all(0 < entry["crew/confidence/mean"] <= 1 for entry in rows)
    assert any("eval_crew/confidence/mean" in entry for entry in trainer.state.log_history)
    assert len(rollouts) == 2
    for rollout in rollouts:
        assert len(rollout.columns["crew/confidence"]) == 16
        assert all(math.isfinite(value) for value in rollout.columns["certainty"])


def test_raw_is_warned_of_and_needs_no_gate(build, caplog) -> None:
    trainer = build(rewards.get("crew", mode="raw", how="number"))
    assert "pays for confidence whether the answer is right or not" in caplog.text
    generate(trainer)
    assert trainer._rewards["crew"].max() > 0


@pytest.mark.parametrize(
    ("functions", "message"),
    [
        (lambda: [rewards.get("crew")], "'crew' needs another reward that says what is right"),
        (
            lambda: [even, rewards.get("crew", gate="exact")],
            r"reward.crew.gate=exact is none of the rewards that say what is right \(even\)",
        ),
        (
            lambda: [even, rewards.get("crew", gate="crew")],
            "reward.crew.gate=crew is none of the rewards",
        ),
    ],
)
def test_a_gate_that_is_not_there(build, functions: Callable[[], list[Any]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(*functions())


def test_trl_alone_says_which_trainer_is_needed(build) -> None:
    trainer = build(trainer_class=GRPOTrainer)
    with pytest.raises(RewardError, match=r"needs the signal .* train with rlconf.OnlineTrainer"):
        generate(trainer)
