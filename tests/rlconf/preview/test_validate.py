"""`rlconf validate`: what is said about a configuration."""

import json
import sys
from pathlib import Path

import pytest

from rewards.errors import ConfigError
from rlconf.preview.validate import differences, report
from rlconf.settings.compose import compose


def block(text: str, title: str) -> list[str]:
    (found,) = [part for part in text.split("\n\n") if part.startswith(title)]
    return [line.strip() for line in found.splitlines()[1:]]


def test_the_batch_of_quickstart_is_spelt_out():
    text = report(compose(["experiment=quickstart"]))
    assert block(text, "task") == [
        "sort: 8192 train, 256 dev, 512 test",
        "rewards: exact x 1",
        "completions: up to 7 tokens",
        "prompts: 4 to 7 tokens, half of them up to 6",
    ]
    assert block(text, "batch") == [
        "32 prompts x 8 generations = 256 completions per generation batch",
        "256 = micro-batch 256 x 1 rank x 1 micro-batch",
        "1 pass (1 x 1 iteration) / accumulation 1 = 1 optimiser step per generation batch",
        "200 optimiser steps in all (trainer.max_steps), 51200 completions sampled",
        "0.78 times through the 8192 training rows",  # 200 x 32 / 8192 = 0.781
    ]
    assert block(text, "extra forwards") == [
        "1 forward for the policy's signals, which shapers and rewards share"
    ]
    assert any("epsilon_high=0.28" in line for line in block(text, "without effect"))
    assert "trainer.learning_rate = 0.001 (TRL: 1e-06)" in block(text, "differences from TRL")
    assert block(text, "differences from rlconf") == [
        "reward = [exact] (default: [])",
        "shaper = [ucas] (default: [])",
        "name = quickstart (default: rlconf)",
    ]


def test_supervised_training_is_described_in_its_own_words(tmp_path: Path):
    text = report(compose(["trainer=sft", "trainer.gradient_accumulation_steps=2"]))
    assert block(text, "task") == ["sort: 512 test; exact says what is right"]
    assert block(text, "demonstrations") == ["8192 training rows of sort"]
    assert block(text, "batch") == [
        "512 examples an optimiser step = micro-batch 256 x 1 rank x 2 accumulated",
        "200 optimiser steps",
    ]
    assert "trainer.max_length = null" not in text  # null says nothing set, as for every field
    assert "trainer.learning_rate = 0.001 (TRL: 2e-05)" in block(text, "differences from TRL")
    (tmp_path / "s.parquet").touch()
    changes = [f"demonstrations.path={tmp_path / 's.parquet'}", "trainer.max_steps=-1"]
    text = report(compose(["trainer=sft", "task=hub", "task.path=a/b", *changes]))
    assert block(text, "demonstrations") == [f"the right solutions of {tmp_path / 's.parquet'}"]
    assert block(text, "batch")[1] == "3 epochs"
    assert block(text, "task") == ["hub: asked before and after training"]


def test_epochs_are_counted_in_steps():
    text = report(compose(["trainer.max_steps=-1", "trainer.num_train_epochs=2"]))
    # 8192 rows / 32 prompts = 256 batches, one step each, twice.
    assert "512 optimiser steps in all (2 epochs of 8192 rows), 131072 completions sampled" in text


def test_off_policy_says_what_it_costs():
    text = report(compose(["shaper=[ucas]", "trainer.num_iterations=2", "trainer.beta=0.04"]))
    assert [line[:9] for line in block(text, "extra forwards")] == [
        "1 forward",
        "1 forward",
        "0 forward",
    ]


def test_only_what_was_changed_in_a_part_is_a_difference():
    changed = ["experiment=quickstart", "shaper.ucas.beta=0.02", "task.levels=[2,3]", "seed=4"]
    assert differences(compose(changed)) == [
        "reward = [exact] (default: [])",
        "shaper = [ucas] (default: [])",
        "name = quickstart (default: rlconf)",
        "seed = 4 (default: 0)",
        "shaper.ucas.beta = 0.02 (default: 0.01)",
        "task.levels = [2,3] (default: [3,4,5,6])",
    ]
    assert differences(compose()) == []


def test_columns_and_rows_are_checked():
    with pytest.raises(ConfigError, match="16 training rows and one generation batch takes 32"):
        report(compose(["task.train_size=16"]))


def test_long_prompts_and_notes_of_the_task_are_reported(tmp_path: Path):
    path = tmp_path / "q.jsonl"
    rows = [{"prompt": "1" * (1 + n // 36), "answer": "1", "n": n} for n in range(40)]
    texts = [json.dumps({**row, "prompt": f"{row['n']}+{row['prompt']}"}) for row in rows]
    path.write_text("\n".join([*texts, "{"]))
    command = ["task=file", f"task.path={path}", "task.malformed=skip", "task.dev_size=0"]
    command += ["task.test_size=0", "model.max_prompt_tokens=4", "task.rewards=[exact]"]
    lines = block(report(compose(command)), "task")
    assert "prompts: 3 to 5 tokens, half of them up to 4" in lines
    long = "4 of 40 training prompts have more than 4 tokens (the longest 5) and are left out"
    assert f"{long}: model.max_prompt_tokens" in lines
    assert "1 of 41 rows is malformed and left out:" in lines
    assert any(f"{path}, line 41: is not JSON" in line for line in lines)


def test_a_hub_data_set_and_a_hub_model_are_left_for_later():
    lines = block(report(compose(["task=file", "task.path=a/b", "model.path=c/d"])), "task")
    assert lines == ["file: a/b; rows and columns are checked when training starts"]
    lines = block(report(compose(["model.path=c/d"])), "task")
    assert "prompts: counted when training starts, by the tokenizer of c/d" in lines


def test_a_plugin_task_that_lacks_a_column(tmp_path: Path):
    plugin = tmp_path / "needs.py"
    plugin.write_text(
        "from rewards import reward\n"
        '@reward("validate_hint")\n'
        "def validate_hint(completions, hint):\n"
        '    """Always 1."""\n'
        "    return [1.0] * len(completions)\n"
    )
    config = compose(["reward=[validate_hint]"], plugins=[plugin])
    with pytest.raises(ConfigError, match="needs the column 'hint' and task 'sort' has prompt"):
        report(config)


def test_a_remote_task_is_not_downloaded():
    text = report(compose(["experiment=ucas_qwen_math_1p5b"]))
    assert "checked when training starts" in text
    assert "512 prompts x 16 generations = 8192 completions" in text
    assert "4 optimiser steps per generation batch" in text


def test_no_weights_are_loaded(monkeypatch: pytest.MonkeyPatch):
    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("weights were loaded")

    for name in ("trainers.models.tiny.tiny_model", "trainers.models.load.load_policy"):
        module, _, attribute = name.rpartition(".")
        __import__(module)
        monkeypatch.setattr(sys.modules[module], attribute, never)
    report(compose(["experiment=quickstart"]))


def test_the_memory_of_each_phase_is_told():
    text = report(compose(["trainer.use_cpu=true", "trainer.beta=0.1"]))
    lines = block(text, "memory")
    assert lines[0] == (
        "of one process on the CPU: 0.1077 M parameters, float32; rows of 7 + 7 tokens"
    )
    assert lines[1].startswith("in every phase: weights 0 MiB + optimiser 1 MiB + reference 0 MiB")
    assert [line.partition(":")[0] for line in lines[2:]] == [
        "generation", "scoring without gradient", "training", "peak",
    ]  # fmt: skip
    assert lines[-1].endswith("in training")


def test_memory_knows_adapters_sharding_and_a_model_whose_config_is_here(tmp_path: Path):
    from transformers import Qwen2Config

    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    Qwen2Config(
        **sizes, num_key_value_heads=2, intermediate_size=128, vocab_size=1000, dtype="bfloat16"
    ).save_pretrained(tmp_path)
    config = compose(
        [
            f"model.path={tmp_path}",
            "peft=lora",
            "model.max_prompt_tokens=100",
            "launch=ddp",
            "launch.processes=2",
            "trainer.use_cpu=false",
            "trainer.max_completion_length=64",
            "task=hub",
            "task.path=a/b",
            "trainer.use_vllm=false",
        ]
    )
    lines = block(report(config), "memory")
    # 2 x 64000 of embedding and head, and in each of 2 layers 37120 (biases and norms included)
    assert lines[0].startswith("of one process on a GPU: 0.2023 M parameters, 0.0")
    assert "M trained, bfloat16 over 2 ranks; rows of 100 + 64 tokens" in lines[0]
    config.model.path = str(tmp_path / "nowhere")
    assert block(report(config), "memory") == [
        f"not known before the config.json of {tmp_path}/nowhere is on this machine"
    ]
