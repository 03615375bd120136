import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from data.tasks import make_task
from rewards.errors import ConfigError
from trainers.models import tiny
from trainers.models.tiny import TinySettings, default_cache, tiny_model

TASK = make_task("sort", {"levels": [3], "train_size": 300, "dev_size": 0, "test_size": 8})
QUICK = TinySettings(hidden=16, layers=1, heads=2, intermediate=32, warm_steps=2, warm_batch=4)


def weights(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


@pytest.fixture
def count_builds(monkeypatch):
    """Counts how often a model is really made."""
    builds = []
    build = tiny.build_tiny

    def counted(*args):
        builds.append(args)
        return build(*args)

    monkeypatch.setattr(tiny, "build_tiny", counted)
    return builds


def folders(cache):
    return [entry for entry in (cache / "tiny").iterdir() if entry.is_dir()]


def test_size_and_form(tmp_path):
    model, tokenizer = tiny_model(TinySettings(warm_steps=0), TASK, 0, tmp_path)
    # Embedding 14 * 64 (tied); per block 4 * 64² attention, 3 * 64 * 192 MLP, 2 * 64 norms; 64.
    assert model.num_parameters() == 14 * 64 + 2 * (4 * 64**2 + 3 * 64 * 192 + 2 * 64) + 64
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert model.dtype == torch.float32
    assert not model.training
    assert tokenizer.padding_side == "left"
    assert len(tokenizer) == model.config.vocab_size == 3 + len(TASK.alphabet)
    ends = {model.config.eos_token_id, model.generation_config.eos_token_id, tokenizer.eos_token_id}
    assert len(ends) == 1


def test_made_once_then_loaded(tmp_path, count_builds):
    first, _ = tiny_model(QUICK, TASK, 0, tmp_path)
    again, tokenizer = tiny_model(QUICK, TASK, 0, tmp_path)
    assert len(count_builds) == 1
    assert torch.equal(weights(first), weights(again))
    (folder,) = folders(tmp_path)
    assert folder.name.startswith("sort-")
    assert Path(again.name_or_path) == Path(tokenizer.name_or_path) == folder


def test_made_again_from_nothing_it_is_the_same_on_any_number_of_threads(tmp_path):
    threads = torch.get_num_threads()
    first, _ = tiny_model(QUICK, TASK, 0, tmp_path / "a")
    try:
        torch.set_num_threads(2)
        second, _ = tiny_model(QUICK, TASK, 0, tmp_path / "b")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(weights(first), weights(second))


def edited(row, rng):
    return "1"


@pytest.mark.parametrize(
    ("settings", "task", "seed"),
    [
        (replace(QUICK, warm_steps=3), TASK, 0),
        (replace(QUICK, warm_lr=1e-3), TASK, 0),
        (QUICK, TASK, 1),
        (QUICK, replace(TASK, demonstrate=edited), 0),
        (QUICK, replace(TASK, alphabet=TASK.alphabet + "x"), 0),
        (QUICK, replace(TASK, train=TASK.train[1:]), 0),
    ],
    ids=["steps", "rate", "seed", "demonstrations", "alphabet", "rows"],
)
def test_whatever_changes_the_weights_changes_the_folder(tmp_path, settings, task, seed):
    tiny_model(QUICK, TASK, 0, tmp_path)
    tiny_model(settings, task, seed, tmp_path)
    assert len(folders(tmp_path)) == 2


def test_any_process_of_a_group_may_write_it(tmp_path, monkeypatch):
    """In a group, save_pretrained writes nothing on ranks other than 0, without a word."""
    mixin = "transformers.distributed.mixin._{}"
    monkeypatch.setattr(mixin.format("is_torch_distributed_initialized"), lambda: True)
    monkeypatch.setattr(mixin.format("get_torch_distributed_rank"), lambda: 1)
    model, _ = tiny_model(QUICK, TASK, 0, tmp_path)
    assert (Path(model.name_or_path) / "model.safetensors").exists()


def test_a_new_recipe_empties_the_cache(tmp_path, count_builds, monkeypatch):
    tiny_model(QUICK, TASK, 0, tmp_path)
    monkeypatch.setattr(tiny, "RECIPE", tiny.RECIPE + 1)
    tiny_model(QUICK, TASK, 0, tmp_path)
    assert len(count_builds) == 2


def test_random_state_and_progress_bars_are_left_as_found(tmp_path):
    from transformers.utils import logging

    state, shown = torch.random.get_rng_state(), logging.is_progress_bar_enabled()
    made, _ = tiny_model(QUICK, TASK, 0, tmp_path)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert logging.is_progress_bar_enabled() is shown
    torch.manual_seed(99)  # and what it was before makes no difference to the weights
    other, _ = tiny_model(QUICK, TASK, 0, tmp_path / "other")
    assert torch.equal(weights(made), weights(other))


def test_several_at_once_make_one(tmp_path, count_builds):
    made = []
    threads = [
        threading.Thread(target=lambda: made.append(tiny_model(QUICK, TASK, 0, tmp_path)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 3
    assert len(count_builds) == 1


def test_an_interrupted_write_leaves_nothing_to_be_loaded(tmp_path, monkeypatch):
    from transformers import PreTrainedTokenizerFast

    def interrupt(self, *args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(PreTrainedTokenizerFast, "save_pretrained", interrupt)
        with pytest.raises(KeyboardInterrupt):
            tiny_model(QUICK, TASK, 0, tmp_path)
    assert folders(tmp_path) == []
    tiny_model(QUICK, TASK, 0, tmp_path)


def test_default_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("RLCONF_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_cache() == tmp_path / "own"
    monkeypatch.delenv("RLCONF_CACHE")
    assert default_cache() == tmp_path / "xdg" / "rlconf"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache() == tmp_path / ".cache" / "rlconf"


def test_the_default_cache_is_used(monkeypatch, tmp_path):
    monkeypatch.setenv("RLCONF_CACHE", str(tmp_path))
    tiny_model(QUICK, TASK, 0)
    assert len(folders(tmp_path)) == 1


def test_a_task_without_an_alphabet_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"'sort' has no alphabet.*model\.path="):
        tiny_model(QUICK, replace(TASK, alphabet=None), 0, tmp_path)


def test_a_task_without_demonstrations_needs_no_warm_start(tmp_path):
    silent = replace(TASK, demonstrate=None)
    with pytest.raises(ConfigError, match=r"model\.tiny\.warm_steps=0"):
        tiny_model(QUICK, silent, 0, tmp_path)
    tiny_model(replace(QUICK, warm_steps=0), silent, 0, tmp_path)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"layers": 0}, "layers=0: expected 1 or more"),
        ({"warm_steps": -1}, "warm_steps=-1: expected 0 or more"),
        ({"warm_lr": 0.0}, "warm_lr=0.0: expected more than 0"),
        ({"warm_beta2": 1.0}, "warm_beta2=1.0"),
        ({"hidden": 60}, "hidden=60, heads=4: expected a multiple of 2"),
    ],
)
def test_settings_out_of_range(settings, text):
    with pytest.raises(ValueError, match=text):
        TinySettings(**settings)
