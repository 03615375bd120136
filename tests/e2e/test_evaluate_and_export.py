"""Two short runs, and what can be asked about them: evaluate, compare, export."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlconf.cli import main
from rlconf.runs.folder import RunFolder

SMALL = ["task=largest", "debug=fast", "model.tiny.warm_steps=40", "seed=3"]
SMALL += ["trainer.save_steps=1", "shaper=[ucas]"]

# What somebody does who has transformers and nothing of ours.
PLAIN = """
import sys
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

for folder in sys.argv[1:]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    batch = tokenizer(["7,3,9>", "1,2>"], return_tensors="pt", padding=True)
    batch.pop("token_type_ids", None)
    with torch.no_grad():
        logits = model(**batch).logits[:, -1]
        model.generate(**batch, max_new_tokens=2)
    torch.save({"ids": batch["input_ids"], "logits": logits}, folder.replace("/", "_") + ".pt")
ours = {"rlconf", "trainers", "rewards", "data", "peft", "trl"} & set(sys.modules)
sys.exit(f"imported {ours}" if ours else 0)
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with run `a`, of an adapter, and run `b`, of the whole model."""
    folder = tmp_path_factory.mktemp("runs")
    shared = [*SMALL, f"model.cache_dir={folder / 'cache'}", f"run.root={folder / 'root'}"]
    for name, more in (("a", ["peft=lora", "trainer.learning_rate=0.05"]), ("b", [])):
        assert main(["train", *shared, *more, f"run.dir={folder / name}"]) == 0
    return folder


def plain_logits(folders: list[Path], cwd: Path) -> list[dict[str, torch.Tensor]]:
    """What plain transformers makes of the folders, in a process of its own."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [sys.executable, "-c", PLAIN, *map(str, folders)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [torch.load(cwd / (str(folder).replace("/", "_") + ".pt")) for folder in folders]


@pytest.mark.slow
def test_everything_that_a_run_saves_reloads_with_transformers_alone(runs, tmp_path):
    folders = [runs / "b" / "model", runs / "b" / "checkpoints" / "checkpoint-3"]
    folders += sorted((runs / "cache" / "tiny").glob("largest-*[!k]"))[:1]
    final, last, tiny = plain_logits(folders, tmp_path)

    torch.testing.assert_close(final["logits"], last["logits"])  # the last step is the end
    assert not torch.allclose(final["logits"], tiny["logits"])  # where it began
    torch.testing.assert_close(final["ids"], tiny["ids"])
    assert final["ids"].tolist()[1][:2] == [0, 0]  # padded on the left


def test_the_adapter_reloads_as_an_adapter(runs):
    folder = runs / "a" / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert (
        tokenizer("7,3>")["input_ids"]
        == AutoTokenizer.from_pretrained(runs / "b" / "model")("7,3>")["input_ids"]
    )
    assert any("lora" in name for name, _ in model.named_parameters())


# --- evaluate ------------------------------------------------------------------------------


def test_another_task_with_its_own_measure(runs, capsys):
    """The characters of `sort` are among those of `largest`, so its tiny model can be asked."""
    command = ["evaluate", str(runs / "a"), "--json", "out/figures.json", "task=sort"]
    assert main([*command, "task.levels=[3,4]", "--name", "sorting"]) == 0

    result = json.loads(Path("out/figures.json").read_text())
    assert (result["name"], result["task"], result["seed"]) == ("sorting", "sort", 3)
    assert result["settings"]["task"]["levels"] == [3, 4]
    assert result["max_new_tokens"] == 5  # sort's own: 4 digits and the end, not largest's 2
    assert result["model"] == str(runs / "a" / "model")
    assert result["target"] == str(runs / "a")
    assert result["versions"]["trl"].startswith("1.16")
    assert len(result["config_hash"]) == 16
    each = result["per_question"]
    assert len(each) == result["questions"] == 8
    assert (
        sum(one["right"] for one in each) / sum(one["samples"] for one in each)
        == (result["sampled"]["accuracy"]["value"])
    )
    assert {one["level"] for one in each} == {3, 4}
    assert all(one["greedy"] in (True, False) for one in each)

    kept = json.loads((runs / "a" / "evaluation.json").read_text())
    assert list(kept) == ["before", "after", "sorting"]
    assert "per_question" not in kept["sorting"]
    assert (runs / "a" / "evaluations" / "sorting.json").is_file()
    assert "sort, test split" in capsys.readouterr().out


def test_a_checkpoint_is_evaluated_with_the_settings_of_its_run(runs):
    target = runs / "b" / "checkpoints" / "checkpoint-3"
    assert main(["evaluate", str(target), "--name", "third"]) == 0
    kept = json.loads((runs / "b" / "evaluation.json").read_text())
    assert kept["third"]["model"] == str(target)
    assert kept["third"]["sampled"] == kept["after"]["sampled"]  # step 3 is the last


def test_questions_of_another_seed_may_have_been_trained_on(runs, capsys):
    small = ["task.levels=[2]", "task.train_size=200", "task.test_size=20", "task.dev_size=4"]
    assert main(["evaluate", str(runs / "b"), "--name", "reseeded", "seed=4", *small]) == 0
    told = capsys.readouterr().out
    assert "of these 8 questions are among those that" in told
    assert "its own seed is 3" in told
    kept = json.loads((runs / "b" / "evaluation.json").read_text())
    assert "its own seed is 3" in kept["reseeded"]["warning"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["task=arithmetic"], "tokenizer cannot read the question"),
        (["evaluate.split=dev", "task.dev_size=0"], "has no questions in its dev split"),
        (["--name", "after"], "are the evaluations of training"),
        (["--name", "a/b"], "expected letters, digits"),
        (["--json", "."], "this is a folder"),
        (["model=tiny"], "beside task, environment, reward and judge only single settings"),
    ],
)
def test_what_cannot_be_evaluated_is_one_message(runs, arguments, said, capsys):
    assert main(["evaluate", str(runs / "b"), *arguments]) == 2
    assert said in capsys.readouterr().err


# --- compare -------------------------------------------------------------------------------


def test_a_run_with_itself_differs_by_exactly_nothing(runs, capsys):
    target = str(runs / "a")
    assert main(["compare", target, target, "--json", "same.json", "evaluate.limit=6"]) == 0
    report = json.loads(Path("same.json").read_text())
    for one in (report["sampled"], report["greedy"], report["pass@k"]["2"]):
        assert (one["value"], one["low"], one["high"], one["favours_a"]) == (0, 0, 0, 0.5)
    assert report["a"]["sampled"] == report["b"]["sampled"]
    assert report["questions"] == 6
    assert "these questions show no difference" in capsys.readouterr().out


def test_files_compare_like_the_models_that_they_are_about(runs):
    """Run against run, and the evaluations that both kept of themselves: the same figures."""
    a, b = runs / "a", runs / "b"
    assert main(["compare", str(a), str(b), "--json", "live.json"]) == 0
    files = [str(run / "evaluations" / "after.json") for run in (a, b)]
    assert main(["compare", *files, "--json", "files.json"]) == 0
    assert main(["compare", files[0], str(b / "model"), "--json", "mixed.json"]) == 0
    live, kept, mixed = (
        json.loads(Path(name).read_text()) for name in ("live.json", "files.json", "mixed.json")
    )
    for part in ("sampled", "greedy", "pass@k", "levels"):
        assert live[part] == kept[part] == mixed[part]


def test_different_questions_are_refused_or_cut_to_the_shared_ones(runs, capsys):
    few = ["--name", "few", "evaluate.limit=5"]
    assert main(["evaluate", str(runs / "a"), *few]) == 0
    files = [str(runs / "a" / "evaluations" / f"{name}.json") for name in ("after", "few")]
    capsys.readouterr()
    assert main(["compare", *files]) == 2
    told = capsys.readouterr().err
    assert "A is asked 8 questions and B 5, of which they share 5" in told
    assert "--shared" in told
    for pair in (files, [str(runs / "a"), files[1]], [files[1], str(runs / "b" / "model")]):
        assert main(["compare", *pair, "--shared", "--json", "shared.json"]) == 0
        assert json.loads(Path("shared.json").read_text())["questions"] == 5


@pytest.mark.parametrize(
    ("b", "arguments", "said"),
    [
        ("a/evaluations/after.json", ["seed=4"], "would have no effect"),
        ("a/evaluations/after.json", ["model.dtype=bfloat16"], "both are files"),
        ("a/evaluation.json", [], "does not hold an evaluation with its questions"),
        ("b/log.json", [], "cannot be read as JSON"),
        ("b", ["--resamples", "0"], "expected 1 or more"),
        ("b", ["evaluate.split=dev", "task.dev_size=0"], "has no questions"),
    ],
)
def test_what_cannot_be_compared_is_one_message(runs, b, arguments, said, capsys):
    both = [str(runs / "a" / "evaluations" / "after.json"), str(runs / b)]
    if b == "b":
        both[0] = str(runs / "a")
    assert main(["compare", *both, *arguments]) == 2
    assert said in capsys.readouterr().err


def test_other_tasks_share_nothing(runs, capsys):
    assert main(["evaluate", str(runs / "a"), "--name", "other", "task=sort"]) == 0
    other = str(runs / "a" / "evaluations" / "other.json")
    assert main(["compare", str(runs / "a" / "evaluations" / "after.json"), other, "--shared"]) == 2
    told = capsys.readouterr().err
    assert "they share 0" in told
    assert "--shared" not in told


# --- export --------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_merged_export_is_the_adapter_model_without_the_adapter(runs, tmp_path):
    assert main(["export", str(runs / "a"), "--to", "exported"]) == 0
    folder = Path("exported")
    assert {path.name for path in folder.iterdir()} >= {
        "README.md",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["exported"]  # and no draft

    started = sorted((runs / "cache" / "tiny").glob("largest-*[!k]"))[0]
    exported, base = plain_logits([folder.absolute(), started], tmp_path)
    adapted = AutoModelForCausalLM.from_pretrained(runs / "a" / "model")
    mask = (exported["ids"] != 0).long()
    with torch.no_grad():
        expected = adapted(input_ids=exported["ids"], attention_mask=mask).logits[:, -1]
    torch.testing.assert_close(exported["logits"], expected)
    assert (exported["logits"] - base["logits"]).abs().max() > 0.1  # the adapter does something


def test_the_card_tells_what_is_known_and_no_place_of_this_machine(runs):
    assert main(["export", str(runs / "a"), "--to", "exported"]) == 0
    card = (Path("exported") / "README.md").read_text()
    for part in (
        "library_name: transformers",
        "- ucas",
        "- lora",
        "task `largest`",
        "UCAS, uncertainty-aware advantage shaping",
        "LoRA (r=16",
        "| before |",
        "| after |",
        "After training less before, on the same 8 questions",
        "Command:",
        "trl 1.16",
        "learning\\_rate=0.05",
    ):
        assert part in card, part
    assert "\nlicense:" not in card
    for text in (card, *(path.read_text() for path in Path("exported").glob("*.json"))):
        assert str(runs) not in text


def test_a_checkpoint_is_exported_with_its_own_figures_only(runs):
    target = runs / "b" / "checkpoints" / "checkpoint-2"
    assert main(["export", str(target), "--to", "second", "--dtype", "bfloat16"]) == 0
    card = (Path("second") / "README.md").read_text()
    assert "| before |" in card
    assert "| after |" not in card
    assert "| optimiser steps | 2 |" in card
    model = AutoModelForCausalLM.from_pretrained("second")
    assert model.dtype == torch.bfloat16


def test_an_adapter_survives_the_emptying_of_the_cache(runs, tmp_path):
    """Tiny base models are made again; the same settings give the same weights."""
    (tiny,) = [p for p in (runs / "cache" / "tiny").iterdir() if p.is_dir()]
    assert main(["export", str(runs / "a"), "--to", "first"]) == 0
    tiny.rename(tiny.with_name("elsewhere"))
    try:
        assert main(["export", str(runs / "a"), "--to", "second"]) == 0
        moved = ["--base", str(tiny.with_name("elsewhere"))]
        assert main(["export", str(runs / "a" / "model"), "--to", "third", *moved]) == 0
    finally:
        tiny.with_name("elsewhere").rename(tiny.with_name("back"))
    first, second, third = (
        (Path(name) / "model.safetensors").read_bytes() for name in ("first", "second", "third")
    )
    assert first == second == third


def test_a_folder_that_holds_something_is_left_alone(runs, capsys):
    target = str(runs / "b")
    home = Path("home")
    (home / "papers").mkdir(parents=True)
    for arguments, said in (
        (["--to", "home"], "is not empty; add --force"),
        (["--to", "home", "--force"], "holds something else"),
        (["--to", str(runs / "b" / "model"), "--force"], "holds what is to be exported"),
        (["--to", str(runs), "--force"], "holds what is to be exported"),
        (["--to", "new", "--base", "x"], "holds a whole model"),
        (["--to", "/dev/null/new"], "cannot be written there"),
    ):
        assert main(["export", target, *arguments]) == 2
        assert said in capsys.readouterr().err
    assert (home / "papers").is_dir()
    assert RunFolder(runs / "b").model.is_dir()
    assert [path.name for path in Path().iterdir()] == ["home"]

    assert main(["export", target, "--to", "new"]) == 0
    (Path("new") / "stale.safetensors").touch()
    assert main(["export", target, "--to", "new"]) == 2
    assert main(["export", target, "--to", "new", "--force"]) == 0
    assert not (Path("new") / "stale.safetensors").exists()
