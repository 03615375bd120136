"""State as data: everything comes back as it was, and what cannot is told by its place."""

from __future__ import annotations

import json
import math
import random

import pytest
import torch

from rewards.errors import CheckpointError
from trainers import state as module
from trainers.state import Stateful, load_state, plain, save_state


def there_and_back(folder, state):
    save_state(folder, "rank-0", state)
    return load_state(folder, "rank-0")


def test_numbers_texts_and_nesting_come_back_with_their_types(tmp_path):
    state = {
        "counts": {"a": 1, "b": [True, None, "text", "lone surrogate \ud800 and \0"]},
        "tuple": (1, (2.5, "x"), []),
        "tiny": 5e-324,
        "third": 1 / 3,
        "big": 2**200,
        "empty": {},
    }
    found = there_and_back(tmp_path, state)
    assert found == state
    assert isinstance(found["tuple"], tuple)
    assert found["counts"]["b"][0] is True


def test_numbers_that_json_has_no_form_for(tmp_path):
    found = there_and_back(tmp_path, {"values": [math.nan, math.inf, -math.inf]})["values"]
    assert math.isnan(found[0])
    assert found[1:] == [math.inf, -math.inf]
    text = (tmp_path / "rank-0.json").read_text()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(6).reshape(2, 3).t(),  # not contiguous
        torch.zeros(0, 4),
        torch.tensor(3.0, requires_grad=True),  # no dimension
        torch.tensor([True, False]),
        torch.tensor([1.5, math.nan, math.inf], dtype=torch.bfloat16),
        torch.arange(3).expand(2, 3),  # rows share memory
    ],
)
def test_tensors_come_back_bit_for_bit(tmp_path, tensor):
    found = there_and_back(tmp_path, {"a": [tensor, {"b": tensor}]})["a"]
    for one in (found[0], found[1]["b"]):
        assert (one.dtype, one.shape, one.requires_grad) == (tensor.dtype, tensor.shape, False)
        assert torch.equal(one.nan_to_num(7), tensor.detach().nan_to_num(7))


def test_slices_of_one_tensor_come_back_apart(tmp_path):
    whole = torch.arange(8)
    found = there_and_back(tmp_path, {"slices": list(whole.split(4))})["slices"]
    found[0].zero_()
    assert found[1].tolist() == [4, 5, 6, 7]


def test_pythons_generator_goes_on_where_it_was(tmp_path):
    generator = random.Random(3)
    generator.random()
    state = there_and_back(tmp_path, {"random": generator.getstate()})
    expected = generator.random()
    generator.setstate(state["random"])
    assert generator.random() == expected


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ({"a": [1, {2}]}, "state at 'a.1': a set cannot be saved"),
        ({"a": {1: 2}}, "state at 'a': a key is text"),
        ({"$tensor": 1}, "state: a key is text without leading [$]"),
        ({"a": b"x"}, "a bytes cannot be saved"),
        ({"a": lambda: 0}, "a function cannot be saved"),
    ],
)
def test_what_has_no_form_is_refused_by_its_place(tmp_path, state, text):
    assert not plain(state)
    with pytest.raises(CheckpointError, match=text):
        save_state(tmp_path, "rank-0", state)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_or_torn_file_is_told_by_its_path(tmp_path):
    with pytest.raises(CheckpointError, match=r"rank-0.json cannot be read: .*No such file"):
        load_state(tmp_path, "rank-0")
    save_state(tmp_path, "rank-0", {"a": torch.zeros(2)})
    (tmp_path / "rank-0.safetensors").write_bytes(b"half")
    with pytest.raises(CheckpointError, match=r"rank-0.safetensors cannot be read"):
        load_state(tmp_path, "rank-0")
    (tmp_path / "rank-0.safetensors").unlink()
    with pytest.raises(CheckpointError, match="lacks the tensor 'a'"):
        load_state(tmp_path, "rank-0")


def test_a_full_disk_leaves_the_former_file(tmp_path, monkeypatch):
    save_state(tmp_path, "rank-0", {"a": torch.zeros(2)})

    def full(tensors, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(module, "save_file", full)
    with pytest.raises(CheckpointError, match=r"rank-0.safetensors cannot be written: .*No space"):
        save_state(tmp_path, "rank-0", {"a": torch.ones(2)})
    assert load_state(tmp_path, "rank-0")["a"].tolist() == [0.0, 0.0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rank-0.json", "rank-0.safetensors"]


def test_two_methods_make_a_part_stateful():
    class Part:
        def state_dict(self): ...

        def load_state_dict(self, state): ...

    assert isinstance(Part(), Stateful)
    assert not isinstance(object(), Stateful)
