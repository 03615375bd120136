"""`rlconf inspect`: what the trainer will see, before it is started.

The tokens of the first generation batch in the order of the trainer's own sampler, the lengths of
all prompts, and what each reward says of the gold answers. Loads a tokenizer and no weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from rewards.errors import ConfigError
from rlconf.building.parts import (
    build_curriculum,
    build_reward,
    build_task,
    build_tokenizer,
    check_enough,
    columns,
    dataset,
    prompt_lengths,
    reward_weights,
    short_enough,
)
from rlconf.preview import golds
from rlconf.settings import arithmetic
from rlconf.settings.check import check_columns, ranks
from rlconf.settings.check_environment import told
from rlconf.settings.problems import raise_all
from rlconf.settings.schema import Config
from rlconf.settings.stages import stage_configs
from rlconf.settings.trl_fields import effective, method_of

if TYPE_CHECKING:
    from data.tasks import Row, Task

__all__ = ["first_prompts", "inspect", "visible"]


def inspect(
    config: Config,
    *,
    rows: int = 2,
    tokens: int = 60,
    gold: str | None = None,
    all_golds: bool = False,
) -> tuple[list[str], str | None]:
    """Describe the first batch of a checked configuration.

    Args:
        config: composed and checked.
        rows: prompts to show token by token.
        tokens: most tokens shown of one prompt; 0: all.
        gold: how a right completion looks, with {answer} in it; None: see `rlconf.preview.golds`.
        all_golds: score the golds of all splits instead of those of the first batch.

    Returns:
        Lines of plain text, and what is wrong with the set-up, or None.

    Raises:
        ConfigError: the task, its columns, the batch or the tokenizer.
    """
    if method_of(config.trainer) != "grpo":
        named = f"trainer={method_of(config.trainer)}"
        raise ConfigError(
            f"rlconf inspect shows a batch to sample from and {named} samples none: leave "
            f"{named} out to see the task's prompts and gold answers"
        )
    config = stage_configs(config)[0]
    args = effective(config.trainer)
    batch, problems = arithmetic.plan(args, ranks(config))
    raise_all(problems)
    assert batch is not None
    task = build_task(config)
    weights = reward_weights(config, task)
    raise_all(check_columns(weights, columns(task), task.name))
    tokenizer = build_tokenizer(config, task)
    train, dropped = short_enough(task.train, tokenizer, config)
    check_enough(train, batch.prompts, dropped)
    curriculum = build_curriculum(config)
    if curriculum is None:
        first = first_prompts(len(train), args, batch, config.seed)
    else:
        curriculum.bind(dataset(train), prompts=batch.prompts, batches=1, seed=config.seed)
        first = curriculum.plan_for(0)[: batch.prompts]
    shown = [train[index] for index in first]
    rewards = [build_reward(config, name) for name in weights]
    if task.rewards[0] not in weights:
        rewards.append(build_reward(config, task.rewards[0]))
    way, verdicts, judged = _golds(config, task, rewards, shown, tokenizer, gold, all_golds)
    limit = config.trainer.get("max_completion_length") or task.max_completion_tokens
    lines = [
        f"task {task.name}: {len(task.train)} train, {len(task.dev)} dev, {len(task.test)} test",
        *told(task),
        f"first generation batch: {batch.prompts} prompts x {batch.num_generations} generations",
        *(visible(note, keep="\n") for note in (*task.notes, *dropped)),
        "",
        *_lengths(task, tokenizer, config, limit),
    ]
    kwargs = config.trainer.get("chat_template_kwargs")
    for number, row in enumerate(shown[:rows], 1):
        text = None if row["answer"] is None else way(str(row["answer"]))
        lines += [
            "",
            f"prompt {number} of {batch.prompts}",
            *_row(row, text, tokenizer, tokens, kwargs),
        ]
    lines += ["", *_verdicts(verdicts, judged, way, weights)]
    return lines, _wrong(verdicts, judged, way, tokenizer, limit)


def first_prompts(count: int, args: Any, batch: arithmetic.Batch, seed: int) -> list[int]:
    """The rows of the first generation batch, in the order of the trainer's own sampler.

    Args:
        count: training rows.
        args: TRL's arguments, as `effective` gives them.
        batch: the arithmetic of a generation batch.
        seed: of the run.
    """
    from trainers.sampler import ResumableRepeatSampler

    sampler = ResumableRepeatSampler(
        data_source=range(count),
        mini_repeat_count=batch.num_generations,
        batch_size=batch.prompts,
        repeat_count=1,
        shuffle=args.shuffle_dataset,
        seed=seed,
    )
    drawn = islice(sampler, batch.prompts * batch.num_generations)
    return list(dict.fromkeys(drawn))


def visible(text: str, keep: str = "") -> str:
    """Text that cannot move a terminal's cursor: what is not printable is written as an escape."""
    return "".join(
        one
        if one.isprintable() or one in keep
        else one.encode("unicode_escape").decode()
        if not "\ud800" <= one <= "\udfff"
        else f"\\u{ord(one):04x}"
        for one in text
    )


def _golds(
    config: Config,
    task: Task,
    rewards: Sequence[Callable[..., Any]],
    shown: Sequence[Row],
    tokenizer: Any,
    gold: str | None,
    all_golds: bool,
) -> tuple[golds.Form, list[golds.Verdict], list[Row]]:
    """The form of a right completion, what the rewards say of it, and of which rows."""
    if gold is not None and "{answer}" not in gold:
        raise ConfigError(f"--gold {gold!r}: expected {{answer}} somewhere in it")
    chosen = config.reward.get("format")
    tags = () if chosen is None else tuple(chosen.get("tags", ("think", "answer")))
    form_rewards = (chosen or {}, config.reward.get("table_format") or {})
    ways = golds.forms(gold, tags, opened=any(one.get("opened") for one in form_rewards))
    first = [row for row in shown if row["answer"] is not None]
    if not first or task.played_in is not None:  # an episode is right, and no text by itself
        return ways[0], [], []
    way, verdicts = golds.judge(rewards, first, ways, tokenizer)
    if not all_golds:
        return way, verdicts, first
    every = [
        row for row in (*task.train, *task.dev, *task.test, *task.ood) if row["answer"] is not None
    ]
    return way, golds.judge(rewards, every, [way], tokenizer)[1], every


def _lengths(task: Task, tokenizer: Any, config: Config, limit: int) -> list[str]:
    """Tokens of the prompts of each split, and what does not fit."""
    lines = ["tokens of a prompt     rows   min  median   95 %   max"]
    room = _positions(config, tokenizer)
    for name in ("train", "dev", "test", *(["ood"] if task.ood else [])):
        rows = getattr(task, name)
        counts = sorted(prompt_lengths(rows, tokenizer, config))
        if not counts:
            lines.append(f"  {name:<18}{0:>7}")
            continue
        middle, most = (
            counts[len(counts) // 2],
            counts[min(len(counts) - 1, len(counts) * 95 // 100)],
        )
        lines.append(
            f"  {name:<18}{len(counts):>7}{counts[0]:>6}{middle:>8}{most:>7}{counts[-1]:>6}"
        )
        if room is not None and counts[-1] + limit > room:
            over = sum(count + limit > room for count in counts)
            lines.append(f"  {over} of them leave no room for {limit} tokens in the model's {room}")
    cut = config.model.max_prompt_tokens
    lines.append(
        f"  limit: {'none (model.max_prompt_tokens)' if cut is None else cut}; "
        f"completions: up to {limit} tokens"
    )
    return lines


def _positions(config: Config, tokenizer: Any) -> int | None:
    """The longest sequence of the model, if it can be known without its weights."""
    if config.model.name == "tiny":
        from trainers.models.tiny import TinySettings

        return TinySettings(**config.model.tiny).positions
    known = int(getattr(tokenizer, "model_max_length", 0) or 0)
    return known if 0 < known < 10**9 else None  # an enormous number stands for "not said"


def _row(
    row: Row, text: str | None, tokenizer: Any, most: int, kwargs: dict[str, Any] | None
) -> list[str]:
    """The tokens of a prompt and of its gold completion, a line each."""
    from data.prompts import prompt_ids

    (prompt,) = prompt_ids(tokenizer, [row["prompt"]], kwargs)
    gold = (
        "none: several answers may be right" if text is None else visible(repr(str(row["answer"])))
    )
    lines = [
        f"  id {visible(str(row['id']))}, level {row['level']}, gold answer {gold}",
        "  part         mask  position      id  piece",
    ]
    lines += _tokens("prompt", 0, prompt, 0, tokenizer, most)
    if text is not None:
        ids = golds.completion_ids(tokenizer, text)
        lines += _tokens("completion", 1, ids, len(prompt), tokenizer, most)
    return lines


def _tokens(
    part: str, mask: int, ids: Sequence[int], start: int, tokenizer: Any, most: int
) -> list[str]:
    special = set(tokenizer.all_special_ids)
    lines = [
        f"  {part:<12} {mask:>4}  {start + at:>8}  {token:>6}  {_piece(tokenizer, token)}"
        f"{'  (special)' if token in special else ''}"
        for at, token in enumerate(ids)
    ]
    if most and len(lines) > most:
        head = (most + 1) // 2
        hidden = len(lines) - most
        lines[head : len(lines) - (most - head)] = [f"  {part:<12} ... {hidden} more; --tokens 0"]
    return lines


def _piece(tokenizer: Any, token: int) -> str:
    """What the token stands for between quotes; its name in the vocabulary for part of a letter."""
    text = tokenizer.decode([token], skip_special_tokens=False)
    if "\ufffd" in text:
        text = str(tokenizer.convert_ids_to_tokens(token))
    return _quoted(text)


def _verdicts(
    verdicts: Sequence[golds.Verdict],
    judged: Sequence[Row],
    way: golds.Form,
    weights: dict[str, float],
) -> list[str]:
    """A line for each reward."""
    if not judged:
        return ["gold answers: none to check, since several answers may be right"]
    example = _quoted(way(str(judged[0]["answer"])))
    lines = [f"gold answers of {len(judged)} rows, as completions like {example}"]
    for verdict in verdicts:
        weight = weights.get(verdict.name)
        what = "accuracy only" if weight is None else f"weight {weight:g}"
        lines.append(f"  {verdict.name} ({what}): {_said(verdict)}")
    return lines


def _said(verdict: golds.Verdict) -> str:
    if verdict.unscored:
        return f"not scored here, since it {verdict.unscored}"
    scored = [value for value in verdict.values if value is not None]
    span = f"{min(scored):g} to {max(scored):g}" if scored else "no value"
    if verdict.full is None:
        return f"{span}; it does not say what full marks are"
    if not verdict.short:
        return f"full marks ({verdict.full:g}) for all"
    return f"{len(verdict.values) - len(verdict.short)} full marks ({verdict.full:g}), {span}"


def _wrong(
    verdicts: Sequence[golds.Verdict],
    judged: Sequence[Row],
    way: golds.Form,
    tokenizer: Any,
    limit: int,
) -> str | None:
    """The sentence for a set-up in which being right does not pay, or None."""
    for verdict in verdicts:
        if verdict.short:
            row = judged[verdict.short[0]]
            value = verdict.values[verdict.short[0]]
            said, answer = "no value" if value is None else f"{value:g}", str(row["answer"])
            return (
                f"the set-up is wrong: reward {verdict.name} does not give full marks "
                f"({verdict.full:g}) to {len(verdict.short)} of {len(judged)} gold answers, such "
                f"as {said} to {_quoted(answer)} (id {visible(str(row['id']))}) written as "
                f"{_quoted(way(answer))}; check the answers, the reward's how, or say with --gold "
                "how a right completion looks"
            )
    texts = (way(str(row["answer"])) for row in judged)
    longest = max((len(golds.completion_ids(tokenizer, text)) for text in texts), default=0)
    if longest > limit:
        return (
            f"the set-up is wrong: a gold answer takes {longest} tokens and completions are cut at "
            f"{limit}: raise trainer.max_completion_length or task.max_completion_tokens"
        )
    return None


def _quoted(text: str) -> str:
    return f"'{visible(text)}'"
