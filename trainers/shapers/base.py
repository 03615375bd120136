"""What a shaper is, what it is given, and the registry of names.

A shaper turns advantages into per-token advantages:

    @shaper("name", needs=("certainty",), settings=MySettings)
    def my_shaper(batch: ShaperBatch, signals: Signals, settings: MySettings) -> Tensor:  # (B, T)

`needs` names the signals that the trainer computes for it, among `SIGNALS`; a shaper that needs
none costs no forward. Shapers run as listed, each on the result of the one before.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from rewards.errors import ConfigError
from rewards.options import NoSettings, check_settings_class
from rewards.registry import Registry, place_of
from trainers.maths.comm import Comm
from trainers.maths.tally import Tally
from trainers.settings import make_settings
from trainers.signals import Signals

SIGNALS = ("certainty", "chosen_logit", "log_prob")


@dataclasses.dataclass
class ShaperBatch:
    """One training rollout batch on this rank, before it is split into micro-batches.

    Attributes:
        advantages: (B,) as TRL normalised them, or (B, T) once a shaper has run.
        base_advantages: (B,) as TRL normalised them.
        mask: (B, T) bool, tokens the policy generated; padding and tool output are False.
        completion_ids: (B, T).
        rewards: (world * B,) per reward name, gathered over ranks, NaN where missing.
        group_id: (B,) index of the prompt's group over the gathered batch; it may straddle ranks.
        num_generations: G.
        mode: "train"; in evaluation no shaper runs.
        comm: collectives over ranks. Every rank must make the same calls whatever its data.
        metrics: what the shaper puts here is logged under the same name; equal on all ranks.
        tallies: what it puts here becomes metrics once all ranks' shares are known, by a collective
            that all parts of the trainer share.
        columns: (B,) tensors for the rollout log, by name.
    """

    advantages: Tensor
    base_advantages: Tensor
    mask: Tensor
    completion_ids: Tensor
    rewards: Mapping[str, Tensor]
    group_id: Tensor
    num_generations: int
    mode: str
    comm: Comm
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    tallies: list[Tally] = dataclasses.field(default_factory=list)
    columns: dict[str, Tensor] = dataclasses.field(default_factory=dict)

    @property
    def scored(self) -> Tensor:
        """(B,) bool, False where every reward function returned None."""
        missing = torch.stack([values.isnan() for values in self.rewards.values()]).all(dim=0)
        return ~self.comm.local(missing)


ShaperFunction = Callable[[ShaperBatch, Any, Any], Tensor]
"""`f(batch, signals, settings) -> (B, T)`; `signals` is `Signals`, or None if it needs none."""


@dataclasses.dataclass(frozen=True)
class ShaperSpec:
    """A registered shaper: its function, the signals it needs, the dataclass of its settings."""

    name: str
    function: ShaperFunction
    needs: tuple[str, ...]
    settings: type


@dataclasses.dataclass(frozen=True)
class Shaper:
    """A shaper with its settings, ready to be given to `OnlineTrainer(shapers=[...])`."""

    name: str
    function: ShaperFunction
    needs: tuple[str, ...]
    settings: Any

    def __call__(self, batch: ShaperBatch, signals: Signals | None) -> Tensor:
        """The shaped advantages, (B, T)."""
        shaped = self.function(batch, signals, self.settings)
        if shaped.shape != batch.mask.shape:
            raise ConfigError(
                f"shaper '{self.name}' returned advantages of shape {tuple(shaped.shape)}; "
                f"expected one per token, {tuple(batch.mask.shape)}"
            )
        return shaped

    @property
    def certainty_temperature(self) -> float | None:
        """Temperature of the certainty it asks for; None: that of sampling, or it asks for none."""
        if "certainty" not in self.needs:
            return None
        wanted = getattr(self.settings, "confidence_temperature", "sampling")
        return None if wanted == "sampling" else float(wanted)


_SHAPERS: Registry[ShaperSpec] = Registry("shaper")


def shaper(
    name: str, *, needs: tuple[str, ...] = (), settings: type = NoSettings
) -> Callable[[ShaperFunction], ShaperFunction]:
    """Register a shaper under `name`.

    Args:
        name: what `shaper=[name]` on the command line finds.
        needs: signals to compute, among `SIGNALS`.
        settings: a dataclass; its fields are the keys of `shaper.<name>` in the config.

    Raises:
        ConfigError: the name is taken, a needed signal does not exist, `settings` is no dataclass.
    """
    unknown = [signal for signal in needs if signal not in SIGNALS]
    if unknown:
        raise ConfigError(f"shaper '{name}' needs {unknown}; signals are: {', '.join(SIGNALS)}")
    check_settings_class("shaper", name, settings)

    def register(function: ShaperFunction) -> ShaperFunction:
        spec = ShaperSpec(name, function, tuple(needs), settings)
        _SHAPERS.register(name, spec, place=place_of(function))
        return function

    return register


def get(name: str) -> ShaperSpec:
    """The registered shaper; ConfigError with the nearest name otherwise."""
    return _SHAPERS.get(name)


def names() -> tuple[str, ...]:
    """All registered shapers."""
    return _SHAPERS.names()


def make_shaper(name: str, **options: Any) -> Shaper:
    """The shaper with settings from keyword options, defaults elsewhere.

    Raises:
        ConfigError: unknown name or option, or a value the settings refuse.
    """
    spec = get(name)
    settings = make_settings(spec.settings, options, f"shaper.{name}")
    return Shaper(name, spec.function, spec.needs, settings)
