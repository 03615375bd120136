"""What the maths asks of the other ranks.

A prompt's group may straddle ranks, so group statistics need a gather. Every rank makes the same
calls in the same order, whatever its data; a rank that skipped one would leave the others waiting.
"""

from typing import Protocol

from torch import Tensor


class Comm(Protocol):
    """Collectives over ranks that hold B rows each, in rank order."""

    def gather(self, x: Tensor) -> Tensor:
        """(B, ...) on each rank -> (world × B, ...), the same on all."""

    def local(self, x: Tensor) -> Tensor:
        """(world × B, ...) -> (B, ...), this rank's rows; no communication."""

    def min(self, x: Tensor) -> Tensor:
        """Smallest of the ranks' 0-D tensors."""

    def max(self, x: Tensor) -> Tensor:
        """Largest of the ranks' 0-D tensors."""


class OneProcess:
    """`Comm` where there is nobody to talk to: each call returns what it was given."""

    def gather(self, x: Tensor) -> Tensor:
        """(B, ...) -> (B, ...)."""
        return x

    def local(self, x: Tensor) -> Tensor:
        """(B, ...) -> (B, ...)."""
        return x

    def min(self, x: Tensor) -> Tensor:
        """A 0-D tensor, unchanged."""
        return x

    def max(self, x: Tensor) -> Tensor:
        """A 0-D tensor, unchanged."""
        return x


LOCAL: Comm = OneProcess()
