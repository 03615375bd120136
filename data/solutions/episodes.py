"""Solutions that are episodes: what the model writes is drawn as `sample` draws, turn by turn."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from data.environments.play import Episode, Turn, play
from data.environments.settings import EnvironmentSettings
from data.solutions.solution import Solution
from data.tasks import Row
from data.tools.episodes import ToolUse

_log = logging.getLogger(__name__)

Drawn = tuple[list[int], list[float], list[float]]
"""Token ids of a completion, their log-probs and the entropies where they were drawn."""

Write = Callable[[list[list[int]], int, Tensor | None], list[Drawn]]
"""`f(contexts, most, numbers) -> completions` of at most so many tokens, numbers (B, most) or None:
then the likeliest tokens."""


class Stage:
    """Where a model's solutions are played.

    Args:
        environment: With its limits; or tools.
        tokenizer: Of the model.
        ends: Token ids that end a turn.
        max_tokens: Of a completion, observations included.
        max_context: That the model can read. None: no limit.
        template_kwargs: For the chat template.
    """

    def __init__(
        self,
        environment: EnvironmentSettings | ToolUse,
        tokenizer: Any,
        ends: Sequence[int],
        *,
        max_tokens: int,
        max_context: int | None,
        template_kwargs: Any = None,
    ) -> None:
        self._name = environment.name
        self._environment = environment
        self._pool: Any = environment.pool()
        self._limits = environment.limits(max_tokens, max_context)
        self._wording = environment.wording(tokenizer, ends, template_kwargs)
        self.failed = 0

    def solve(
        self,
        write: Write,
        rows: Sequence[Row],
        indices: Sequence[int],
        numbers: Tensor | None,
    ) -> list[Solution]:
        """Play a solution of each row.

        Args:
            write: Draws turns.
            rows: B questions.
            indices: B numbers of the solutions.
            numbers: (B, max_tokens) random numbers of each solution; a token's is that of its place
                in the completion. None: the likeliest tokens.
        """
        prompt_lengths: dict[int, int] = {}

        def turns(at: Sequence[int], contexts: Sequence[list[int]], most: int) -> list[Turn]:
            drawn = None
            if numbers is not None:
                for one, context in zip(at, contexts, strict=True):
                    prompt_lengths.setdefault(one, len(context))
                first = [len(c) - prompt_lengths[one] for one, c in zip(at, contexts, strict=True)]
                # Beyond the last place a turn is cut, whatever was drawn there.
                places = torch.tensor(first)[:, None] + torch.arange(most)
                drawn = numbers[list(at)].gather(1, places.clamp(max=numbers.shape[1] - 1))
            return [Turn(*one) for one in write(list(contexts), most, drawn)]

        episodes = play(turns, rows, self._pool, self._wording, self._limits)
        broken = [one for one in episodes if one.failed is not None]
        if broken and not self.failed:
            _log.warning(
                "environment %r broke in %d of %d episodes, which get reward 0; row %r: %s",
                self._name,
                len(broken),
                len(episodes),
                broken[0].row.get("id"),
                broken[0].failed,
            )
        self.failed += len(broken)
        return [self._solution(*one) for one in zip(episodes, indices, strict=True)]

    def close(self) -> None:
        """End the use of the environments."""
        self._pool.close()

    def _solution(self, episode: Episode, index: int) -> Solution:
        row = episode.row
        return Solution(
            question_id=str(row["id"]),
            index=index,
            prompt_ids=episode.prompt_ids,
            completion_ids=episode.completion_ids,
            text=self._environment.text(self._wording, episode),
            finish="stop" if episode.done else "length",
            log_probs=episode.log_probs,
            entropy=episode.entropy,
            gold=None if row.get("answer") is None else str(row["answer"]),
            level=row.get("level"),
            mask=episode.env_mask,
            played=self._environment.columns(episode),
        )
