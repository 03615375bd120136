"""The trainers under their methods' names: thin compositions for people who write Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainers.curriculum import Curriculum, CurriculumSettings
from trainers.maths.ucas import UCASSettings
from trainers.online import OnlineTrainer
from trainers.replay.settings import ReplaySettings
from trainers.shapers import Shaper
from trainers.shapers import get as get_shaper

_TOOL_REWARDS = ("tool_calls", "tool_calls_flat")


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


class SPEARTrainer(OnlineTrainer):
    """GRPO with SPEAR's self-imitation replay (arXiv 2509.22601), and its decaying tool reward.

    Its base recipe, Dr.BoT, is `filters=[make_filter("overlong"), ...]`, and in TRL's arguments
    loss_type="dr_grpo", scale_rewards="none", beta=0, epsilon_high=0.28.

    Args:
        replay: settings; by default those of `ReplaySettings`.
        tool_decay: generations over which the weight of the rewards `tool_calls` and
            `tool_calls_flat` falls to 0, if they are among the reward functions. None: it stays.
    """

    def __init__(
        self,
        *args: Any,
        replay: ReplaySettings | None = None,
        tool_decay: float | None = 200,
        **kwargs: Any,
    ) -> None:
        given = kwargs.get("reward_funcs", args[1] if len(args) > 1 else [])
        functions = given if isinstance(given, list | tuple) else [given]
        decays = dict(kwargs.pop("reward_decay", None) or {})
        for name in {getattr(one, "__name__", None) for one in functions} & set(_TOOL_REWARDS):
            if tool_decay is not None:
                decays.setdefault(name, tool_decay)
        super().__init__(*args, replay=replay or ReplaySettings(), reward_decay=decays, **kwargs)


class STaRTrainer(OnlineTrainer):
    """GRPO with STaR's difficulty-aware curriculum (arXiv 2511.11233).

    Args:
        curriculum: settings; by default both stages in this training. For the paper's learning
            rates train twice, with `stage="easy"` and then, from those weights, `stage="hard"`.
        pass_rates: by the rows' `id`, such as `data.difficulty.read_difficulty(PATH)`.
    """

    def __init__(
        self,
        *args: Any,
        curriculum: CurriculumSettings | None = None,
        pass_rates: Mapping[str, float | None] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, curriculum=Curriculum(curriculum, pass_rates), **kwargs)
