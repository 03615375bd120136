"""TRL's supervised fine-tuning with the guards of `trainers.guarded`."""

from __future__ import annotations

from trl import SFTTrainer

from trainers.guarded import KeepsBatches


class GuardedSFT(KeepsBatches, SFTTrainer):
    """`trl.SFTTrainer`; takes what that takes, and `finite` and `phase` of `GuardedTrainer`."""
