"""Curricula on `sort` and on tables, paired by seed: none, easy to hard, two stages, online.

All arms make the same number of rollouts.

    OMP_NUM_THREADS=1 python benchmarks/star/curriculum.py run --minutes 8
    python benchmarks/star/curriculum.py table

`run` trains what `results.jsonl` (of tables: `tables.jsonl`) does not hold yet, seed by seed, and
stops starting new runs after `--minutes`; the same command goes on. All arms of a seed begin with
the same warm-started weights and draw from the same questions. What an arm spends on measuring pass
rates beforehand (two stages) is taken off its training, so that every arm makes the same number of
rollouts. Every `EVERY` steps the policy answers the same test questions; the area under that curve
is over rollouts.
"""

from __future__ import annotations

import functools
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback, TrainerState

import rewards
from benchmarks import paired
from data.difficulty import measure
from data.solutions import Solution, sample, summary, verify
from data.tasks import Row, Task, make_task
from rewards.function import RewardFunction
from trainers import Curriculum, CurriculumSettings, OnlineTrainer
from trainers.models.tiny import TinySettings, tiny_model
from trainers.shapers import make_shaper

HERE = Path(__file__).parent
GENERATIONS = 8
EVERY = 20


@dataclass(frozen=True)
class Regime:
    """What is learnt, and for how long.

    Attributes:
        levels: trained on.
        steps: of training and, in rollouts, of what comes before it.
        prompts: of a step.
        questions: to train on.
        probe: rollouts of each that measure its pass rate.
        foothold: levels that are trained on as well and not tested.
        tests: questions to test on.
        warm_batch: demonstrations a step of the warm start.
        task: its name.
        options: of the task.
        reward: what says that an answer is right.
        goal: an accuracy; how many rollouts it takes to get there is compared.
        arms: names of `ARMS`; the others are held against the first.
    """

    levels: range
    steps: int = 240
    prompts: int = 32
    questions: int = 1024
    probe: int = 8
    foothold: tuple[int, ...] = ()
    tests: int = 400
    warm_batch: int = TinySettings.warm_batch
    task: str = "sort"
    options: dict[str, Any] = field(default_factory=dict)
    reward: str = "exact"
    goal: float = 0.5
    arms: tuple[str, ...] = ("none", "easy to hard", "two stages", "online")

    @property
    def results(self) -> Path:
        """The file of its runs."""
        return HERE / ("results.jsonl" if self.task == "sort" else "tables.jsonl")

    @property
    def rollouts(self) -> int:
        """Of a step."""
        return self.prompts * GENERATIONS


REGIMES = {
    "sort 2-8": Regime(range(2, 9)),
    "sort 2-9": Regime(range(2, 10)),
    "sort 2-9, long": Regime(range(2, 10), steps=480, arms=("none", "online")),
    # Levels 4-7 alone give no signal.
    "sort 4-7, foothold 3": Regime(range(4, 8), foothold=(3,)),
    # Level k asks for the k largest digits of a table of five or six, as a list.
    "tables": Regime(
        range(1, 5),
        steps=60,
        prompts=16,
        questions=256,
        probe=4,
        tests=160,
        warm_batch=64,
        task="micro_tables",
        options={"templates": ["top_1", "top_2", "top_3", "top_4"], "sizes": [5, 6], "ood_size": 0},
        reward="table_exact",
        goal=0.1,
        arms=("none", "easy to hard", "two stages", "online", "online + ucas", "composite"),
    ),
}
ONLINE = {
    "mode": "online",
    "by": "level",
    "filter": False,
    "recheck_every": 4,
    "recheck_share": 0.1,
}


@dataclass(frozen=True)
class Arm:
    """What is compared.

    Attributes:
        curriculum: fields of `CurriculumSettings`; None: TRL's order.
        shapers: names.
        rewards: weight by name; None: what says that an answer is right, alone.
    """

    curriculum: dict[str, Any] | None = None
    shapers: tuple[str, ...] = ()
    rewards: dict[str, float] | None = None


# Two stages: a question is easy if one of its probe's rollouts was right, for these models begin
# far below the paper's 0.6; the hard stage begins at the latest halfway.
ARMS = {
    "none": Arm(),
    "easy to hard": Arm({"mode": "easy_to_hard", "filter": False}),
    "two stages": Arm({"mode": "two_stage", "promote_at": 0.8, "on_exhausted": "again"}),
    "online": Arm(ONLINE),
    "online + ucas": Arm(ONLINE, shapers=("ucas",)),
    # The weights of reward=[table].
    "composite": Arm(rewards={"table_format": 0.2, "table_partial": 0.3, "table_exact": 0.5}),
}


@dataclass
class Started:
    """A model at its start, and what it is asked.

    Attributes:
        task: with rows to train on and to test on.
        model: warmed up.
        tokenizer: its own.
        seed: of all.
        reward: what says that an answer is right.
    """

    task: Task
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    seed: int
    reward: RewardFunction

    def solve(
        self, rows: list[Row], samples: int, salt: int, temperature: float = 1.0
    ) -> list[Solution]:
        """Verified solutions of these questions, `salt` telling one drawing from another."""
        drawn = sample(
            self.model,
            self.tokenizer,
            rows,
            samples=samples,
            temperature=temperature,
            max_new_tokens=self.task.max_completion_tokens,
            batch_size=800,
            seed=self.seed + salt,
        )
        return verify(drawn, self.reward, rows)


def task_of(given: Regime, seed: int) -> Task:
    """The task of a regime."""
    levels = [*given.foothold, *given.levels]
    sizes = {"train_size": given.questions, "dev_size": 0, "test_size": given.tests}
    return make_task(given.task, {"levels": levels, **sizes, **given.options}, seed=seed)


def begin(given: Regime, seed: int) -> Started:
    """The task and the warm-started model of a seed."""
    task = task_of(given, seed)
    model, tokenizer = tiny_model(TinySettings(warm_batch=given.warm_batch), task, seed=seed)
    return Started(task, model, tokenizer, seed, rewards.get(given.reward))


def train(
    started: Started,
    given: Regime,
    arm: Arm,
    steps: int,
    curriculum: Curriculum | None = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> TrainerState:
    """Train the model in place; the trainer's state with its log."""
    weights = arm.rewards or {given.reward: 1.0}
    trainer = OnlineTrainer(
        model=started.model,
        reward_funcs=[rewards.get(name) for name in weights],
        args=paired.recipe(
            per_device_train_batch_size=given.rollouts,
            num_generations=GENERATIONS,
            max_completion_length=started.task.max_completion_tokens,
            reward_weights=list(weights.values()),
            max_steps=steps,
            seed=started.seed,
        ),
        train_dataset=Dataset.from_list(started.task.train),
        processing_class=started.tokenizer,
        shapers=[make_shaper(name) for name in arm.shapers],
        curriculum=curriculum,
        accuracy_reward=given.reward,
        callbacks=list(callbacks),
    )
    trainer.train()
    return trainer.state


def kept(folder: Path, regime: str, name: str, seed: int) -> Path:
    """Where `run --keep FOLDER` puts a trained model."""
    return folder / f"{regime}-{name}-{seed}".replace(" ", "_")


def train_one(regime: str, name: str, seed: int, keep: Path | None = None) -> dict[str, Any]:
    """Train one run; its accuracy by level along the way."""
    given, arm, started = REGIMES[regime], ARMS[name], begin(REGIMES[regime], seed)
    asked = [row for row in started.task.test if row["level"] in given.levels]
    spent, curriculum, steps = 0, None, given.steps
    if arm.curriculum is not None:
        settings, rates = dict(arm.curriculum), None
        if settings["mode"] == "two_stage":
            rows = list({row["id"]: row for row in started.task.train}.values())
            solved = started.solve(rows, given.probe, 1000)
            spent = len(solved)
            steps -= -(-spent // given.rollouts)
            settings |= {"threshold": 1 / given.probe, "stage_rounds": steps // 2}
            measured = measure((one.question_id, one.verdict, one.level) for one in solved)
            rates = {one.question_id: one.pass_rate for one in measured}
        curriculum = Curriculum(CurriculumSettings(**settings), rates)
    curve: list[dict[str, Any]] = []

    def note(step: int) -> None:
        was_training = started.model.training
        found = summary(started.solve(asked, 2, 2000))
        started.model.train(was_training)
        point = {"rollouts": spent + step * given.rollouts, "accuracy": found["accuracy"]["value"]}
        point["levels"] = {k: v["accuracy"]["value"] for k, v in found["levels"].items()}
        curve.append(point)

    note(0)
    began = time.process_time()
    state = train(started, given, arm, steps, curriculum, [paired.every(EVERY, note)])
    seconds = time.process_time() - began
    note(state.global_step)
    if keep is not None:
        started.model.save_pretrained(kept(keep, regime, name, seed))
    return {
        "regime": regime,
        "arm": name,
        "seed": seed,
        "probe": spent,
        "steps": state.global_step,
        "curve": curve,
        "hard_from": hard_from(state.log_history),
        "cpu_seconds": round(seconds, 1),
        "torch": torch.__version__,
    }


def hard_from(log: list[dict[str, Any]]) -> int | None:
    """The first logged step of the hard stage; None if there was none."""
    return next((entry["step"] for entry in log if entry.get("curriculum/stage") == 2), None)


def figures(row: dict[str, Any]) -> dict[str, float]:
    """The figures of one run that are compared."""
    given = REGIMES[row["regime"]]
    return paired.progress(row, given.goal, given.steps * given.rollouts)


def table() -> None:
    """Print, per regime, each arm's figures, their paired difference, and accuracy by level."""
    for regime, given in REGIMES.items():
        rows = paired.done(given.results)
        here = {(a, s): row for (r, a, s), row in rows.items() if r == regime}
        if not here:
            continue
        print(f"\n### {regime}: {given.steps * given.rollouts} rollouts\n")
        paired.print_table(here, given.arms, given.arms[0], figures, given.goal)
        print(f"\n| arm | {' | '.join(f'level {level}' for level in given.levels)} |")
        print("| --- |" + " --- |" * len(given.levels))
        for arm in given.arms:
            levels: dict[int, list[float]] = defaultdict(list)
            for row in (row for (a, _), row in here.items() if a == arm):
                for level, value in row["curve"][-1]["levels"].items():
                    levels[int(level)].append(value)
            means = [sum(levels[at]) / len(levels[at]) for at in given.levels if levels[at]]
            if means:
                print(f"| {arm} | {' | '.join(f'{value:.2f}' for value in means)} |")


def main() -> None:
    """Parse the command line."""
    parser, runner = paired.command_line(__doc__, REGIMES, ARMS)
    runner.add_argument("--keep", type=Path, help="folder for the trained models")
    options = parser.parse_args()
    if options.command == "table":
        table()
        return
    jobs = paired.jobs(options, lambda regime, arm: arm in REGIMES[regime].arms)
    one = functools.partial(train_one, keep=options.keep)
    paired.run(lambda regime: REGIMES[regime].results, jobs, one, options.minutes)


if __name__ == "__main__":
    main()
