"""`rlconf sample`, in this process."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from data.solutions import read_solutions
from data.solutions.draw import solution_seed
from data.solutions.vllm import VLLMSampler
from data.tasks import Task
from rewards.errors import ConfigError
from rlconf.cli import main
from rlconf.runs.launch import World
from rlconf.settings.compose import compose
from rlconf.solutions.sample import _check_vllm, draw_solutions, solutions_path, weights_stamp

SMALL = [
    "task.train_size=32",
    "task.levels=[3]",
    "task.dev_size=8",
    "task.test_size=32",
    "model.tiny.hidden=16",
    "model.tiny.intermediate=16",
    "model.tiny.warm_steps=20",
    "sampling.n=2",
    "sampling.limit=6",
    "sampling.batch_size=4",
]
CPU = World(size=1, rank=0, kind="NO", device="cpu")
TEXT = Task("text", [], [], [], ("exact",), 1)


@pytest.fixture(autouse=True)
def _apart(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLCONF_CACHE", str(tmp_path_factory.getbasetemp() / "tiny-cache"))
    monkeypatch.chdir(tmp_path)


def test_the_command_writes_solutions_and_a_manifest(capsys):
    assert main(["sample", *SMALL, "name=mine", "seed=3"]) == 0
    said = capsys.readouterr().out
    assert "12 solutions of 6 questions" in said
    assert "sampling: 2/6 questions" in said
    assert "written to solutions/mine.parquet" in said
    found = read_solutions("solutions/mine.parquet")
    assert len(found) == 12
    assert all(one.verdict is not None for one in found)
    manifest = json.loads(Path("solutions/mine.json").read_text())
    identity = manifest["identity"]
    assert (identity["seed"], identity["split"], identity["n"]) == (3, "train", 2)
    assert identity["max_new_tokens"] == 4  # the task's
    assert identity["task"]["name"] == "sort"
    assert identity["chat_template_sha256"] is None
    assert "tiny" in identity["model"]
    assert manifest["right"] == sum(one.verdict for one in found)

    # The same command again finds it done; another seed is refused, not mixed in.
    assert main(["sample", *SMALL, "name=mine", "seed=3"]) == 0
    assert main(["sample", *SMALL, "name=mine", "seed=4"]) == 2
    assert "begun with other settings" in capsys.readouterr().err


def test_a_split_without_questions_is_refused(capsys):
    assert main(["sample", *SMALL, "sampling.split=ood"]) == 2
    assert "'sort' has no questions in its ood split" in capsys.readouterr().err


def test_an_interruption_says_how_to_go_on(monkeypatch, capsys):
    from data.solutions import collect

    written = []

    def stop_after_two(path, solutions):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        write(path, solutions)

    write = collect.write_solutions
    monkeypatch.setattr(collect, "write_solutions", stop_after_two)
    assert main(["sample", *SMALL]) == 130
    assert "the same command goes on from solutions/rlconf.parquet.parts" in capsys.readouterr().out
    monkeypatch.setattr(collect, "write_solutions", write)
    config = compose(SMALL)
    manifest = draw_solutions(config, solutions_path(config), CPU)
    assert manifest["solutions"] == 12
    whole = draw_solutions(config, Path("whole.parquet"), CPU)
    assert whole["right"] == manifest["right"]
    assert Path("whole.parquet").read_bytes() == solutions_path(config).read_bytes()


def test_weights_that_were_trained_again_are_other_weights(tmp_path):
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"1")
    first = weights_stamp(str(tmp_path))
    assert weights_stamp(str(tmp_path)) == first
    file.write_bytes(b"12")
    assert weights_stamp(str(tmp_path)) != first
    assert weights_stamp("owner/name") is None


@pytest.mark.parametrize(
    ("overrides", "world", "text"),
    [
        (["model=tiny"], CPU, "model=tiny: use sampling=hf"),
        (["model.path=some/model"], CPU, r"pip install 'rlconf\[vllm\]'"),
    ],
)
def test_what_vllm_cannot_do_here(overrides, world, text):
    with pytest.raises(ConfigError, match=text):
        _check_vllm(compose(["sampling=vllm", *overrides]), world, TEXT)


def test_vllm_calls_no_tools():
    config = compose(["model=hub", "model.path=some/model", "tools=[calculator]"])
    with pytest.raises(ConfigError, match="the tools calculator: turns are drawn by transformers"):
        _check_vllm(config, CPU, TEXT)


def test_vllm_needs_one_gpu_process_and_a_whole_model(monkeypatch, tmp_path):
    monkeypatch.setattr("rlconf.solutions.sample.is_installed", lambda package: True)
    config = compose(["sampling=vllm", f"model.path={tmp_path}"])
    with pytest.raises(ConfigError, match="needs a CUDA device and this is cpu"):
        _check_vllm(config, CPU, TEXT)
    with pytest.raises(ConfigError, match="one process and 2 were started"):
        _check_vllm(config, World(2, 0, "MULTI_GPU", "cuda:0"), TEXT)
    (tmp_path / "adapter_config.json").touch()
    with pytest.raises(ConfigError, match="merge it first"):
        _check_vllm(config, World(1, 0, "NO", "cuda:0"), TEXT)


def test_what_vllm_returns_becomes_the_same_records(monkeypatch, tokenizer):
    """The border to vLLM, with an engine in its place: it runs on a GPU only."""
    seen = {}

    class LLM:
        def __init__(self, **settings):
            seen.update(settings)

        def generate(self, prompts, parameters, use_tqdm):
            seen["seeds"] = [one.seed for one in parameters]
            seen["prompts"] = [one["prompt_token_ids"] for one in prompts]
            # Token 5 is the digit 2, token 2 the end; the second answer is cut off.
            answers = [[5, 2], [5, 5], [2], [5, 2]]
            return [
                SimpleNamespace(
                    outputs=[
                        SimpleNamespace(
                            token_ids=tuple(ids),
                            logprobs=[{i: SimpleNamespace(logprob=-0.5)} for i in ids],
                        )
                    ]
                )
                for ids in answers
            ]

    module = SimpleNamespace(LLM=LLM, SamplingParams=lambda **given: SimpleNamespace(**given))
    monkeypatch.setitem(__import__("sys").modules, "vllm", module)
    sampler = VLLMSampler(
        "no/such-model",
        tokenizer,
        samples=2,
        temperature=1.0,
        top_p=1.0,
        max_new_tokens=2,
        seed=7,
        engine={"dtype": "auto"},
    )
    rows = [{"id": "a", "prompt": "1>", "answer": "2"}, {"id": "b", "prompt": "3>", "answer": "4"}]
    found = sampler(rows)
    assert seen["model"] == "no/such-model"
    assert seen["seeds"] == [solution_seed(7, one.question_id, one.index) for one in found]
    assert seen["prompts"] == [one.prompt_ids for one in found]
    assert [(one.question_id, one.index) for one in found] == [
        ("a", 0),
        ("a", 1),
        ("b", 0),
        ("b", 1),
    ]
    assert [(one.text, one.finish) for one in found] == [
        ("2", "stop"),
        ("22", "length"),
        ("", "stop"),
        ("2", "stop"),
    ]
    assert found[0].log_probs == [-0.5, -0.5]
    assert found[0].gold == "2"


@pytest.mark.gpu
def test_vllm_itself(tmp_path):
    pytest.importorskip("vllm", reason="vllm is not installed")
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    from trainers.models.smollm2 import missing

    if text := missing():
        pytest.skip(text)
    command = ["model=smollm2", "task=largest", "sampling=vllm", "sampling.limit=4", "sampling.n=2"]
    assert main(["sample", *command, f"sampling.path={tmp_path}/s.parquet"]) == 0
    assert len(read_solutions(tmp_path / "s.parquet")) == 8
