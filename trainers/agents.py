"""Text environments in training: TRL's `rollout_func` from an environment of ours.

TRL generates, one turn at a time, with the method that it uses for its own tools
(`_generate_single_turn`), so that every engine and way of sharding it has works here too; the turns
are played by `data.environments.play`. What the environment says is masked, so it stays out of the
loss and of everything that reads TRL's mask of tools: signals, shapers, replay.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from data.environments.play import COLUMNS, Episode, Turn, play
from data.environments.settings import EnvironmentSettings
from data.environments.wording import Wording
from data.turns import own_turns
from trainers.comm import most
from trainers.maths.tally import Tally

_log = logging.getLogger(__name__)

MOST_FAILURES_TOLD = 5


class EnvironmentRollout:
    """Plays each completion of a batch as an episode: `OnlineTrainer(rollout_func=...)`.

    Rewards get the columns `success` (the environment's reward), `turns`, `num_tool_calls` (legal
    actions), `invalid_actions` and `truncated` (a limit ended it); their text is the model's last
    turn, and filters read all of its turns, but nothing that the environment said. It has no
    state: what an episode is follows from its row.

    On several ranks all play on until the last episode of all is over: ranks that share the weights
    must generate equally often. A rank without an episode left writes a turn that nobody reads.

    Args:
        settings: The environment and its limits.
    """

    def __init__(self, settings: EnvironmentSettings) -> None:
        self.settings = settings
        self._pool = settings.pool()
        self._told: set[str] = set()

    def __call__(self, prompts: list[Any], trainer: Any) -> dict[str, Any]:
        """What TRL asks of a `rollout_func`, for the rows that `trainer.rows` holds."""
        began = perf_counter()
        limits = self.settings.limits(trainer.max_completion_length, _context(trainer))
        wording = Wording(
            trainer.processing_class, trainer.eos_token_ids, trainer.chat_template_kwargs
        )

        def generate(_: Sequence[int], contexts: Sequence[list[int]], tokens: int) -> list[Turn]:
            # The engine of vLLM ends a turn at its own length, and ranks that share it ask alike.
            if trainer.use_vllm:
                tokens = min(limits.max_turn_tokens, limits.max_tokens)
            with _at_most(trainer, tokens):
                ids, log_probs = trainer._generate_single_turn(list(contexts), None, {}, 1)
            if log_probs is None:
                return [Turn(list(one)) for one in ids]
            return [Turn(list(one), list(p)) for one, p in zip(ids, log_probs, strict=True)]

        def needed(active: int) -> int:
            if trainer.accelerator.num_processes == 1:
                return active
            asked = most(trainer, active)
            # vLLM takes equally many prompts of each rank; `generate` takes any number but none.
            return asked if trainer.use_vllm else max(active, min(asked, 1))

        episodes = play(generate, trainer.rows, self._pool, wording, limits, needed=needed)
        self._report(episodes, trainer, perf_counter() - began)
        for one in episodes:
            _fill(one, trainer)
        columns = {name: [getattr(one, name) for one in episodes] for name in COLUMNS}
        log_probs = [one.log_probs for one in episodes] if trainer.use_vllm else None
        return {
            "prompt_ids": [one.prompt_ids for one in episodes],
            "completion_ids": [one.completion_ids for one in episodes],
            "logprobs": log_probs,
            "env_mask": [one.env_mask for one in episodes],
            **columns,
        }

    def close(self) -> None:
        """Close the instances; another call makes new ones."""
        self._pool.close()

    def spoken(
        self, completion_ids: Sequence[list[int]], masks: Sequence[list[int]], trainer: Any
    ) -> list[list[dict[str, str]]]:
        """The turns of the model in each episode, as messages; one at least, if an empty one.

        Args:
            completion_ids: B lists of tokens.
            masks: B lists, 1 where the model wrote the token.
            trainer: that generated them.
        """
        return [
            [
                {
                    "role": "assistant",
                    "content": trainer._tokenizer.decode(ids[a:b], skip_special_tokens=True),
                }
                for a, b in own_turns(ids, mask, trainer.eos_token_ids) or [(0, 0)]
            ]
            for ids, mask in zip(completion_ids, masks, strict=True)
        ]

    def _report(self, episodes: Sequence[Episode], trainer: Any, seconds: float) -> None:
        """Log what happened, over all ranks, and tell of environments that broke."""
        sums = [
            len(episodes),
            sum(one.success >= 1 for one in episodes),
            sum(one.turns for one in episodes),
            sum(one.num_tool_calls for one in episodes),
            sum(one.invalid_actions for one in episodes),
            sum(one.failed is not None for one in episodes),
            sum(one.truncated for one in episodes),
            sum(one.seconds for one in episodes),
            seconds,
        ]
        local = torch.tensor(sums, dtype=torch.float32, device=trainer.accelerator.device)
        trainer.tell_later(Tally(local, _episode_metrics))
        for name in ("turns", "invalid_actions"):
            trainer._log_completion_extra(name, [getattr(one, name) for one in episodes])
        trainer._log_completion_extra("ended", [_ended(one) for one in episodes])
        self._tell(episodes)

    def _tell(self, episodes: Sequence[Episode]) -> None:
        broken = [one for one in episodes if one.failed is not None]
        for one in broken:
            if one.failed in self._told or len(self._told) >= MOST_FAILURES_TOLD:
                continue
            self._told.add(str(one.failed))
            _log.warning(
                "environment %r broke in %d of %d episodes of this batch, which get reward 0; "
                "row %r: %s",
                self.settings.name,
                len(broken),
                len(episodes),
                one.row.get("id"),
                one.failed,
            )


def _context(trainer: Any) -> int | None:
    """Tokens that what generates can read, prompt included; None if there is no limit."""
    config = getattr(trainer.model.config, "text_config", trainer.model.config)
    own: int | None = getattr(config, "max_position_embeddings", None)
    if not trainer.use_vllm:
        return own
    engine = getattr(trainer.vllm_generation, "llm", None)  # none where vLLM is a server
    if engine is not None:
        return int(engine.llm_engine.model_config.max_model_len)
    told = getattr(trainer.vllm_generation, "max_model_length", None)
    return min((length for length in (told, own) if length is not None), default=None)


def _fill(one: Episode, trainer: Any) -> None:
    """Give an episode without a token one that is not the model's: TRL reads the last of each."""
    end = trainer._tokenizer.eos_token_id
    if end is None:
        end = trainer._tokenizer.pad_token_id
    one.prompt_ids = one.prompt_ids or [end]
    if not one.completion_ids:
        one.append(Turn([end], [0.0], [0.0]), by_model=False)


def _episode_metrics(everywhere: Tensor) -> dict[str, float]:
    """Of the sums that each rank reports of its episodes, (world, 9)."""
    sums = everywhere.sum(dim=0).tolist()
    count, success, turns, calls, invalid, failed, truncated, inside, whole = sums
    return {
        "env/success": success / count,
        "env/turns": turns / count,
        "env/calls_per_turn": calls / max(turns, 1),
        "env/invalid_share": invalid / max(turns, 1),
        "env/failed": failed / count,
        "env/truncated": truncated / count,
        "env/seconds_share": inside / whole,
    }


def _ended(one: Episode) -> str:
    if one.failed is not None:
        return "failed"
    return "done" if one.done else "truncated"


@contextmanager
def _at_most(trainer: Any, tokens: int) -> Iterator[None]:
    """Let the trainer's engine write so many tokens a call, instead of a whole completion."""
    engine, name = trainer.generation_config, "max_new_tokens"
    if trainer.use_vllm:
        engine, name = trainer.vllm_generation, "max_completion_length"
    before = getattr(engine, name)
    setattr(engine, name, tokens)
    try:
        yield
    finally:
        setattr(engine, name, before)
