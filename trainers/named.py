"""The trainers under their methods' names: thin compositions for people who write Python."""

from __future__ import annotations

from typing import Any

from trainers.maths.ucas import UCASSettings
from trainers.online import OnlineTrainer
from trainers.shapers import Shaper
from trainers.shapers import get as get_shaper


class UCASTrainer(OnlineTrainer):
    """GRPO with uncertainty-aware advantage shaping (UCAS, arXiv 2510.10649).

    Args:
        ucas: settings; by default those of the paper's text, v1.
        shapers: further shapers, run after UCAS.
    """

    def __init__(
        self,
        *args: Any,
        ucas: UCASSettings | None = None,
        shapers: tuple[Shaper, ...] = (),
        **kwargs: Any,
    ) -> None:
        spec = get_shaper("ucas")
        part = Shaper(spec.name, spec.function, spec.needs, ucas or UCASSettings())
        super().__init__(*args, shapers=[part, *shapers], **kwargs)
