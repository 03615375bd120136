"""Rules on `launch`, as far as they show before anything is started."""

from __future__ import annotations

from collections.abc import Iterator

from rlconf.settings.problems import Problem, is_installed
from rlconf.settings.schema import Config

__all__ = ["check_launch"]


def check_launch(config: Config, ranks: int) -> Iterator[Problem]:
    """What the launch asks for against the other settings; DeepSpeed's package.

    Args:
        config: composed.
        ranks: processes, as far as is known.
    """
    shared = config.launch.distribution
    if config.launch.name == "single" and ranks != 1:
        text = f"launch=single and launch.processes={ranks}: use launch=ddp"
        yield Problem(text, ("launch.processes",))
    if shared in (None, "none", "ddp"):
        return
    if config.trainer.get("use_cpu"):
        text = f"launch.distribution={shared} and trainer.use_cpu=true, which switches it off "
        text += "without a word: leave one out"
        yield Problem(text, ("launch.distribution", "trainer.use_cpu"))
    if str(shared).startswith("fsdp"):
        return
    if not is_installed("deepspeed"):
        text = f"launch.distribution={shared} needs the package deepspeed: "
        text += "pip install 'rlconf[deepspeed]'"
        yield Problem(text, ("launch.distribution",))
    if config.guard.nan == "skip":
        text = f"guard.nan=skip and launch.distribution={shared}: DeepSpeed applies gradients "
        text += "before they can be looked at; set guard.nan=stop"
        yield Problem(text, ("guard.nan",))
