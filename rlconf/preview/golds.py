"""Do the rewards give the gold answer full marks? If not, the set-up is wrong, not the model.

A gold answer is not yet a completion: where it has to stand depends on the rewards. So it is
rendered in each of a few forms, from the answer alone to one that has it in every place, and the
first form that earns most is taken.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args

from data.tasks import Row
from rewards.answers import Locator, render
from rewards.errors import ConfigError
from rewards.table.reply import read_gold, write_reply
from rlconf.settings import foreign

__all__ = ["Form", "Verdict", "completion_ids", "forms", "judge", "score"]

_FULL = {"accuracy_reward": 1.0, "reasoning_accuracy_reward": 1.0, "think_format_reward": 1.0}
"""Full marks of those of TRL's rewards that have such a thing."""

Form = Callable[[str], str]


@dataclass(frozen=True)
class Verdict:
    """What one reward says of the golds.

    Attributes:
        name: of the reward.
        values: one per row; None where it could not be scored.
        full: full marks; None if the reward does not say what they are.
        unscored: why nothing was scored, or "".
    """

    name: str
    values: list[float | None]
    full: float | None
    unscored: str = ""

    @property
    def short(self) -> list[int]:
        """The rows without full marks."""
        if self.full is None or self.unscored:
            return []
        return [row for row, value in enumerate(self.values) if value is None or value < self.full]


def forms(gold: str | None, tags: Sequence[str] = (), *, opened: bool = False) -> list[Form]:
    """Ways to write a completion around an answer.

    Args:
        gold: the only way, with {answer} in it; None: the usual ones.
        tags: names of the pairs of tags that the reward `format` asks for, if it is chosen.
        opened: whether the prompt ends with the first tag already open.
    """
    if gold is not None:
        return [lambda answer: gold.replace("{answer}", answer)]

    def everywhere(answer: str) -> str:
        return "\n".join(_rendered(how, answer) for how in ("boxed", "tag", "hash"))

    places = [how for how in get_args(Locator) if how not in ("number", "regex")]
    plain: list[Form] = [partial(_rendered, how) for how in places]
    plain += [everywhere, partial(_as_list, opened=opened)]
    if not tags:
        return plain

    def tagged(first: Form, last: Form) -> Form:
        def write(answer: str) -> str:
            contents = [first(answer)] * (len(tags) - 1) + [last(answer)]
            text = "".join(
                f"<{tag}>{content}</{tag}>" for tag, content in zip(tags, contents, strict=True)
            )
            return text.removeprefix(f"<{tags[0]}>") if opened else text

        return write

    bare, boxed = plain[places.index("final")], plain[places.index("boxed")]
    within = [tagged(bare, bare), tagged(bare, boxed), tagged(boxed, bare)]
    return [*within, *plain]


def completion_ids(tokenizer: Any, text: str) -> list[int]:
    """The tokens of a completion and the one that ends it, as a model would write them."""
    return [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]


def score(
    reward: Callable[..., Any], rows: Sequence[Row], texts: Sequence[str], tokenizer: Any
) -> Verdict:
    """What a reward gives these completions, called with all that TRL's trainer passes."""
    name = reward.__name__
    spec = getattr(reward, "spec", None)
    full = _FULL.get(name) if spec is None or name in foreign.OPTIONS else None
    if spec is not None and spec.range is not None:
        full = spec.range[1]
    if spec is not None and spec.signals:
        return Verdict(name, [], full, f"reads {', '.join(spec.signals)} of the model")
    columns: Mapping[str, list[Any]] = {
        key: [row.get(key) for row in rows] for key in rows[0] if key != "prompt"
    }
    prompts = [row["prompt"] for row in rows]
    completions = [
        text if isinstance(prompt, str) else [{"role": "assistant", "content": text}]
        for prompt, text in zip(prompts, texts, strict=True)
    ]
    values = reward(
        prompts=prompts,
        completions=completions,
        completion_ids=[completion_ids(tokenizer, text) for text in texts],
        trainer_state=None,
        log_extra=lambda *_: None,
        log_metric=lambda *_: None,
        environments=None,
        **columns,
    )
    if inspect.isawaitable(values):
        values = asyncio.run(_wait(values))
    return Verdict(name, list(values), full)


def judge(
    rewards: Iterable[Callable[..., Any]],
    rows: Sequence[Row],
    ways: Sequence[Form],
    tokenizer: Any,
) -> tuple[Form, list[Verdict]]:
    """Score every form of the golds and keep the first one that earns most.

    Args:
        rewards: reward functions.
        rows: with an answer each.
        ways: what `forms` returns.
        tokenizer: for rewards that read token ids.

    Returns:
        The form, and a verdict by each reward.

    Raises:
        ConfigError: the tokenizer knows none of the forms.
    """
    rewards = list(rewards)
    best: tuple[Form, list[Verdict]] | None = None
    fewest = 0
    for way in ways:
        texts = [way(str(row["answer"])) for row in rows]
        if not all(_can_write(tokenizer, text) for text in texts):
            continue
        verdicts = [score(reward, rows, texts, tokenizer) for reward in rewards]
        short = sum(len(verdict.short) for verdict in verdicts)
        if best is None or short < fewest:
            best, fewest = (way, verdicts), short
        if not short:
            break
    if best is None:
        raise ConfigError(
            f"the tokenizer cannot write the gold answer {str(rows[0]['answer'])!r} (id "
            f"{rows[0]['id']}): choose another model, or correct the answers"
        )
    return best


def _rendered(how: Locator, answer: str) -> str:
    return str(render(answer, how))


def _as_list(answer: str, *, opened: bool) -> str:
    """The form of questions about tables: thinking, then a list in JSON."""
    text = write_reply(read_gold(answer))
    return text.removeprefix("<think>") if opened else text


def _can_write(tokenizer: Any, text: str) -> bool:
    """Whether the tokenizer knows the text: one of single characters refuses all others."""
    try:
        completion_ids(tokenizer, text)
    except Exception:  # a bare Exception is what tokenizers raise
        return False
    return True


async def _wait(values: Any) -> Any:
    return await values
