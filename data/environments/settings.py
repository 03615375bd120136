"""Which environment a run is played in, and within which limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from data.environments.base import EnvironmentSpec, get, make_environment, make_settings
from data.environments.play import Episode, Limits
from data.environments.pool import Pool
from data.environments.wording import Wording
from data.tools.results import ResultLimits
from data.turns import last_turn
from rewards.errors import ConfigError


@dataclass(frozen=True)
class EnvironmentSettings:
    """A registered environment with its options, and the limits that all text environments have.

    Attributes:
        name: The registered name.
        options: Of the environment itself, by name.
        max_turns: Most turns of an episode. None: as the environment is registered.
        max_turn_tokens: Most tokens of a turn of the model. None: likewise.
        timeout: Seconds that a call of the environment may take.
        max_characters: Of an observation; longer ones lose their middle.

    Raises:
        ConfigError: An unknown name or option, or a value out of range.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    max_turns: int | None = None
    max_turn_tokens: int | None = None
    timeout: float = 10.0
    max_characters: int = 4000

    def __post_init__(self) -> None:
        """Check names and ranges."""
        make_settings(self.spec, self.options)
        for limit in ("max_turns", "max_turn_tokens"):
            value = getattr(self, limit)
            if value is not None and value < 1:
                raise ConfigError(f"{limit}={value}: expected 1 or more, or null")
        ResultLimits(self.timeout, self.max_characters)

    @property
    def spec(self) -> EnvironmentSpec:
        """What is registered."""
        return get(self.name)

    def make(self) -> Any:
        """An instance of the environment."""
        return make_environment(self.name, self.options)

    def pool(self) -> Pool:
        """Instances to play with, none made yet."""
        return Pool(
            self.make,
            f"environment {self.name!r}",
            ResultLimits(self.timeout, self.max_characters),
        )

    def wording(
        self, tokenizer: Any, ends: Sequence[int], template_kwargs: Mapping[str, Any] | None = None
    ) -> Wording:
        """How prompts and observations become tokens."""
        return Wording(tokenizer, ends, template_kwargs)

    def columns(self, episode: Episode) -> dict[str, float]:
        """What rewards may read of an episode."""
        return {name: float(value) for name, value in episode.columns.items()}

    def text(self, wording: Wording, episode: Episode) -> str:
        """What rewards read as the completion: the model's last turn."""
        begin, end = last_turn(episode.completion_ids, episode.env_mask, wording.ends)
        return wording.turn(episode.completion_ids[begin:end])

    def limits(self, max_tokens: int, max_context: int | None = None) -> Limits:
        """The limits of an episode.

        Args:
            max_tokens: Of a completion, observations included.
            max_context: That the model can read.
        """
        turn = self.max_turn_tokens or self.spec.max_turn_tokens or max_tokens
        return Limits(self.max_turns or self.spec.max_turns, turn, max_tokens, max_context)
