"""The file a command is given: solutions of ours, or problems with solutions from elsewhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from data.solutions import Solution, from_texts, read_solutions
from data.solutions.problems import Problem, read_problems
from data.solutions.store import SCHEMA
from rewards.answers import extract
from rewards.errors import ConfigError
from rlconf.settings.schema import Config

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from data.tasks import Row, Task

__all__ = ["Given", "answered", "beside", "given", "is_ours", "solutions_of"]

_TRIED = 20  # solutions whose text is held against their tokens


@dataclass(frozen=True)
class Given:
    """Solutions to judge.

    Attributes:
        solutions: as tokens of the judge's tokenizer.
        problems: the text of each question, by id.
        source: what the file is, as JSON, for manifests.
        samples: how the solutions were sampled, if the file's own manifest says so.
    """

    solutions: list[Solution]
    problems: dict[str, str]
    source: dict[str, Any]
    samples: dict[str, Any] | None = None


def is_ours(path: Path) -> bool:
    """Whether a file holds solutions as `rlconf sample` writes them.

    Raises:
        ConfigError: there is no such file, or it is named as Parquet and is none.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file")
    if path.suffix != ".parquet":
        return False
    try:
        names = pq.read_schema(path).names
    except (OSError, pa.ArrowException) as error:
        raise ConfigError(f"{path} cannot be read as Parquet: {error}") from error
    return set(SCHEMA.names) <= set(names)


def solutions_of(path: Path) -> tuple[list[Solution], dict[str, Any]]:
    """Solutions of ours, and the manifest beside them ({} without one).

    Raises:
        ConfigError: the file holds something else.
    """
    if not is_ours(path):
        raise ConfigError(
            f"{path} holds no solutions as rlconf writes them: judge it first, with "
            f"rlconf judge {path}"
        )
    manifest = path.with_suffix(".json")
    content = json.loads(manifest.read_text(encoding="utf-8")) if manifest.is_file() else {}
    return read_solutions(path), content


def answered(config: Config, path: Path) -> tuple[list[Solution], dict[str, Any]]:
    """Solutions of ours with their answers, and the manifest; see `solutions_of`.

    They are looked for, as `crew` says, only if none has one: the confidences of a judged file are
    of the answers that it has.

    Raises:
        ConfigError: the file holds something else, or was judged with another `crew.locator`.
    """
    solutions, manifest = solutions_of(path)
    how, pattern = config.crew.locator, config.crew.pattern
    if not any(one.answer is not None for one in solutions):
        found = [replace(one, answer=extract(one.text, how, pattern)) for one in solutions]
        return found, manifest
    identity = manifest.get("identity", {})
    there = identity.get("scorer", {}).get("locator"), identity.get("pattern")
    if there[0] is not None and there != (how, pattern):
        raise ConfigError(
            f"{path}: the answers in it, which its confidences are of, were found with "
            f"{_locator(*there)} and now {_locator(how, pattern)} is set: type {_locator(*there)}, "
            "or judge the solutions again"
        )
    return solutions, manifest


def _locator(how: str, pattern: str | None) -> str:
    """As it is typed."""
    return f"crew.locator={how}" + ("" if pattern is None else f" crew.pattern='{pattern}'")


def beside(path: str | None, file: Path, kind: str) -> Path:
    """Where a command writes what it makes of `file`: `path` if that is given."""
    name = file.name.removesuffix(file.suffix)
    return Path(path or f"solutions/{name}.{kind}.parquet").expanduser()


def given(config: Config, path: Path, tokenizer: PreTrainedTokenizerBase, task: Task) -> Given:
    """Read the file for a judge with this tokenizer.

    Raises:
        ConfigError: the file cannot be read, or its solutions cannot be put into tokens.
    """
    if is_ours(path):
        return _ours(config, path, tokenizer, task)
    problems = read_problems(path, config.judge.steps)[: config.judge.limit]
    solutions = [one for problem in problems for one in _tokens(config, tokenizer, problem)]
    source = {
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest()[:16],
        "template": config.judge.template,
        "chat": _is_chat(config, tokenizer),
        "steps": config.judge.steps,
    }
    return Given(solutions, {one.id: one.text for one in problems}, source)


def _tokens(config: Config, tokenizer: PreTrainedTokenizerBase, problem: Problem) -> list[Solution]:
    text = config.judge.template.replace("{problem}", problem.text)
    chat = _is_chat(config, tokenizer)
    prompt = [{"role": "user", "content": text.strip()}] if chat else text
    row = {"id": problem.id, "prompt": prompt, "answer": problem.gold, "level": problem.level}
    found = _from_texts(config, tokenizer, row, problem.solutions)
    return [replace(one, verdict=v) for one, v in zip(found, problem.verdicts, strict=True)]


def _is_chat(config: Config, tokenizer: PreTrainedTokenizerBase) -> bool:
    asked = config.judge.chat
    if asked and tokenizer.chat_template is None:
        raise ConfigError(
            f"judge.chat=true and the tokenizer of {tokenizer.name_or_path} has no chat template: "
            "set model.chat_template=FILE, or judge.chat=false"
        )
    return tokenizer.chat_template is not None if asked is None else asked


def _ours(config: Config, path: Path, tokenizer: PreTrainedTokenizerBase, task: Task) -> Given:
    """Solutions of ours: as they are, or, where the judge has another tokenizer, tokenised anew."""
    every, manifest = solutions_of(path)
    names = list(islice(dict.fromkeys(one.question_id for one in every), config.judge.limit))
    wanted = set(names)
    solutions = [one for one in every if one.question_id in wanted]
    identity = manifest.get("identity", {})
    # A file that was judged before knows of its sampling from the file that it came from.
    samples = identity.get("samples") or (identity if "engine" in identity else None)
    same = _same_tokens(tokenizer, solutions)
    rows = _rows_of(task, solutions)
    if not same:
        solutions = _again(config, path, tokenizer, task, solutions, rows)
    first = {one.question_id: one.prompt_ids for one in reversed(solutions)}
    problems = {
        name: _text(rows[name])
        if name in rows
        else tokenizer.decode(first[name], skip_special_tokens=True).strip()
        for name in names
    }
    return Given(solutions, problems, {"file": path.name, "tokenised_anew": not same}, samples)


def _rows_of(task: Task, solutions: Sequence[Solution]) -> dict[str, Row]:
    """The task's rows of these questions, as far as it knows them: same id, same right answer."""
    golds = {one.question_id: one.gold for one in solutions}
    return {
        str(row["id"]): row
        for row in (*task.train, *task.dev, *task.test)
        if str(row["id"]) in golds and golds[str(row["id"])] == str(row["answer"])
    }


def _text(row: Row) -> str:
    """A row's question without its examples or the system's message."""
    prompt = row["prompt"]
    return str(prompt if isinstance(prompt, str) else prompt[-1]["content"])


def _same_tokens(tokenizer: PreTrainedTokenizerBase, solutions: Sequence[Solution]) -> bool:
    """Whether the solutions' tokens are of this tokenizer: it reads most of them as their text.

    Not all: one that normalises what it reads, or a text that spells a special token, comes out
    otherwise than it was written. Another tokenizer reads none.
    """
    tried = solutions[:_TRIED]
    if any(max(one.prompt_ids + one.completion_ids) >= len(tokenizer) for one in tried):
        return False
    read = [tokenizer.decode(one.completion_ids, skip_special_tokens=True) for one in tried]
    same = sum(text == one.text for text, one in zip(read, tried, strict=True))
    return 2 * same >= len(tried)


def _again(
    config: Config,
    path: Path,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    solutions: Sequence[Solution],
    rows: Mapping[str, Row],
) -> list[Solution]:
    """The solutions' texts in this tokenizer's tokens, behind the prompts of the task."""
    missing = {one.question_id for one in solutions} - rows.keys()
    if missing:
        raise ConfigError(
            f"{path}: its tokens are not those of {tokenizer.name_or_path}, and task {task.name} "
            f"does not know {len(missing)} of its questions, such as {min(missing)!r}: choose the "
            "task that they were sampled from (task=NAME and its options), or the model that wrote "
            "them"
        )
    found = []
    for one in solutions:
        (again,) = _from_texts(config, tokenizer, rows[one.question_id], [one.text])
        found.append(
            replace(
                one,
                prompt_ids=again.prompt_ids,
                completion_ids=again.completion_ids,
                log_probs=[],
                entropy=[],
                confidence={},
            )
        )
    return found


def _from_texts(
    config: Config, tokenizer: PreTrainedTokenizerBase, row: dict[str, Any], texts: Sequence[str]
) -> list[Solution]:
    try:
        return from_texts(
            tokenizer, row, texts, chat_template_kwargs=config.trainer.get("chat_template_kwargs")
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error
    except Exception as error:  # the tokenizers library raises nothing more specific
        raise ConfigError(
            f"the solutions of question {row['id']!r} cannot be put into tokens of "
            f"{tokenizer.name_or_path or 'the model'} ({error}). A tiny model knows only the "
            "characters of the task it was made for: choose another model"
        ) from error
