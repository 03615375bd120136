"""Weights and gradients of a trainer, whole on every rank, however its model is shared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from transformers import TrainerCallback


def trained(trainer: Any) -> Iterator[tuple[str, Any]]:
    """The trained parameters by name; every rank must go through all of them."""
    model = trainer.accelerator.unwrap_model(trainer.model_wrapped)
    return ((name, one) for name, one in model.named_parameters() if one.requires_grad)


def whole_weights(trainer: Any) -> dict[str, Tensor]:
    """The trained weights, after a check that they are the same on all ranks to the bit."""
    weights = {}
    for name, one in trained(trainer):
        if isinstance(one, DTensor):
            weights[name] = one.full_tensor().detach()
        elif hasattr(one, "ds_id"):
            import deepspeed

            with deepspeed.zero.GatheredParameters([one]):
                weights[name] = one.detach().clone()
        else:
            weights[name] = one.detach().clone()
    check_same(trainer, weights)
    return weights


def check_same(trainer: Any, tensors: dict[str, Tensor]) -> None:
    """Compare the ranks' tensors."""
    for name, value in tensors.items():
        everywhere = trainer.accelerator.gather(value.reshape(1, -1))
        assert (everywhere == everywhere[0]).all(), f"ranks differ in {name}"


def whole_gradients(trainer: Any) -> dict[str, Tensor]:
    """The gradients, after the backward of an optimiser step and before its update."""
    found = {}
    for name, one in trained(trainer):
        if trainer.is_deepspeed_enabled:
            from deepspeed.utils import safe_get_full_grad

            gradient = safe_get_full_grad(one)
        else:
            gradient = one.grad
        if isinstance(gradient, DTensor):
            gradient = gradient.full_tensor()
        found[name] = torch.zeros_like(one) if gradient is None else gradient.detach().clone()
    check_same(trainer, found)
    return found


class FirstGradient(TrainerCallback):
    """Keeps the gradient of the first optimiser step in `found`."""

    def __init__(self) -> None:
        self.trainer: Any = None
        self.found: dict[str, Tensor] = {}

    def take(self) -> None:
        """Look at the gradient if it is the first."""
        self.found = self.found or whole_gradients(self.trainer)

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """DeepSpeed updates within its backward."""
        engine = self.trainer.model_wrapped
        if self.trainer.is_deepspeed_enabled and not self.found:
            engine.step = self._before(engine.step)

    def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
        """All others call the optimiser afterwards."""
        self.take()

    def _before(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*args: Any, **kwargs: Any) -> Any:
            self.take()
            return step(*args, **kwargs)

        return stepped
