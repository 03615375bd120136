"""What is wrong with a model or an adapter, said before anything loads."""

import dataclasses
import sys
import types

import pytest

from rlconf.building.policy import _build_quantization
from rlconf.settings.check import check
from rlconf.settings.compose import compose
from rlconf.settings.schema import Config, PeftSection


@pytest.fixture(scope="module")
def base() -> Config:
    return compose(["model.path=some/model"])


def model(config: Config, **changes) -> str:
    changed = dataclasses.replace(config.model, **changes)
    return " | ".join(p.text for p in check(dataclasses.replace(config, model=changed)))


def peft(config: Config, **changes) -> str:
    changed = dataclasses.replace(config, peft=PeftSection(**changes))
    return " | ".join(problem.text for problem in check(changed))


def test_one_model_is_chosen(base: Config):
    assert "no model is chosen" in model(base, path=None)
    for name in ("tiny", "smollm2"):
        assert f"model.name={name} and model.path=some/model" in model(base, name=name)


def test_attention(base: Config, monkeypatch: pytest.MonkeyPatch):
    assert model(base, attn_implementation="sdpa") == ""
    assert model(base, attn_implementation="kernels-community/flash-attn2") == ""
    assert "did you mean sdpa?" in model(base, attn_implementation="spda")
    monkeypatch.setattr("rlconf.settings.check_model.is_installed", lambda package: False)
    text = model(base, attn_implementation="flash_attention_2")
    assert "needs the package flash_attn" in text
    assert "or take sdpa" in text


def test_a_chat_template_that_is_not_there(base: Config):
    assert "model.chat_template=no.jinja: there is no such file" in model(
        base, chat_template="no.jinja"
    )


def test_qlora_says_what_the_machine_lacks(base: Config, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("rlconf.settings.check_model.is_installed", lambda package: False)
    text = peft(base, quantize="nf4")
    assert text == (
        "peft.quantize=nf4 (QLoRA) needs a CUDA device and the package bitsandbytes "
        "(pip install 'rlconf[qlora]'), not to be had on this machine: use peft=lora here"
    )
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert "needs the package bitsandbytes" in peft(base, quantize="nf4")
    monkeypatch.setattr("rlconf.settings.check_model.is_installed", lambda package: True)
    assert peft(base, quantize="nf4") == ""
    assert "model=tiny" in peft(compose([]), quantize="nf4")


def test_qlora_is_what_its_paper_says(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("rlconf.settings.check_model._lacks_for_4_bit", lambda: "")
    # transformers asks for the version of bitsandbytes, which is not installed here.
    monkeypatch.setitem(sys.modules, "bitsandbytes", types.ModuleType("bitsandbytes"))
    config = compose(["peft=qlora", "model.path=some/model"])
    made = _build_quantization(config.peft)
    assert made.load_in_4bit
    assert made.bnb_4bit_quant_type == "nf4"
    assert made.bnb_4bit_use_double_quant
    assert str(made.bnb_4bit_compute_dtype) == "torch.bfloat16"
    assert (config.peft.r, config.peft.target_modules) == (16, "all-linear")
    assert _build_quantization(PeftSection()) is None
    assert _build_quantization(None) is None
