"""Train the parts, speed and turns on given rollouts, for `test_two_ranks.py`.

    python fed_rollouts.py OUTPUT
    torchrun --nproc_per_node 2 fed_rollouts.py OUTPUT

24 rows a generation in groups of 8: on two ranks the second prompt's group lies across both.
"""

from __future__ import annotations

import random
import sys
import tempfile
from dataclasses import asdict
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from datasets import Dataset
from tensors import whole_weights
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import GRPOConfig

import rewards
from data.environments import EnvironmentSettings, Reply, environment
from trainers import OnlineTrainer
from trainers.agents import EnvironmentRollout
from trainers.curriculum import Curriculum, CurriculumSettings
from trainers.dynamic import DynamicSettings
from trainers.filters import RolloutFilter
from trainers.maths.ucas import PAPER_V1, RELEASE_2026_04
from trainers.replay import ReplaySettings
from trainers.shapers import Shaper, make_shaper
from trainers.speed import SpeedSettings

ROWS, GROUP, STEPS = 24, 8, 3
# Of any trainer: plain steps of gradient descent, so that weights add gradients up.
PLAIN: dict[str, Any] = {
    "bf16": False,
    "gradient_checkpointing": False,
    "optim": "sgd",
    "max_grad_norm": 0.0,
    "learning_rate": 0.5,
    "lr_scheduler_type": "constant",
    "logging_steps": 1,
    "save_strategy": "no",
    "report_to": [],
    "disable_tqdm": True,
}
LOGGED = (
    *("ucas/", "crew/", "spear/", "curriculum/", "filter/", "env/", "dynamic/", "reward", "loss"),
    *("grad_norm", "num_tokens", "frac_reward_zero_std"),
)


def completion(generation: int, row: int) -> list[int]:
    """Token ids of a given completion: up to 5 digits and the end; group 0 is all alike."""
    rng = random.Random(1000 * generation + row)
    digits = [3 + rng.randrange(10) for _ in range(rng.randint(1, 5))]
    return [*([4, 5] if row < GROUP else digits), 2]


def score(completions: list[str], **_: Any) -> list[float | None]:
    """Graded, with a missing one: the share of even digits, None for a lone zero."""
    return [
        None if text == "0" else sum(c in "02468" for c in text) / max(len(text), 1)
        for text in completions
    ]


def alternating(generation: int, row: int) -> list[int]:
    """Two digits and the end: both even in every other row, both odd in the rest."""
    number = 2 * ((generation + row) % 4)
    return [3 + 8, 3 + number, 2] if row % 2 else [3 + 7, 3 + number + 1, 2]


def unlike(generation: int, row: int) -> list[int]:
    """All right in the first half of the rows; in the second all wrong, or every other time empty.

    Of two ranks each has one half, and half of the middle group.
    """
    if row < ROWS // 2:
        return [3 + 8, 3 + 2 * (row % 4), 2]
    return [2] if generation % 2 == 0 else [3 + 7, 3 + 2 * (row % 4) + 1, 3 + 1, 2]


def main(output: str) -> None:
    """Run presets, speed, a reward with signals, replay, a curriculum, turns; save what is left."""
    signed = rewards.get("crew", mode="signed", how="final", gate="score")
    results = {
        "paper": train([make_shaper("ucas", **asdict(PAPER_V1))]),
        "release": train([make_shaper("ucas", **asdict(RELEASE_2026_04))]),
        # Of two ranks the first has fewer rows with an advantage.
        "fast": train(
            [make_shaper("ucas", **asdict(PAPER_V1))],
            speed=SpeedSettings(trim=True, sort=True, skip=True),
        ),
        "crew": train([make_shaper("ucas", **asdict(PAPER_V1))], signed),
        "term": replay("term", left_out=range(8, 16)),
        "mixed": replay("mixed", left_out=range(8, 16)),
        "lopsided": replay("term", left_out=range(12)),  # of two ranks the first stores nothing
    }
    online = CurriculumSettings(
        mode="online", metric="score", upper=0.1, persist=0.3, check_every=1
    )
    curriculum = Curriculum(online)
    results["curriculum"] = train([make_shaper("ucas")], curriculum=curriculum) | {
        "digest": curriculum.digest(),
        "plan": curriculum.plan_for(STEPS),
        "history": curriculum.history,
    }
    results["turns"] = turns()
    results["dynamic"] = dynamic()
    results["opposed"] = opposed()
    if PartialState().is_main_process:
        torch.save(results, output)


def opposed() -> dict[str, Any]:
    """Two ranks whose own rows would have each decide otherwise: stage, plan, filter, skip, sort.

    Replay has rows to draw on the first rank only; its coefficient is 0, so that one process, which
    draws them, trains alike.
    """
    rates = {f"q{i:02}": (1.0, 0.1)[i % 2] for i in range(30)}
    settings = CurriculumSettings(mode="two_stage", metric="score", promote_at=0.4, check_every=1)
    curriculum = Curriculum(settings, rates)
    found = train(
        [make_shaper("ucas")],
        given=unlike,
        curriculum=curriculum,
        filters=[RolloutFilter("spoken", lambda batch, settings: batch.lengths > 1, None)],
        speed=SpeedSettings(trim=True, sort=True, skip=True),
        replay=ReplaySettings(rows=ROWS, warm_up=0, min_groups=1, cov_clip=False, coef=0.0),
    )
    state = (curriculum.stage, curriculum.plan_for(STEPS), curriculum.history, curriculum.digest())
    everywhere = gather_object([(*state, found["rows"])])
    return found | {"everywhere": everywhere}


@environment("counts")
class Counts:
    """Says the row's digits until its turns are over: six for every third question, else one."""

    def reset(self, row: dict[str, Any]) -> str:
        self.left = 6 if int(row["id"][1:]) % 3 == 2 else 1
        self.reward = 0.0
        return ""

    def act(self, text: str) -> Reply:
        self.left -= 1
        self.reward += text in ("4", "6", "8")
        return Reply("13", done=self.left == 0, valid=text != "0")


def turns() -> dict[str, Any]:
    """Episodes; of two ranks the first writes one turn and the second six."""

    def write(trainer: Any, row: int, context: list[int]) -> list[int]:
        first = len(context) == 2
        return [3 + (7 * row + trainer.generation if first else sum(context)) % 10, 2]

    played = EnvironmentRollout(EnvironmentSettings("counts"))
    return train([], write=write, limit=40, shuffle=False, rollout_func=played)


def dynamic() -> dict[str, Any]:
    """Of two ranks all is right on the first and all wrong on the second, in every round.

    So of three groups one has variance, the one across both, and refills are the same again.
    """

    def first_half(completions: list[str], **_: Any) -> list[float]:
        state, rows = PartialState(), len(completions)
        first = rows * state.process_index
        return [float(2 * (first + at) < rows * state.num_processes) for at in range(rows)]

    def write(trainer: Any, row: int, context: list[int]) -> list[int]:
        # Even digits, which `score` gives 1; rows of a round lie at multiples of 4 on both ranks.
        return [3 + 2 * ((token + row % 4) % 4 + 1) for token in context] + [2]

    settings = DynamicSettings(max_rounds=2, keep_left_over=True)
    return train([make_shaper("ucas")], first_half, write=write, dynamic=settings)


def replay(mode: str, left_out: range) -> dict[str, Any]:
    """Replay of all good rows, so that it does not matter which rank holds them."""

    def leave_out(batch: Any, settings: Any) -> torch.Tensor:
        return batch.comm.local(torch.tensor([row not in left_out for row in range(ROWS)]))

    every = ROWS // PartialState(cpu=True).num_processes
    settings = ReplaySettings(mode=mode, rows=every, warm_up=0, min_groups=1, cov_clip=False)
    filters = [RolloutFilter("rows", leave_out, None)]
    return train([], given=alternating, replay=settings, filters=filters)


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Digits, and what a tokenizer needs."""
    vocab = {token: i for i, token in enumerate(["<pad>", "<bos>", "<eos>", *"0123456789"])}
    core = Tokenizer(models.WordLevel(vocab, unk_token="<pad>"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    core.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        padding_side="left",
    )


def make_model() -> LlamaForCausalLM:
    """Two layers with the same random weights each time, for `make_tokenizer`."""
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=13,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            tie_word_embeddings=True,
            pad_token_id=0,
        )
    )


def train(
    shapers: list[Shaper],
    *more: Any,
    given: Any = completion,
    write: Any = None,
    limit: int = 6,
    shuffle: bool = True,
    arguments: dict[str, Any] | None = None,
    watch: Any = None,
    **parts: Any,
) -> dict[str, Any]:
    """Run STEPS steps; this run's weights, shaped advantages by row, and metrics."""
    state = PartialState(cpu=True)
    options = {
        "use_cpu": True,
        "per_device_train_batch_size": ROWS // state.num_processes,
        "max_steps": STEPS,
    }
    trainer = OnlineTrainer(
        model=make_model(),
        reward_funcs=[score, *more],
        args=GRPOConfig(
            **PLAIN,
            **(options | (arguments or {})),
            output_dir=tempfile.mkdtemp(),
            num_generations=GROUP,
            max_completion_length=limit,
            shuffle_dataset=shuffle,
        ),
        train_dataset=Dataset.from_list(
            [{"prompt": f"{i % 10}{i // 10}", "id": f"q{i:02}"} for i in range(30)]
        ),
        processing_class=make_tokenizer(),
        shapers=shapers,
        **parts,
    )
    if watch is not None:
        watch.trainer = trainer
    first = state.process_index * ROWS // state.num_processes

    def feed(prompt_ids: list[list[int]], *_: Any, **__: Any) -> tuple[list[list[int]], None]:
        if write is not None:
            return [write(trainer, first + i, ids) for i, ids in enumerate(prompt_ids)], None
        return [given(trainer.generation, first + i) for i in range(len(prompt_ids))], None

    trainer._generate_single_turn = feed
    shaped: list[torch.Tensor] = []
    original = trainer._generate_and_score_completions

    def keep(inputs: Any) -> dict[str, Any]:
        result = original(inputs)
        wide = torch.zeros(len(inputs), 6)
        if shapers:
            wide[:, : result["advantages"].size(1)] = result["advantages"]
        shaped.append(trainer.accelerator.gather(wide))
        return result

    trainer._generate_and_score_completions = keep
    rows: list[int] = []
    prepare = trainer._prepare_inputs

    def count(batch: Any) -> dict[str, Any]:
        inputs: dict[str, Any] = prepare(batch)
        rows.append(len(inputs["advantages"]))
        return inputs

    trainer._prepare_inputs = count
    trainer.train()
    metrics = [
        {key: value for key, value in entry.items() if key.startswith(LOGGED)}
        for entry in trainer.state.log_history
        if "loss" in entry
    ]
    return {
        "weights": whole_weights(trainer),
        "shaped": shaped,
        "rows": rows,
        "metrics": metrics,
        "ranks": state.num_processes,
    }


if __name__ == "__main__":
    main(sys.argv[1])
