"""Sample solutions from a model with Hugging Face `generate`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from data.environments.settings import EnvironmentSettings
from data.prompts import prompt_ids
from data.solutions.draw import Draw, uniforms
from data.solutions.episodes import Drawn, Stage
from data.solutions.prefix import prompts_read_once
from data.solutions.solution import Solution
from data.tasks import Row
from data.tools.episodes import ToolUse


def sample(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Row],
    *,
    samples: int = 1,
    temperature: float = 1.0,
    max_new_tokens: int = 256,
    batch_size: int = 64,
    seed: int = 0,
    greedy: bool = False,
    top_p: float = 1.0,
    chat_template_kwargs: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
    environment: EnvironmentSettings | ToolUse | None = None,
) -> list[Solution]:
    """Sample `samples` solutions of each row.

    Each solution is drawn with random numbers of its own, made from `seed`, the row's id and its
    index: which questions share a batch or a process has no part in it, but for the rounding of
    the logits, which may turn a draw that falls on an edge.

    The sampling defaults that come with a model (Qwen's `top_k=20` and repetition penalty, say)
    are not applied: what is measured is what is written here. The model's mode, its generation
    config and the global random state are left as found.

    Args:
        model: A causal language model, on any device.
        tokenizer: Its tokenizer, with a padding token.
        rows: Questions; a `prompt` is text, or a list of chat messages, which goes through the
            tokenizer's chat template.
        samples: Solutions per row.
        temperature: Above 0.
        max_new_tokens: Most tokens of a completion, end of sequence included.
        batch_size: Completions per call of `generate`.
        seed: Of the draws.
        greedy: Take the likeliest token each time; needs `samples=1` and ignores the temperature.
        top_p: Draw among the likeliest tokens that make up this probability, 0 < top_p <= 1.
        chat_template_kwargs: For the chat template, such as `enable_thinking`.
        progress: Called as `progress(done, total)` after each batch, in completions.
        environment: Each solution is an episode in it, or calls these tools; what it is told counts
            among `max_new_tokens`. None: each is one completion.

    Returns:
        len(rows) * samples solutions, those of a row together, in the order of the rows. A row that
        occurs again goes on with the numbers of its question.

    Raises:
        ValueError: If an argument is out of range, or a row's prompt is empty (in an environment,
            which may speak first, such an episode fails).
    """
    _check(samples, temperature, max_new_tokens, batch_size, greedy, top_p)
    if environment is None:
        prompts = [row_prompt_ids(tokenizer, row, chat_template_kwargs) for row in rows]
    else:  # which may be empty: the environment speaks first, or the episode fails
        asked = [row["prompt"] for row in rows]
        prompts = prompt_ids(tokenizer, asked, chat_template_kwargs)
    jobs = numbered(rows, samples)
    # Prompts of like length share a batch; the longest go first, so memory runs out early if ever.
    order = sorted(range(len(jobs)), key=lambda job: -len(prompts[jobs[job][0]]))
    ends = end_tokens(model.generation_config, tokenizer)
    config = GenerationConfig(
        eos_token_id=ends or None,
        pad_token_id=tokenizer.pad_token_id,
        do_sample=False,  # `Draw` draws
    )

    def write(contexts: list[list[int]], most: int, numbers: Tensor | None) -> list[Drawn]:
        config.max_new_tokens = most
        draw = Draw()
        if numbers is not None:
            draw = Draw(numbers.to(model.device), temperature, top_p)
        return _generate(model, config, contexts, ends, draw)

    stage = None
    if environment is not None:
        stage = Stage(
            environment,
            tokenizer,
            ends,
            max_tokens=max_new_tokens,
            max_context=getattr(model.config.get_text_config(), "max_position_embeddings", None),
            template_kwargs=chat_template_kwargs,
        )
    found: dict[int, Solution] = {}
    staged: Any = nullcontext() if stage is None else closing(stage)
    with left_as_found(model, config), torch.no_grad(), staged:
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            asked, indices = [rows[jobs[job][0]] for job in batch], [jobs[job][1] for job in batch]
            numbers = None
            if not greedy:
                names = zip(asked, indices, strict=True)
                draws = [uniforms(seed, str(row["id"]), n, max_new_tokens) for row, n in names]
                numbers = torch.stack(draws)
            if stage is not None:
                solutions = stage.solve(write, asked, indices, numbers)
            else:
                contexts = [prompts[jobs[job][0]] for job in batch]
                drawn = write(contexts, max_new_tokens, numbers)
                about = zip(asked, indices, contexts, drawn, strict=True)
                solutions = [
                    make_solution(tokenizer, row, n, prompt, ids, ends, log_probs, entropy)
                    for row, n, prompt, (ids, log_probs, entropy) in about
                ]
            found |= dict(zip(batch, solutions, strict=True))
            if progress is not None:
                progress(len(found), len(jobs))
    return [found[job] for job in range(len(jobs))]


def numbered(rows: Sequence[Row], samples: int) -> list[tuple[int, int]]:
    """(row, index) of every solution; a question that occurs again goes on counting."""
    seen: Counter[str] = Counter()
    jobs = []
    for row, question in enumerate(rows):
        first = seen[str(question["id"])]
        jobs += [(row, first + index) for index in range(samples)]
        seen[str(question["id"])] += samples
    return jobs


def _generate(
    model: PreTrainedModel,
    config: GenerationConfig,
    prompts: list[list[int]],
    ends: list[int],
    draw: Draw,
) -> list[Drawn]:
    """Draw one completion per prompt, cut after the first of `ends`: ids, log-probs, entropies."""
    input_ids, mask = (part.to(model.device) for part in pad_left(prompts, config.pad_token_id))
    width = input_ids.shape[1]
    sequences = model.generate(
        input_ids=input_ids,
        attention_mask=mask,
        past_key_values=prompts_read_once(model, input_ids, mask),
        generation_config=config,
        logits_processor=LogitsProcessorList([draw]),
    )
    log_probs = torch.stack(draw.log_probs, dim=1).tolist()
    entropy = torch.stack(draw.entropy, dim=1).tolist()
    drawn = []
    for row, ids in enumerate(sequences[:, width:].tolist()):
        length = next((at + 1 for at, token in enumerate(ids) if token in ends), len(ids))
        drawn.append((ids[:length], log_probs[row][:length], entropy[row][:length]))
    return drawn


def pad_left(prompts: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    """(B, width) token ids and their mask, each prompt at the right end."""
    width = max(map(len, prompts))
    input_ids = torch.full((len(prompts), width), pad)
    mask = torch.zeros_like(input_ids)
    for row, prompt in enumerate(prompts):
        input_ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    return input_ids, mask


def row_prompt_ids(
    tokenizer: PreTrainedTokenizerBase,
    row: Row,
    chat_template_kwargs: Mapping[str, Any] | None = None,
) -> list[int]:
    """The prompt of a row as tokens.

    Raises:
        ValueError: If there is no token.
    """
    (ids,) = prompt_ids(tokenizer, [row["prompt"]], chat_template_kwargs)
    if not ids:
        raise ValueError(
            f"row {row['id']!r}: its prompt {row['prompt']!r} has no tokens; expected text"
        )
    return ids


def end_tokens(config: GenerationConfig, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Every token that ends a completion: the tokenizer's, and those the model was trained with."""
    own = config.eos_token_id
    own = [] if own is None else [own] if isinstance(own, int) else list(own)
    return sorted({*own, tokenizer.eos_token_id} - {None})


def make_solution(
    tokenizer: PreTrainedTokenizerBase,
    row: Row,
    index: int,
    prompt: list[int],
    completion: list[int],
    ends: Sequence[int],
    log_probs: list[float],
    entropy: list[float],
) -> Solution:
    """The record of one completion, cut after its end-of-sequence token."""
    return Solution(
        question_id=str(row["id"]),
        index=index,
        prompt_ids=prompt,
        completion_ids=completion,
        text=tokenizer.decode(completion, skip_special_tokens=True),
        finish="stop" if completion[-1] in ends else "length",
        log_probs=log_probs,
        entropy=entropy,
        gold=None if row.get("answer") is None else str(row["answer"]),
        level=row.get("level"),
    )


@contextmanager
def left_as_found(model: PreTrainedModel, config: GenerationConfig) -> Iterator[None]:
    """Run with evaluation mode and a neutral generation config."""
    was_training, defaults = model.training, model.generation_config
    model.eval()
    # `generate` fills whatever a config leaves open from the model's own defaults.
    model.generation_config = config
    try:
        yield
    finally:
        model.generation_config = defaults
        model.train(was_training)


def _check(
    samples: int,
    temperature: float,
    max_new_tokens: int,
    batch_size: int,
    greedy: bool,
    top_p: float,
) -> None:
    for name, value in (
        ("samples", samples),
        ("max_new_tokens", max_new_tokens),
        ("batch_size", batch_size),
    ):
        if value < 1:
            raise ValueError(f"{name}={value}: expected 1 or more")
    if greedy and samples != 1:
        raise ValueError(f"samples={samples} with greedy=True: they would all be equal; set 1")
    if not greedy and not temperature > 0:
        raise ValueError(f"temperature={temperature}: expected more than 0; for 0 set greedy=True")
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p={top_p}: expected 0 < top_p <= 1")
