"""From `trainer.method` to a trainer."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from data.pair_files import SCHEMA, read_pairs, write_pairs
from data.pairs import build_pairs
from data.solutions import Solution, score, scorer_fingerprint, write_solutions
from rewards.errors import ConfigError
from rlconf.building.methods import make_training
from rlconf.building.parts import build_task, check_same_tokens
from rlconf.building.policy import build_model
from rlconf.settings.compose import compose
from rlconf.settings.schema import Config
from rlconf.settings.trl_fields import CONFIG_CLASSES
from trainers import CRewDPOTrainer, OnlineTrainer
from trainers.models.characters import character_tokenizer
from trainers.sft import GuardedSFT

SMALL = [
    "debug=fast",
    "task.train_size=32",
    "task.levels=[3]",
    "task.dev_size=8",
    "task.test_size=32",
    "model.tiny.hidden=16",
    "model.tiny.intermediate=16",
    "model.tiny.warm_steps=0",
]
SFT = [*SMALL, "trainer=sft"]


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLCONF_CACHE", str(tmp_path_factory.getbasetemp() / "tiny-cache"))


def command(method: str, folder: Path) -> list[str]:
    """What makes the trainer of a method; DPO needs pairs."""
    if method != "dpo":
        return [*SMALL, f"trainer={method}"]
    pairs = ["trainer=dpo", f"pairs.file={folder / 'p.parquet'}"]
    write(compose([*SMALL, *pairs]))
    return [*SMALL, *pairs]


def write(config: Config) -> None:
    """Pairs of the first training questions, with tokens of the tiny model."""
    task = build_task(config)
    model, tokenizer = build_model(config, task)
    found = []
    for row in task.train[:6]:
        prompt, right = tokenizer([row["prompt"], row["answer"]])["input_ids"]
        one = Solution(
            row["id"], 0, prompt, [*right, tokenizer.eos_token_id], row["answer"], "stop"
        )
        two = replace(one, index=1, completion_ids=[*right[::-1], tokenizer.eos_token_id])
        found += [replace(one, verdict=True), replace(two, verdict=False)]
    fingerprint = scorer_fingerprint(
        model, tokenizer, locator="final", aggregate="mean", span="overlap"
    )
    write_pairs(
        str(config.pairs.file),
        build_pairs(score(model, tokenizer, found, locator="final"), 1),
        show=tokenizer.decode,
        answer=lambda one: range(len(one.completion_ids) - 1),
        identity={"scorer": fingerprint, "pairs": {"confidence": "crew"}},
    )


def test_every_method_makes_its_trainer(tmp_path: Path):
    made = {
        name: make_training(compose(command(name, tmp_path)), tmp_path / name).trainer
        for name in CONFIG_CLASSES
    }
    assert {name: type(trainer) for name, trainer in made.items()} == {
        "grpo": OnlineTrainer,
        "sft": GuardedSFT,
        "dpo": CRewDPOTrainer,
    }
    for name, trainer in made.items():
        assert type(trainer.args).__name__ == CONFIG_CLASSES[name]
        assert trainer.args.output_dir == str(tmp_path / name)


def test_sft_learns_the_gold_answer_and_its_end_only(tmp_path: Path):
    training = make_training(compose(SFT), tmp_path)
    row = build_task(compose(SFT)).train[0]
    example = training.trainer.train_dataset[0]
    tokenizer = training.tokenizer
    assert tokenizer.decode(example["input_ids"]) == f"{row['prompt']}{row['answer']}<eos>"
    learnt = [token for token in example["labels"] if token != -100]
    assert tokenizer.decode(learnt) == f"{row['answer']}<eos>"
    assert training.notes == ["demonstrations: 32 training rows"]
    assert training.max_new_tokens == 4


def test_sft_evaluates_on_the_dev_split_when_asked_to(tmp_path: Path):
    changes = ["trainer.eval_strategy=steps", "trainer.eval_steps=1"]
    trainer = make_training(compose([*SFT, *changes]), tmp_path).trainer
    assert len(trainer.eval_dataset) == 8


@pytest.mark.parametrize("method", ["grpo", "sft"])
def test_an_evaluation_without_dev_rows_is_refused(tmp_path: Path, method: str):
    changes = [f"trainer={method}", "trainer.eval_strategy=epoch", "task.dev_size=0"]
    with pytest.raises(ConfigError, match=r"task sort has no dev rows: set task\.dev_size or"):
        make_training(compose([*SMALL, *changes]), tmp_path)


def solutions(config, rows) -> list[Solution]:
    """A right solution of each row and a wrong one, in the tiny model's tokens."""
    tokenizer = make_training(config, "unused").tokenizer
    found = []
    for row in rows:
        prompt, ids = tokenizer([row["prompt"], row["answer"]])["input_ids"]
        right = Solution(
            row["id"], 0, prompt, [*ids, tokenizer.eos_token_id], row["answer"], "stop"
        )
        found += [replace(right, verdict=True), replace(right, index=1, verdict=False)]
    return found


def test_sft_on_sampled_solutions(tmp_path: Path):
    config = compose(SFT)
    sampled = solutions(config, build_task(config).train[:6])
    path = tmp_path / "s.parquet"
    write_solutions(path, sampled)
    training = make_training(compose([*SFT, f"demonstrations.path={path}"]), tmp_path / "run")
    assert training.notes == [f"demonstrations: 6 solutions of {path}; left out: 6 wrong"]
    example = training.trainer.train_dataset[0]
    first = sampled[0]
    assert example["input_ids"] == first.prompt_ids + first.completion_ids
    assert example["labels"] == [-100] * len(first.prompt_ids) + first.completion_ids
    training.trainer.train()  # the columns are what TRL's collator takes
    assert training.trainer.state.global_step == 3
    assert [reason for _, reason in training.sorted_out].count("wrong") == 6


def test_sft_on_the_texts_of_a_teacher_with_another_tokenizer(tmp_path: Path):
    config = compose(SFT)
    foreign = [
        replace(one, prompt_ids=[900, 901], completion_ids=[950], level=level)
        for level, one in enumerate(solutions(config, build_task(config).train[:2]))
    ]
    path = tmp_path / "s.parquet"
    write_solutions(path, foreign)
    given = [f"demonstrations.path={path}", "demonstrations.as_text=true"]
    training = make_training(compose([*SFT, *given]), tmp_path / "run")
    example = training.trainer.train_dataset[0]
    text = training.tokenizer.decode(example["input_ids"])
    assert text == f"{build_task(config).train[0]['prompt']}{foreign[0].text}<eos>"
    assert training.notes[1:] == ["demonstrations: none is of level 1, 3"]  # the wrong ones'


def test_sft_never_learns_what_the_evaluation_asks(tmp_path: Path):
    config = compose(SFT)
    path = tmp_path / "s.parquet"
    write_solutions(path, solutions(config, build_task(config).test[:2]))
    with pytest.raises(ConfigError, match=r"2 questions of the task's test split.*sampling\.split"):
        make_training(compose([*SFT, f"demonstrations.path={path}"]), tmp_path)


def test_sft_refuses_tokens_of_another_tokenizer(tmp_path: Path):
    config = compose(SFT)
    (first, *_) = solutions(config, build_task(config).train[:1])
    path = tmp_path / "s.parquet"
    write_solutions(path, [replace(first, completion_ids=first.completion_ids[::-1])])
    with pytest.raises(ConfigError, match="sampled with another tokenizer"):
        make_training(compose([*SFT, f"demonstrations.path={path}"]), tmp_path)


@pytest.mark.parametrize(("text", "same"), [("12", True), ("13", False), ("", True)])
def test_tokens_of_episodes_are_compared_by_the_last_turn(text: str, same: bool):
    tokenizer = character_tokenizer("012 ")
    ids = [*tokenizer("0 12")["input_ids"], tokenizer.eos_token_id]
    one = Solution("q", 0, [1], ids, text, "stop", mask=[1, 0, 1, 1, 1])
    with nullcontext() if same else pytest.raises(ConfigError, match="another tokenizer"):
        check_same_tokens("here", [one], tokenizer)


@pytest.mark.parametrize("reentrant", [False, True])
def test_an_adapter_trains_with_gradient_checkpointing(tmp_path: Path, reentrant: bool):
    changes = [
        "shaper=[ucas]",
        "peft=lora",
        "trainer.gradient_checkpointing=true",
        f"trainer.gradient_checkpointing_kwargs.use_reentrant={str(reentrant).lower()}",
        "trainer.max_steps=1",
        "trainer.warmup_steps=0",  # or the one step has a learning rate of 0
        "trainer.per_device_train_batch_size=16",
        "trainer.num_generations=4",
        "trainer.save_strategy=no",
        "reward=[length]",  # of random answers some are shorter, so there is a gradient
        "reward.length.budget=1",
        "reward.length.unit=characters",
    ]
    training = make_training(compose([*SMALL, *changes]), tmp_path)
    trainer = training.trainer
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    trainer.train()
    assert trainer.model.is_gradient_checkpointing
    changed = {
        name for name, p in trainer.model.named_parameters() if not torch.equal(p, before[name])
    }
    assert changed  # the gradient came through the checkpointed, frozen layers
    assert all("lora_" in name for name in changed)
    assert any("layers.0" in name for name in changed)


def test_an_adapter_trains_with_sft(tmp_path: Path):
    trainer = make_training(compose([*SFT, "peft=lora", "trainer.max_steps=1"]), tmp_path).trainer
    trained = {name for name, p in trainer.model.named_parameters() if p.requires_grad}
    assert trained
    assert all("lora_" in name for name in trained)
    trainer.train()
    assert trainer.state.log_history[0]["loss"] > 0


def test_an_adapter_trains_with_dpo_and_evaluates_on_dev_pairs(tmp_path: Path):
    config = [*command("dpo", tmp_path), "peft=lora", "trainer.max_steps=1"]
    trainer = make_training(compose(config), tmp_path / "a").trainer
    assert trainer.ref_model is None  # the model without its adapter
    trainer.train()
    assert "crew/gap" in trainer.state.log_history[0]

    evaluating = [*config, "trainer.eval_strategy=steps", "trainer.eval_steps=1"]
    wrong = [f"pairs.dev_file={tmp_path / 'p.parquet'}"]  # of training questions
    with pytest.raises(ConfigError, match=r"pairs\.dev_file=.* 6 questions that the task does not"):
        make_training(compose([*evaluating, *wrong]), tmp_path / "b")


def test_dpo_takes_the_tokens_as_they_were_sampled(tmp_path: Path):
    trainer = make_training(compose(command("dpo", tmp_path)), tmp_path / "run").trainer
    rows, _ = read_pairs(tmp_path / "p.parquet")
    for row, learnt in zip(rows, trainer.train_dataset, strict=True):
        assert all(learnt[name] == row[name] for name in ("prompt_ids", "chosen_ids"))
    assert trainer.ref_model is not trainer.model


def test_dpo_never_learns_what_the_evaluation_asks(tmp_path: Path):
    config = command("dpo", tmp_path)
    rows, _ = read_pairs(tmp_path / "p.parquet")
    held_out = build_task(compose(config)).test[0]["id"]
    path = tmp_path / "p.parquet"
    table = pa.Table.from_pylist([row | {"question_id": held_out} for row in rows], schema=SCHEMA)
    pq.write_table(table, path)
    with pytest.raises(ConfigError, match="the evaluation would measure memory"):
        make_training(compose(config), tmp_path / "run")
