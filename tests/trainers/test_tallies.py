"""What parts have to log over all ranks is gathered once a step, and logged with that step."""

from __future__ import annotations

import sys
from typing import Any

import torch

from trainers import OnlineTrainer, ReplaySettings, make_shaper
from trainers.comm import AcceleratorComm
from trainers.maths.tally import share_tally
from trainers.shapers.base import Shaper


def test_one_gather_a_step_whatever_the_parts(
    make_model, tokenizer, grpo_config, prompts, digit_reward, monkeypatch
) -> None:
    """Four micro-batches a step, UCAS, clip_cov, the replay and a shaper of one's own."""

    def own(batch: Any, signals: Any, settings: Any) -> torch.Tensor:
        batch.tallies.append(share_tally("own/share", torch.tensor([1, 2])))
        return batch.advantages

    trainer = OnlineTrainer(
        model=make_model(),
        reward_funcs=digit_reward,
        args=grpo_config(
            per_device_train_batch_size=4, gradient_accumulation_steps=4, scale_rewards="none"
        ),
        train_dataset=prompts,
        processing_class=tokenizer,
        shapers=[make_shaper("ucas"), make_shaper("clip_cov"), Shaper("own", own, (), None)],
        replay=ReplaySettings(warm_up=0, min_groups=1),
    )
    gathered: list[tuple[str, int]] = []
    gather = AcceleratorComm.gather

    def counted(self: Any, x: torch.Tensor) -> torch.Tensor:
        caller = sys._getframe(1).f_code.co_name
        gathered.append((caller, trainer.state.global_step))
        return gather(self, x)

    monkeypatch.setattr(AcceleratorComm, "gather", counted)
    trainer.train()
    assert [step for caller, step in gathered if caller == "settle"] == [1, 2, 3]
    # What else is gathered decides something: UCAS's groups, which rows are replayed.
    assert {caller for caller, _ in gathered} == {"settle", "ucas_parts", "_draw", "max"}
    logged = [entry for entry in trainer.state.log_history if "own/share" in entry]
    assert len(logged) == 3
    assert all(entry["own/share"] == 0.5 for entry in logged)
    names = set().union(*logged)
    assert {"ucas/confidence/mean", "clip_cov/share", "spear/weight", "spear/loss"} <= names
