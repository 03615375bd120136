"""Small decisions of a resume. Whole runs: tests/invariant and tests/e2e."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
from accelerate.data_loader import BatchSamplerShard, DataLoaderShard, skip_first_batches
from PIL import Image
from torch.utils.data import BatchSampler

from rewards.errors import CheckpointError
from trainers import resume
from trainers.online import OnlineTrainer
from trainers.resume import Resumption, is_sharded
from trainers.sampler import ResumableRepeatSampler
from trainers.state import load_state, save_state


@pytest.mark.parametrize(
    ("stage", "fsdp", "sharded"),
    [(None, False, False), (2, False, False), (3, False, True), (None, True, True)],
)
def test_only_zero_3_and_fsdp_take_the_model_apart(stage, fsdp, sharded):
    plugin = SimpleNamespace(zero_stage=stage)
    trainer = SimpleNamespace(
        is_deepspeed_enabled=stage is not None,
        is_fsdp_enabled=fsdp,
        accelerator=SimpleNamespace(state=SimpleNamespace(deepspeed_plugin=plugin)),
    )
    assert is_sharded(trainer) is sharded


def test_the_sampler_hears_its_epoch_behind_a_resumed_loader_of_two_ranks():
    """Accelerate's skipping loader reaches it on one rank and not on two."""

    def loader(ranks: int) -> tuple[DataLoaderShard, ResumableRepeatSampler]:
        sampler = ResumableRepeatSampler(range(8), mini_repeat_count=2, batch_size=2, seed=1)
        batches = BatchSampler(sampler, batch_size=2, drop_last=False)
        if ranks > 1:
            batches = BatchSamplerShard(batches, num_processes=ranks, process_index=0)
        return DataLoaderShard(range(8), batch_sampler=batches), sampler

    for ranks, heard in ((1, 2), (2, 0)):
        whole, sampler = loader(ranks)
        skip_first_batches(whole, 1).set_epoch(2)
        assert sampler._epoch == heard

    trainer = SimpleNamespace(train_sampler=sampler)
    Resumption(trainer).on_epoch_begin(None, SimpleNamespace(epoch=2.25), None)
    assert sampler._epoch == 2


@pytest.fixture
def trainer(make_model, tokenizer, grpo_config, prompts, digit_reward):
    def build(folder, **settings):
        return OnlineTrainer(
            make_model(),
            [digit_reward],
            args=grpo_config(
                output_dir=str(folder), num_iterations=2, save_strategy="steps", **settings
            ),
            train_dataset=prompts,
            processing_class=tokenizer,
        )

    return build


def test_on_another_number_of_ranks_the_begun_batch_is_sampled_again(trainer, tmp_path):
    trainer(tmp_path, max_steps=1, save_steps=1).train()
    folder = tmp_path / "checkpoint-1" / "rlconf_state"
    shared = load_state(folder, "shared")
    shared["looks"]["layout"] |= {"processes": 2, "per_device_train_batch_size": 8}
    save_state(folder, "shared", shared)

    alone = trainer(tmp_path, max_steps=2, save_steps=2)
    alone.train(resume_from_checkpoint=True)

    assert alone.generation == 2  # on the same layout step 2 trains on generation 1
    assert alone._step == 2


def test_changed_weights_of_other_rewards_are_refused(trainer, tmp_path):
    built = trainer(tmp_path, max_steps=1, save_steps=1)
    built.reward_weights = torch.tensor([0.5])
    built.train()
    folder = tmp_path / "checkpoint-1" / "rlconf_state"
    shared = load_state(folder, "shared")
    assert shared["reward_weights"] == {"names": ["digit"], "weights": torch.tensor([0.5])}
    save_state(folder, "shared", {**shared, "reward_weights": {"names": ["a"], "weights": None}})
    with pytest.raises(CheckpointError, match="changed weights of the rewards a; now they are dig"):
        trainer(tmp_path, max_steps=2).train(resume_from_checkpoint=True)


def test_what_is_no_data_is_left_out_of_the_tables(trainer, tmp_path):
    """An image in a prompt must not cost the run its checkpoint."""
    built = trainer(tmp_path, max_steps=1, save_steps=1, log_completions=True)
    picture = Image.new("RGB", (2, 2))
    built._logs["prompt"].append([{"role": "user", "content": [{"image": picture}]}])
    built._logs["extra"]["fine"].append(1)
    built._logs["extra"]["odd"].append({1, 2})
    tables = resume._tables(built)
    assert "prompt" not in tables
    assert tables["extra"] == {"fine": [1]}
    json.dumps(tables)
