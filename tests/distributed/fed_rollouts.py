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
from datasets import Dataset
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
LOGGED = (
    *("ucas/", "crew/", "spear/", "curriculum/", "env/", "dynamic/", "reward", "loss"),
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
        None if text == "0" else sum(c in "02468" for c in text) / len(text) for text in completions
    ]


def alternating(generation: int, row: int) -> list[int]:
    """Two digits and the end: both even in every other row, both odd in the rest."""
    number = 2 * ((generation + row) % 4)
    return [3 + 8, 3 + number, 2] if row % 2 else [3 + 7, 3 + number + 1, 2]


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
    if PartialState().is_main_process:
        torch.save(results, output)


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


def train(
    shapers: list[Shaper],
    *more: Any,
    given: Any = completion,
    write: Any = None,
    limit: int = 6,
    shuffle: bool = True,
    **parts: Any,
) -> dict[str, Any]:
    """Run STEPS steps; this run's weights, shaped advantages by row, and metrics."""
    vocab = {token: i for i, token in enumerate(["<pad>", "<bos>", "<eos>", *"0123456789"])}
    core = Tokenizer(models.WordLevel(vocab, unk_token="<pad>"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    core.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        padding_side="left",
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(vocab),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            tie_word_embeddings=True,
            pad_token_id=0,
        )
    )
    state = PartialState(cpu=True)
    per_rank = ROWS // state.num_processes
    trainer = OnlineTrainer(
        model=model,
        reward_funcs=[score, *more],
        args=GRPOConfig(
            output_dir=tempfile.mkdtemp(),
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            per_device_train_batch_size=per_rank,
            num_generations=GROUP,
            max_completion_length=limit,
            shuffle_dataset=shuffle,
            optim="sgd",
            max_grad_norm=0.0,
            learning_rate=0.5,
            lr_scheduler_type="constant",
            max_steps=STEPS,
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list(
            [{"prompt": f"{i % 10}{i // 10}", "id": f"q{i:02}"} for i in range(30)]
        ),
        processing_class=tokenizer,
        shapers=shapers,
        **parts,
    )
    first = state.process_index * per_rank

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
    trainer.train()
    metrics = [
        {key: value for key, value in entry.items() if key.startswith(LOGGED)}
        for entry in trainer.state.log_history
        if "loss" in entry
    ]
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    for name, value in weights.items():
        everywhere = trainer.accelerator.gather(value.reshape(1, -1))
        assert (everywhere == everywhere[0]).all(), f"ranks differ in {name}"
    return {"weights": weights, "shaped": shaped, "metrics": metrics, "ranks": state.num_processes}


if __name__ == "__main__":
    main(sys.argv[1])
