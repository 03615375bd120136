"""A scorer's fingerprint changes with whatever changes scores, and with nothing else."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import torch

from data.solutions import scorer_fingerprint
from data.solutions.fingerprint import parameters_digest, weights_stamp

HOW = {"locator": "boxed", "aggregate": "mean", "span": "overlap"}


def test_it_is_json_and_depends_on_weights_template_and_settings(make_model, tokenizer) -> None:
    model = make_model(seed=3)
    first = scorer_fingerprint(model, tokenizer, **HOW)
    assert json.loads(json.dumps(first)) == first
    assert set(first) == {
        "model",
        "weights",
        "parameters_sha256",
        "chat_template_sha256",
        "dtype",
        "locator",
        "aggregate",
        "span",
    }
    assert first["weights"] is not None
    assert first["dtype"] == "float32"
    assert scorer_fingerprint(model, tokenizer, **HOW) == first
    copied = make_model(seed=3)  # the same weights in another folder
    assert (
        scorer_fingerprint(copied, tokenizer, **HOW)["parameters_sha256"]
        == first["parameters_sha256"]
    )
    with torch.no_grad():
        copied.model.norm.weight.add_(1e-4)
    changed = {
        "parameters_sha256": scorer_fingerprint(copied, tokenizer, **HOW),
        "dtype": scorer_fingerprint(make_model(seed=3).bfloat16(), tokenizer, **HOW),
        "span": scorer_fingerprint(model, tokenizer, **(HOW | {"span": "strict"})),
    }
    for key, other in changed.items():
        assert other[key] != first[key]


def test_an_adapter_changes_it(make_model, tokenizer) -> None:
    from peft import LoraConfig, get_peft_model

    base = make_model(seed=3)
    plain = scorer_fingerprint(base, tokenizer, **HOW)["parameters_sha256"]
    lora = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    adapted = get_peft_model(base, lora)
    before = scorer_fingerprint(adapted, tokenizer, **HOW)["parameters_sha256"]
    with torch.no_grad():
        next(p for n, p in adapted.named_parameters() if "lora_B" in n).add_(1e-3)
    after = scorer_fingerprint(adapted, tokenizer, **HOW)["parameters_sha256"]
    assert len({plain, before, after}) == 3


def test_a_hub_id_has_no_stamp() -> None:
    assert weights_stamp("owner/name") is None


def test_what_zero_3_has_spread_is_put_together_first(make_model, monkeypatch) -> None:
    """A rank holds parts, whose numbers say nothing of the model."""
    model = make_model(seed=3)
    whole = parameters_digest(model)
    kept = {}
    for number, parameter in enumerate(model.parameters()):
        kept[id(parameter)], parameter.ds_id = parameter.data, number
        parameter.data = torch.empty(0)

    @contextmanager
    def gathered(parameters: list[torch.nn.Parameter]) -> Iterator[None]:
        for one in parameters:
            one.data = kept[id(one)]
        yield
        for one in parameters:
            one.data = torch.empty(0)

    zero = SimpleNamespace(GatheredParameters=gathered)
    monkeypatch.setitem(sys.modules, "deepspeed", SimpleNamespace(zero=zero))
    assert parameters_digest(model) == whole
    assert all(parameter.numel() == 0 for parameter in model.parameters())
