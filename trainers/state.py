"""State as data: what a part keeps between steps, saved as JSON and safetensors, never pickled.

A part that must survive a restart (a curriculum, a replay buffer, a schedule that adapts) is a
`Stateful`: two methods that give and take a `State`. `OnlineTrainer.stateful` holds them by name;
it saves each rank's states in every checkpoint and gives them back before the first batch is
drawn.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from rewards.errors import CheckpointError
from trainers.files import replacing, write_text

__all__ = ["State", "Stateful", "load_state", "plain", "save_state"]

State = dict[str, Any]
"""Nested dicts (text keys), lists and tuples of tensors, numbers, texts, booleans and None."""

# How JSON holds what it has no form for: {"$tensor": name}, {"$tuple": [...]}, {"$float": "nan"}.
_TENSOR, _TUPLE, _FLOAT = "$tensor", "$tuple", "$float"


@runtime_checkable
class Stateful(Protocol):
    """What has a state to be saved.

    A class whose state differs between ranks sets `per_rank = True`; a run with another number of
    ranks then refuses the checkpoint instead of losing or doubling what the ranks held.
    """

    def state_dict(self) -> State:
        """Everything needed to go on from here."""

    def load_state_dict(self, state: State) -> None:
        """Go on from `state`, an earlier `state_dict()`; tensors come on the CPU."""


def save_state(folder: Path, name: str, state: State) -> None:
    """Write ``NAME.json``, and ``NAME.safetensors`` if there are tensors; each whole or not at all.

    Args:
        folder: exists already.
        name: stem of the two files.
        state: tensors may lie on any device, share memory and be views; they come back apart.

    Raises:
        CheckpointError: a value has no form as data, or a file cannot be written.
    """
    tensors: dict[str, torch.Tensor] = {}
    tree = _encode(state, "", tensors)
    path = folder / f"{name}.safetensors"
    try:
        if tensors:
            with replacing(path) as draft:
                save_file(tensors, draft)
        path = folder / f"{name}.json"
        write_text(path, json.dumps(tree, allow_nan=False))
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be written: {error}") from error


def load_state(folder: Path, name: str) -> State:
    """What `save_state` wrote, tensors on the CPU.

    Raises:
        CheckpointError: a file is missing or cannot be read.
    """
    path = folder / f"{name}.json"
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        path = folder / f"{name}.safetensors"
        tensors = load_file(path) if path.exists() else {}
        state: State = _decode(tree, tensors)
    except KeyError as error:
        raise CheckpointError(f"{path} lacks the tensor {error}") from error
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    return state


def plain(value: Any) -> bool:
    """Whether `save_state` can save the value."""
    try:
        _encode(value, "", {})
    except CheckpointError:
        return False
    return True


def _encode(value: Any, path: str, tensors: dict[str, torch.Tensor]) -> Any:
    """The value as JSON; its tensors are put into `tensors` under their paths."""
    if isinstance(value, torch.Tensor):
        # A copy of its own: safetensors refuses tensors that share memory, as slices do.
        copy = value.detach().to("cpu", copy=True)
        tensors[path] = copy.clone(memory_format=torch.contiguous_format)
        return {_TENSOR: path}
    if isinstance(value, dict):
        wrong = [key for key in value if not isinstance(key, str) or key.startswith("$")]
        if wrong:
            raise CheckpointError(
                f"{_place(path)}: a key is text without leading $, not {wrong[0]!r}"
            )
        return {key: _encode(part, _join(path, key), tensors) for key, part in value.items()}
    if isinstance(value, list | tuple):
        parts = [_encode(part, _join(path, str(i)), tensors) for i, part in enumerate(value)]
        return {_TUPLE: parts} if isinstance(value, tuple) else parts
    if isinstance(value, float):  # numpy's float64 is one too
        return float(value) if math.isfinite(value) else {_FLOAT: repr(float(value))}
    if value is None or isinstance(value, bool | int | str):
        return value
    raise CheckpointError(
        f"{_place(path)}: a {type(value).__name__} cannot be saved; a state holds dicts, lists, "
        "tuples, tensors, int, float, str, bool and None"
    )


def _decode(tree: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(tree, list):
        return [_decode(part, tensors) for part in tree]
    if not isinstance(tree, dict):
        return tree
    if _TENSOR in tree:
        return tensors[tree[_TENSOR]]
    if _TUPLE in tree:
        return tuple(_decode(part, tensors) for part in tree[_TUPLE])
    if _FLOAT in tree:
        return float(tree[_FLOAT])
    return {key: _decode(part, tensors) for key, part in tree.items()}


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _place(path: str) -> str:
    return f"state at {path!r}" if path else "state"
