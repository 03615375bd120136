"""`rlconf inspect`: the trainer's own first batch, its tokens, and a set-up that cannot pay."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rewards.errors import ConfigError
from rlconf import cli
from rlconf.preview.inspection import inspect, visible
from rlconf.settings.compose import compose


def questions(tmp_path: Path, count: int = 40, **more: Any) -> str:
    records = [{"prompt": f"{n}+1=", "answer": str(n + 1), **more} for n in range(count)]
    path = tmp_path / "q.jsonl"
    path.write_text("\n".join(map(json.dumps, records)))
    return f"task.path={path}"


def test_the_quickstart(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["inspect", "experiment=quickstart", "--rows", "1"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "first generation batch: 32 prompts x 8 generations" in out
    lines = out.splitlines()
    tokens = [line.split() for line in lines if line.startswith(("  prompt ", "  completion "))]
    gold = next(line for line in lines if "gold answer '" in line).split("'")[1]
    prompt = "".join(line[4].strip("'") for line in tokens if line[0] == "prompt")
    assert sorted(prompt.removesuffix(">"), reverse=True) == list(gold)
    assert {(line[0], line[1]) for line in tokens} == {("prompt", "0"), ("completion", "1")}
    assert [line[4] for line in tokens if line[0] == "completion"] == [
        *(f"'{digit}'" for digit in gold),
        "'<eos>'",
    ]
    assert tokens[-1][5] == "(special)"
    assert [int(line[2]) for line in tokens] == list(range(len(tokens)))
    assert "exact (weight 1): full marks (1) for all" in out


def test_with_a_curriculum_these_are_the_prompts_that_it_plans():
    lines, _ = inspect(compose(["curriculum=easy_to_hard", "task.levels=[2,5]"]), rows=8)
    shown = [line for line in lines if "gold answer '" in line]
    assert shown
    assert all(", level 2, " in line for line in shown)


def test_supervised_training_samples_no_batch():
    with pytest.raises(ConfigError, match="leave trainer=sft out"):
        inspect(compose(["trainer=sft"]))


def test_these_are_the_prompts_that_the_trainer_draws(
    make_model: Callable[..., Any], tokenizer: Any, grpo_config: Callable[..., Any], prompts: Any
):
    from rlconf.preview.inspection import first_prompts
    from rlconf.settings.arithmetic import Batch
    from trainers import OnlineTrainer

    def reward(completions: list[str], **_: Any) -> list[float]:
        return [0.0] * len(completions)

    args = grpo_config(seed=7, per_device_train_batch_size=8, steps_per_generation=2)
    trainer = OnlineTrainer(
        model=make_model(),
        processing_class=tokenizer,
        args=args,
        reward_funcs=reward,
        train_dataset=prompts,
    )
    drawn = next(iter(trainer.get_train_dataloader()))
    batch = Batch(
        ranks=1,
        micro_batch=8,
        accumulation=1,
        steps_per_generation=2,
        num_generations=4,
        num_iterations=1,
    )
    rows = first_prompts(len(prompts), args, batch, 7)
    assert [row["prompt"] for row in drawn] == [
        prompts[row]["prompt"] for row in rows for _ in range(4)
    ]
    plain = prompts[rows[0]]["prompt"]
    ids, _, _ = trainer._tokenize_prompts([plain])
    from data.prompts import prompt_ids

    assert prompt_ids(tokenizer, [plain]) == ids


def test_a_gold_without_full_marks_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    command = ["inspect", "task=file", questions(tmp_path), "reward=[exact]", "task.rewards=[math]"]
    batch = ["trainer.per_device_train_batch_size=16", "trainer.num_generations=4"]
    assert cli.main([*command, *batch]) == 2
    out, err = capsys.readouterr()
    assert "math (accuracy only): 0 full marks (1), 0 to 0" in out
    assert err.startswith(
        "rlconf: the set-up is wrong: reward math does not give full marks (1) to "
    )
    assert err.count("\n") == 1


def test_all_golds_and_a_form_of_ones_own(tmp_path: Path):
    overrides = ["task=file", questions(tmp_path), "reward=[exact]", "task.rewards=[exact]"]
    overrides += ["reward.exact.how=regex", "reward.exact.pattern='A: (.*)'"]
    overrides += ["task.template='A: {question}'"]  # so that the tiny tokenizer knows the letters
    config = compose(overrides)
    _, wrong = inspect(config)
    assert wrong is not None
    lines, wrong = inspect(config, gold="A: {answer}", all_golds=True)
    assert wrong is None
    assert "gold answers of 40 rows, as completions like 'A: " in "\n".join(lines)


def test_what_the_limits_drop_is_counted(tmp_path: Path):
    overrides = ["task=file", questions(tmp_path, 150), "task.rewards=[exact]"]
    overrides += ["model.max_prompt_tokens=5", "task.max_completion_tokens=300"]
    lines, _ = inspect(compose(overrides))
    text = "\n".join(lines)
    assert "training prompts have more than 5 tokens (the longest 6) and are left out" in text
    assert "leave no room for 300 tokens in the model's 256" in text
    assert "limit: 5; completions: up to 300 tokens" in text


def test_a_right_answer_that_would_be_cut_is_an_error(tmp_path: Path):
    overrides = ["task=file", questions(tmp_path), "task.rewards=[exact]"]
    _, wrong = inspect(compose([*overrides, "task.max_completion_tokens=1"]))
    assert wrong is not None
    assert "completions are cut at 1" in wrong


def test_control_characters_stay_on_their_line(tmp_path: Path):
    path = tmp_path / "q.jsonl"
    records = [{"prompt": f"{n} \x1b[2J\r\u202e", "answer": "1"} for n in range(60)]
    path.write_text("\n".join(map(json.dumps, records)))
    lines, _ = inspect(compose(["task=file", f"task.path={path}", "task.rewards=[exact]"]))
    text = "\n".join(lines)
    assert all(line.isprintable() for line in lines)
    assert r"'\x1b'" in text
    assert r"'\u202e'" in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a\tb", r"a\tb"), ("é 字", "é 字"), ("\ud800", r"\ud800"), ("\x9b", r"\x9b")],
)
def test_visible(text: str, shown: str):
    assert visible(text) == shown


def test_a_real_tokenizer_and_chat_template(tokenizer: Any, tmp_path: Path):
    tokenizer.save_pretrained(tmp_path / "model")
    config = json.loads((tmp_path / "model" / "tokenizer_config.json").read_text())
    config["chat_template"] = "{% for m in messages %}{{ m.content }}{% endfor %}>"
    (tmp_path / "model" / "tokenizer_config.json").write_text(json.dumps(config))
    path = tmp_path / "q.jsonl"
    path.write_text("\n".join(json.dumps({"prompt": str(n), "answer": "1"}) for n in range(30)))
    overrides = ["task=file", f"task.path={path}", "task.chat=true", "task.rewards=[exact]"]
    lines, wrong = inspect(compose([*overrides, f"model.path={tmp_path / 'model'}"]), rows=1)
    assert wrong is None
    assert [line.split()[4] for line in lines if line.startswith("  prompt ")][-1] == "'>'"


def test_wrong_arguments(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["inspect", "--rows", "-1"]) == 2
    assert cli.main(["inspect", "--gold", "x"]) == 2
    assert "expected {answer} somewhere in it" in capsys.readouterr().err
