"""What rewards ask of the trainer: the policy's signals, and what another reward says is right.

A reward that declares `signals=(...)` gets each as a keyword, one entry per completion. They
are computed from the token ids that were generated, at most once per batch, and handed to that
reward alone: the rows of the data set are not touched.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from trl import GRPOTrainer

from data.turns import last_turn
from rewards.errors import ConfigError, RewardError
from rewards.spans import AnswerFinder
from trainers._trl import is_async_callable, pad
from trainers.signals import Signals

# Signals of tokens: the name a reward asks for, and the field of `Signals`.
_FIELDS = {
    "log_prob": "model_log_prob",
    "certainty": "certainty",
    "chosen_logit": "chosen_logit",
}
_LOCATING = ("how", "pattern", "span")

Columns = dict[str, list[Any]]


@dataclass(frozen=True)
class Generated:
    """What `GRPOTrainer._generate` returned on this rank; lists of B.

    Attributes:
        prompt_ids: without padding.
        completion_ids: without padding, a tool's output among them.
        tool_mask: 1 where the policy generated the token, 0 in a tool's output; None without tools.
        images: whether there are any, which a forward of ours could not pass on.
    """

    prompt_ids: Sequence[Sequence[int]]
    completion_ids: Sequence[Sequence[int]]
    tool_mask: Sequence[Sequence[int]] | None
    images: bool

    def padded(self, trainer: GRPOTrainer) -> dict[str, Tensor]:
        """The tensors that the trainer will make of them: prompts padded left, completions right.

        Truncated completions keep their mask even under `mask_truncated_completions`.
        """
        prompts = [torch.tensor(row, dtype=torch.long) for row in self.prompt_ids]
        completions = [torch.tensor(row, dtype=torch.long) for row in self.completion_ids]

        def padded(rows: list[Tensor], side: str, fill: int) -> Tensor:
            multiple = trainer.pad_to_multiple_of
            tensor: Tensor = pad(rows, fill, side, multiple)
            return tensor.to(trainer.accelerator.device)

        token = trainer._tokenizer.pad_token_id
        return {
            "prompt_ids": padded(prompts, "left", token),
            "prompt_mask": padded([torch.ones_like(row) for row in prompts], "left", 0),
            "completion_ids": padded(completions, "right", token),
            "completion_mask": padded([torch.ones_like(row) for row in completions], "right", 0),
        }


class RewardSignals:
    """The signals that a trainer's reward functions declare, and how they are handed over.

    Args:
        trainer: with its reward functions in place.

    Attributes:
        any: whether any reward declares a signal.
        of_tokens: whether a forward of the policy is needed.
        of_answers_alone: whether only the tokens of answers are read of it.

    Raises:
        ConfigError: a reward's gate is none of the other rewards.
    """

    def __init__(self, trainer: GRPOTrainer) -> None:
        self._trainer = trainer
        self._named = dict(zip(trainer.reward_func_names, trainer.reward_funcs, strict=True))
        self._asked = {name: _signals_of(function) for name, function in self._named.items()}
        self._gates = {
            name: self._gate(name) for name, asked in self._asked.items() if "correctness" in asked
        }
        of_tokens = {signal for asked in self._asked.values() for signal in asked} - {"correctness"}
        self.any = any(self._asked.values())
        self.of_tokens = bool(of_tokens)
        self.of_answers_alone = of_tokens == {"answer_log_probs"}
        self._finders = {
            name: self._finder(name)
            for name, asked in self._asked.items()
            if "answer_log_probs" in asked
        }
        self._answers: dict[str, list[list[int] | None]] = {}

    def locate(self, generated: Generated) -> Tensor:
        """Find the answers of a new batch; (B, T) bool, their tokens.

        An answer is looked for in what the policy itself wrote last: after the last tool output. A
        completion that the trainer masks because it was cut off has none.
        """
        turns = [self._last_turn(generated, row) for row in range(len(generated.completion_ids))]
        for name, find in self._finders.items():
            self._answers[name] = [None if turn is None else _within(turn, find) for turn in turns]
        width = generated.padded(self._trainer)["completion_ids"].size(1)
        mask = torch.zeros(len(turns), width, dtype=torch.bool)
        for answers in self._answers.values():
            for row, tokens in enumerate(answers):
                mask[row, tokens or []] = True
        return mask

    @contextmanager
    def handed_over(
        self, generated: Generated | None, signals: Signals | None, call: Mapping[str, Any]
    ) -> Iterator[None]:
        """Let the trainer call its rewards inside: each gets what it declared.

        Args:
            generated: the batch.
            signals: of its tokens; None if no reward asked.
            call: the keywords with which the trainer calls a reward.
        """
        columns = {
            name: self._columns(name, asked, generated, signals)
            for name, asked in self._asked.items()
        }
        trainer = self._trainer
        functions = list(trainer.reward_funcs)
        said: Columns = {}
        for gate in dict.fromkeys(self._gates.values()):
            if gate is not None:
                said[gate] = self._call(self._named[gate], {**call, **columns[gate]})
        for name, gate in self._gates.items():
            count = len(call["completions"])
            columns[name]["correctness"] = [None] * count if gate is None else said[gate]
        try:
            for at, name in enumerate(trainer.reward_func_names):
                if name in said:
                    trainer.reward_funcs[at] = functools.partial(_known, said[name])
                elif columns[name]:
                    trainer.reward_funcs[at] = functools.partial(functions[at], **columns[name])
            yield
        finally:
            trainer.reward_funcs[:] = functions

    def _gate(self, name: str) -> str | None:
        """The reward whose values are the correctness that `name` is given."""
        options = self._named[name].spec.options
        gate = options.get("gate")
        able = [other for other, asked in self._asked.items() if "correctness" not in asked]
        able = [other for other in able if not isinstance(self._named[other], torch.nn.Module)]
        if gate is None and able:
            return able[0]
        if gate in able:
            return str(gate)
        if gate is None and options.get("mode") == "raw":
            return None
        if gate is None:
            raise ConfigError(
                f"reward {name!r} needs another reward that says what is right, and there is none "
                f"({', '.join(self._named)}): add one, with weight 0 if it shall not be paid"
            )
        raise ConfigError(
            f"reward.{name}.gate={gate} is none of the rewards that say what is right "
            f"({', '.join(able) or 'there is none'}): add it, with weight 0 if it shall not be paid"
        )

    def _finder(self, name: str) -> AnswerFinder:
        """By the reward's own options; where it leaves them open, where its gate looks."""
        options = dict(self._named[name].spec.options)
        if options.get("how") is None:
            gate = self._named.get(self._gates.get(name) or "")
            spec = getattr(gate, "spec", None)
            if spec is not None and spec.options.get("how") is not None:
                options |= {key: spec.options.get(key) for key in ("how", "pattern")}
        return AnswerFinder(
            self._trainer._tokenizer,
            options.get("how") or "boxed",
            options.get("pattern"),
            options.get("span", "overlap"),
        )

    def _last_turn(self, generated: Generated, row: int) -> tuple[int, list[int]] | None:
        """Where the policy's last turn begins, and its ids; None if it does not count."""
        ids = list(generated.completion_ids[row])
        trainer = self._trainer
        ends = {*trainer.eos_token_ids, trainer._tokenizer.pad_token_id}
        if not ids or (trainer.mask_truncated_completions and ids[-1] not in ends):
            return None
        if generated.tool_mask is None:
            return 0, ids
        start, stop = last_turn(ids, generated.tool_mask[row], trainer.eos_token_ids)
        return start, ids[start:stop]

    def _columns(
        self,
        name: str,
        asked: Sequence[str],
        generated: Generated | None,
        signals: Signals | None,
    ) -> Columns:
        columns: Columns = {}
        if signals is None or generated is None:
            return columns
        for signal, field in _FIELDS.items():
            if signal in asked:
                values = getattr(signals, field).tolist()
                lengths = [len(row) for row in generated.completion_ids]
                columns[signal] = [
                    row[:length] for row, length in zip(values, lengths, strict=True)
                ]
        if "answer_log_probs" in asked:
            log_probs = signals.model_log_prob.cpu()
            columns["answer_log_probs"] = [
                None if tokens is None else log_probs[row, tokens].tolist()
                for row, tokens in enumerate(self._answers[name])
            ]
        return columns

    def _call(self, function: Callable[..., Any], keywords: Mapping[str, Any]) -> list[Any]:
        """Call a reward as the trainer would, an asynchronous one on the trainer's own loop."""
        if is_async_callable(function):
            running = asyncio.run_coroutine_threadsafe(
                function(**keywords), self._trainer.async_loop
            )
            return list(running.result())
        return list(function(**keywords))


def _within(turn: tuple[int, list[int]], find: AnswerFinder) -> list[int] | None:
    """The answer's tokens in a completion of which only a part is searched."""
    start, ids = turn
    found = find(ids)
    return None if found is None else list(found.shifted(start).tokens)


def call_keywords(
    trainer: GRPOTrainer, inputs: Any, prompts: Any, completions: Any, completion_ids: Any
) -> dict[str, Any]:
    """The keywords with which `GRPOTrainer._calculate_rewards` calls a reward function."""
    own = ("prompt", "completion", "completion_ids")
    keywords = {key: [row[key] for row in inputs] for key in inputs[0] if key not in own}
    if trainer.environments is not None:
        keywords["environments"] = trainer.environments
    return keywords | {
        "prompts": prompts,
        "completions": completions,
        "completion_ids": completion_ids,
        "trainer_state": trainer.state,
        "log_extra": trainer._log_completion_extra,
        "log_metric": trainer._log_metric,
    }


def check_without_images(generated: Generated) -> None:
    """Raise RewardError if there are images."""
    if generated.images:
        raise RewardError(
            "a reward needs signals of the policy, and the prompts have images, which the forward "
            "for signals cannot pass on: train on text, or set trainer.num_iterations=2 so that "
            "the signals ride on the forward for the old log-probs"
        )


def _known(values: list[Any], **_: Any) -> list[Any]:
    return values


def _signals_of(function: Any) -> tuple[str, ...]:
    spec = getattr(function, "spec", None)
    return () if spec is None else tuple(spec.signals)
