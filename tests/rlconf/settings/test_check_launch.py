"""What `launch` rules out before anything is started."""

from __future__ import annotations

import pytest

from rlconf.settings import check_launch as checks
from rlconf.settings.compose import compose
from rlconf.settings.schema import Config, LaunchSection


def said(distribution: str | None, **trainer: object) -> list[str]:
    config = Config(launch=LaunchSection(distribution=distribution), trainer=trainer)
    config.guard.nan = str(trainer.pop("nan", "stop"))
    return [problem.text for problem in checks.check_launch(config, 2)]


@pytest.mark.parametrize(
    ("distribution", "trainer", "parts"),
    [
        ("zero3", {"use_cpu": True}, ["launch.distribution=zero3", "use_cpu", "leave one out"]),
        ("fsdp2", {"use_cpu": True}, ["launch.distribution=fsdp2", "use_cpu", "leave one out"]),
        ("zero1", {"nan": "skip"}, ["guard.nan=skip", "zero1", "guard.nan=stop"]),
    ],
)
def test_what_cannot_be_together(monkeypatch, distribution, trainer, parts):
    monkeypatch.setattr(checks, "is_installed", lambda package: True)
    (text,) = said(distribution, **trainer)
    assert all(part in text for part in parts)


def test_deepspeed_has_to_be_installed(monkeypatch):
    monkeypatch.setattr(checks, "is_installed", lambda package: package != "deepspeed")
    assert said("fsdp2") == said("ddp", nan="skip") == said(None, use_cpu=True) == []
    (text,) = said("zero2")
    assert text.endswith("needs the package deepspeed: pip install 'rlconf[deepspeed]'")


@pytest.mark.parametrize("name", ["ddp", "zero1", "zero2", "zero3", "fsdp2"])
def test_every_choice_names_what_it_asks_for(monkeypatch, name):
    monkeypatch.setattr(checks, "is_installed", lambda package: True)
    launch = compose([f"launch={name}"]).launch
    assert (launch.name, launch.distribution) == (name, name)


def test_fsdp_is_switched_on_by_true():
    """What `torchrun` starts has no variables, so the trainer's settings say it."""
    config = compose(["launch=fsdp2", "trainer.fsdp=true"])
    assert config.trainer["fsdp"] is True
