"""What a configuration is: typed sections, one attribute per setting.

`rlconf.settings.compose.compose` reads Hydra's tree and the command line and returns a `Config`;
everything downstream (build, run, evaluate) reads it by attribute. Ten sections hold plain
dictionaries, because their keys belong to somebody else: `trainer` (TRL's `GRPOConfig` fields),
`task`, `environment` (of `data.environments`), `reward`, `shaper`, `filter` and `tools` (options of
what is registered under that name), `replay` (of `trainers.replay`), `dynamic` (of
`trainers.dynamic`) and `curriculum` (of `trainers.curriculum`). They are checked all the same.

This module imports the standard library only.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = [
    "CheckpointSection",
    "Config",
    "CrewDPOSection",
    "CrewSection",
    "DemonstrationsSection",
    "EvaluateSection",
    "GuardSection",
    "JudgeSection",
    "LaunchSection",
    "LoggingSection",
    "ModelSection",
    "PairsSection",
    "PeftSection",
    "RunSection",
    "SamplingSection",
    "SelectSection",
    "SpeedSection",
    "TrackingSection",
    "VoteSection",
    "to_dict",
]


@dataclass
class RunSection:
    """Where the run keeps its files.

    Attributes:
        root: folder that holds all runs; a run is `root/NAME/ID`.
        id: name of this run's folder. Null: the scheduler's job and task id, else the time.
        dir: the exact run folder, instead of `root/NAME/ID`.
    """

    root: str = "runs"
    id: str | None = None
    dir: str | None = None


@dataclass
class ModelSection:
    """The policy: a tiny model built on the spot, one that was fetched, or a path or hub id.

    Attributes:
        name: "tiny", "smollm2", or null for `path`.
        path: a local folder, a GGUF file or a hub id.
        revision: branch, tag or commit of a hub id.
        dtype: of the weights; "auto" takes what the checkpoint was saved in.
        attn_implementation: passed to transformers; null leaves the choice to it.
        chat_template: a Jinja file, instead of the template that comes with the tokenizer.
        trust_remote_code: run Python that comes with the checkpoint.
        max_prompt_tokens: longer prompts are left out of the training split. Null: none is.
        cache_dir: where models made or fetched here are kept. Null: `$RLCONF_CACHE`, else the
            user's cache folder.
        tiny: settings of the tiny model and its warm start (`trainers.models.tiny.TinySettings`).
    """

    name: Literal["tiny", "smollm2"] | None = "tiny"
    path: str | None = None
    revision: str | None = None
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    attn_implementation: str | None = None
    chat_template: str | None = None
    trust_remote_code: bool = False
    max_prompt_tokens: int | None = None
    cache_dir: str | None = None
    tiny: dict[str, Any] = field(default_factory=dict)


@dataclass
class PeftSection:
    """A LoRA adapter; the section is null when the whole model is trained.

    Attributes:
        r: rank.
        alpha: LoRA's scale; the update is multiplied by alpha / r.
        dropout: in the adapter, in [0, 1).
        target_modules: names of the layers that get an adapter, or "all-linear".
        quantize: the 4-bit format of the weights below the adapter (QLoRA); null leaves them whole.
        double_quantize: quantise the scales of the 4-bit blocks as well.
        compute_dtype: what 4-bit weights are multiplied in.
    """

    r: int = 16
    alpha: int = 32
    dropout: float = 0.0
    target_modules: str | list[str] = "all-linear"
    quantize: Literal["nf4", "fp4"] | None = None
    double_quantize: bool = True
    compute_dtype: Literal["float32", "bfloat16"] = "bfloat16"


@dataclass
class LaunchSection:
    """What the launcher is expected to have started; a run on anything else is refused.

    Attributes:
        name: of the choice, for messages.
        processes: how many processes (ranks). Null: as many as there are.
        distribution: how they share the model; deepspeed is any stage of ZeRO, fsdp either version.
            Null: whatever was launched.
    """

    name: str = "auto"
    processes: int | None = None
    distribution: (
        Literal["none", "ddp", "zero1", "zero2", "zero3", "deepspeed", "fsdp2", "fsdp"] | None
    ) = None


@dataclass
class SpeedSection:
    """What a step leaves out; each gives TRL's gradient up to rounding.

    Attributes:
        trim: columns that are padding in all rows of a micro-batch.
        sort: completions of like length share a micro-batch.
        skip: completions whose advantages are all 0.
        signals: the forward that reads confidence, where completions are sampled here: it is read
            off the logits that they are sampled from.
    """

    trim: bool = False
    sort: bool = False
    skip: bool = False
    signals: bool = False


@dataclass
class TrackingSection:
    """Where metrics go beside `metrics.jsonl`, which is always written.

    Attributes:
        wandb: Weights & Biases.
        tensorboard: event files in the run folder.
        trackio: a local dashboard, `trackio show`.
        project: project of the run (`wandb`, `trackio`).
        run_name: how the run is shown there (`wandb`, `trackio`). Null: NAME-ID.
        group: runs shown together (`wandb`, `trackio`).
        tags: words to find the run by (`wandb`).
        entity: team or user (`wandb`); null: the account's default.
        mode: online or offline (`wandb`). Null: `$WANDB_MODE`, else online.
        rollout_rows: completions in each step's table (`wandb`), 0 for no table.
    """

    wandb: bool = False
    tensorboard: bool = False
    trackio: bool = False
    project: str = "rlconf"
    run_name: str | None = None
    group: str | None = None
    tags: list[str] = field(default_factory=list)
    entity: str | None = None
    mode: Literal["online", "offline"] | None = None
    rollout_rows: int = 32


@dataclass
class EvaluateSection:
    """The evaluation before and after training, and of `rlconf evaluate`.

    Attributes:
        samples: completions per question.
        temperature: of sampling.
        top_p: of sampling, in (0, 1].
        greedy: also decode each question once without sampling.
        ks: the k of pass@k, each at most `samples`.
        split: of the task.
        limit: questions used, the first of the split. Null: all.
        batch_size: completions generated together on one device.
        max_new_tokens: of a completion. Null: the training run's limit.
        before: evaluate before training as well.
        after: evaluate after training.
    """

    samples: int = 8
    temperature: float = 1.0
    top_p: float = 1.0
    greedy: bool = True
    ks: list[int] = field(default_factory=lambda: [1, 4, 8])
    split: Literal["train", "dev", "test", "ood"] = "test"
    limit: int | None = None
    batch_size: int = 256
    max_new_tokens: int | None = None
    before: bool = True
    after: bool = True


@dataclass
class SamplingSection:
    """Solutions drawn outside training: `rlconf sample`.

    Attributes:
        engine: what generates: transformers, or vLLM on a GPU.
        n: solutions of each question.
        temperature: of sampling.
        top_p: of sampling, in (0, 1].
        max_new_tokens: of a solution. Null: the training run's limit.
        batch_size: solutions generated together on one device, and about as many as are written
            at a time.
        split: of the task.
        limit: questions used, the first of the split. Null: all.
        path: the Parquet file. Null: `solutions/NAME.parquet`.
    """

    engine: Literal["hf", "vllm"] = "hf"
    n: int = 8
    temperature: float = 1.0
    top_p: float = 1.0
    max_new_tokens: int | None = None
    batch_size: int = 64
    split: Literal["train", "dev", "test", "ood"] = "train"
    limit: int | None = None
    path: str | None = None


@dataclass
class DemonstrationsSection:
    """What `trainer=sft` learns from: the task's own rows, or solutions that were sampled.

    Attributes:
        path: a Parquet file of `rlconf sample`, of which right and finished solutions are taken.
            Null: the task's training rows.
        column: column of the rows that holds the demonstration. Null: `demonstration` or
            `solution` if the rows have one, else the gold answer in `template`.
        template: how a gold answer is written out; {answer} stands for it.
        max_per_question: different solutions of one question that are taken. Null: all.
        prefer: which of them: the first, or the shortest.
        leaks: phrases of solutions that are left out, for a teacher that was shown the answer.
        as_text: learn the texts of a teacher with another tokenizer, not its tokens.
    """

    path: str | None = None
    column: str | None = None
    template: str = "{answer}"
    max_per_question: int | None = None
    prefer: Literal["first", "shortest"] = "first"
    leaks: list[str] = field(default_factory=list)
    as_text: bool = False


@dataclass
class CrewSection:
    """How confidence in an answer is measured (CRew): `rlconf pairs` and `rlconf crew-dpo`.

    Attributes:
        locator: where the answer stands in a solution (`rewards.answers`).
        pattern: the regular expression of `locator=regex`.
        aggregate: of the probabilities of the answer's tokens.
        span: the answer's tokens: those that overlap it, or those inside it only.
        batch_size: solutions scored together on one device.
    """

    locator: Literal["final", "boxed", "tag", "number", "hash", "regex"] = "boxed"
    pattern: str | None = None
    aggregate: Literal["mean", "geometric", "product", "min"] = "mean"
    span: Literal["overlap", "strict"] = "overlap"
    batch_size: int = 16


@dataclass
class PairsSection:
    """Preference pairs: what `rlconf pairs` writes and `trainer=dpo` learns from.

    Attributes:
        method: "gap" takes the pairs that differ most in confidence; "random" any right and wrong
            solutions; "rest_em" makes no pairs but takes right solutions, for trainer=sft.
        confidence: the measure of the gap, by its name in the solutions.
        top_k: pairs of each question (`gap`).
        gap: chosen minus rejected, or its size (`gap`).
        min_gap: least gap of a pair. Null: any (`gap`).
        max_uses: pairs that one solution may be in. Null: any number (`gap`).
        per_question: of each question, pairs (`random`) or right solutions (`rest_em`).
        file: the Parquet file. Null: `pairs/NAME.parquet`.
        dev_file: pairs of dev questions, for `trainer.eval_strategy`.
        scored: a file of scored solutions, taken as it is. Null: solutions are sampled and scored.
        any_model: train on pairs although another model was scored.
    """

    method: Literal["gap", "random", "rest_em"] = "gap"
    confidence: str = "crew"
    top_k: int = 10
    gap: Literal["signed", "abs", "reversed"] = "signed"
    min_gap: float | None = None
    max_uses: int | None = None
    per_question: int = 10
    file: str | None = None
    dev_file: str | None = None
    scored: str | None = None
    any_model: bool = False


@dataclass
class CrewDPOSection:
    """The rounds of `rlconf crew-dpo`.

    Attributes:
        iterations: rounds of sampling, scoring, pairing and training.
        restart_from_initial: every round trains the initial model, on pairs of the latest one; else
            the latest model itself. What training starts from is its reference.
        choose_by: of the checkpoints of a round, the one with the best accuracy on the dev split,
            "sampled" or "greedy"; "last" takes the last without a look.
        path: the folder of all rounds. Null: `crew_dpo/NAME`.
    """

    iterations: int = 2
    restart_from_initial: bool = False
    choose_by: Literal["sampled", "greedy", "last"] = "sampled"
    path: str | None = None


@dataclass
class JudgeSection:
    """What `rlconf judge` measures; where the answer stands says `crew`.

    Attributes:
        measures: names of measures (`data.solutions.judging`).
        template: the prompt of a problem that comes as text; {problem} stands for it. A chat
            message has no white space around it.
        chat: send the prompt as a chat message. Null: if the tokenizer has a chat template.
        steps: how a solution that is a list of steps becomes a text.
        equality: which answers are the same where a gold answer decides: by value, or as text.
        judge_prompt: of `judge`, with {problem} and {solution}. Null: the one shipped.
        verifier_prompt: of `verifier`, likewise.
        max_new_tokens: of what `judge` writes.
        deepconf_window: tokens of a window of `deepconf`; all of a shorter solution.
        bins: of the reliability diagram and the ECE.
        limit: problems used, the first of the file. Null: all.
        path: the Parquet file. Null: `solutions/FILE.judged.parquet`.
    """

    measures: list[str] = field(default_factory=lambda: ["crew"])
    template: str = (
        "{problem}\n\nPlease reason step by step, and put your final answer within \\boxed{}.\n"
    )
    chat: bool | None = None
    steps: Literal["newline", "numbered"] = "newline"
    equality: Literal["math", "text"] = "math"
    judge_prompt: str | None = None
    verifier_prompt: str | None = None
    max_new_tokens: int = 256
    deepconf_window: int = 2048
    bins: int = 10
    limit: int | None = None
    path: str | None = None


@dataclass
class VoteSection:
    """How `rlconf vote` turns several solutions of a question into one answer.

    Attributes:
        methods: names of voting methods (`data.solutions.vote`), compared side by side.
        measure: confidence to weigh by. Null: each method's own.
        equality: which answers are the same: by value, or as text.
        scale: confidences of a question as they are, or the lowest as 0 and the highest as 1.
        sizes: numbers of solutions on the curve. Null: 1, 2, 4, ... and all.
        subsets: of a question's solutions that a point of the curve averages over, at most.
        options: of methods, as in `vote.options.cisc.temperature=0.1`: `star.weights`,
            `cisc.temperature`, `borda.power`, `deepconf.keep`, and `measure` of each that weighs.
        path: the Parquet file. Null: `solutions/FILE.votes.parquet`.
    """

    methods: list[str] = field(default_factory=lambda: ["majority"])
    measure: str | None = None
    equality: Literal["math", "text"] = "math"
    scale: Literal["raw", "minmax"] = "raw"
    sizes: list[int] | None = None
    subsets: int = 100
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    path: str | None = None


@dataclass
class SelectSection:
    """Which right solutions `rlconf select` takes to learn from.

    Attributes:
        prefer: the least sure, the surest, any, or the first ones.
        measure: the confidence.
        per_question: solutions of each question, at most.
        path: the Parquet file. Null: `solutions/FILE.selected.parquet`.
    """

    prefer: Literal["low", "high", "random", "first"] = "low"
    measure: str = "crew"
    per_question: int = 1
    path: str | None = None


@dataclass
class LoggingSection:
    """What the run folder records.

    Attributes:
        rollouts: write every completion with its rewards to `rollouts/*.parquet`.
        every: record each n-th generation batch.
        token_samples: completions of a recorded generation whose tokens are written to
            `tokens/*.parquet`, with certainty and advantage. 0: none.
        plots: draw `plots/*.png` at the end.
        report: write `report.html` at the end.
        max_completion_chars: cut recorded texts. Null: whole.
    """

    rollouts: bool = True
    every: int = 1
    token_samples: int = 8
    plots: bool = True
    report: bool = True
    max_completion_chars: int | None = None


@dataclass
class CheckpointSection:
    """What is kept; how often to save is TRL's `trainer.save_steps`.

    Attributes:
        keep: newest complete checkpoints kept. Null: all.
        final_model: save the trained model to `model/` at the end.
    """

    keep: int | None = 2
    final_model: bool = True


@dataclass
class GuardSection:
    """What keeps a run from hanging or from going on with wrong numbers.

    The first four are limits of rewards that run in worker processes (`rewards.Isolation`). They
    hold for all of these, `reward.NAME.timeout` and so on for one; null leaves each reward its own.
    The limits of phases are seconds after which a run that stands still is ended; null: no limit.

    Attributes:
        reward_timeout: seconds on the clock for one completion.
        reward_memory_gib: GiB that a process may take beyond what its imports took.
        reward_workers: processes of each reward on each rank; 0: one a core, at most 4.
        reward_on_failure: reward of a completion that was stopped, crashed or raised: "none" (not
            scored), a number, or "stop" (the run ends).
        startup_limit: of building: data, weights, warm start, trainer.
        generation_limit: of one generation batch without its rewards.
        reward_limit: of all rewards of one generation batch.
        step_limit: of the rest of one optimiser step: forward, backward, logging.
        checkpoint_limit: of writing one checkpoint, or the files at the end.
        evaluation_limit: of one evaluation.
        nan: what a NaN or infinite loss or gradient does: "stop" the run, or "skip" that
            optimiser step.
        doctor: look for sick numbers every so many rows of `metrics.jsonl`, later every tenth of
            them, and say each finding once (`rlconf doctor`). 0: do not.
    """

    reward_timeout: float | None = None
    reward_memory_gib: float | None = None
    reward_workers: int | None = None
    reward_on_failure: float | Literal["none", "stop"] | None = None
    startup_limit: float | None = 7200.0
    generation_limit: float | None = 3600.0
    reward_limit: float | None = 1800.0
    step_limit: float | None = 1800.0
    checkpoint_limit: float | None = 3600.0
    evaluation_limit: float | None = 14400.0
    nan: Literal["stop", "skip"] = "stop"
    doctor: int = 20


@dataclass
class Config:
    """A whole configuration.

    Attributes:
        name: of the run, the folder above its id.
        seed: of data, model, sampling and data order.
        resume: null, "auto" (this run's newest complete checkpoint) or the path of a run or
            checkpoint.
        plugins: Python files that were imported; set from the command line or the environment only.
        trainer: `method` and any field of TRL's config class, only those that were set.
        task: `name` and that task's options.
        environment: where the task is played: `name` (null: the task's own, if it has one), the
            environment's options, and fields of `data.environments.EnvironmentSettings`.
        reward: options by reward name, each with its `weight` and `decay`, the generations over
            which the weight falls to 0; empty: the task's own rewards.
        shaper: options by shaper name, in the order in which they are applied.
        filter: options by filter name; a completion must pass all.
        tools: options by tool name, of what the model may call while it writes.
        replay: fields of `trainers.replay.ReplaySettings`. Null: nothing is replayed.
        dynamic: fields of `trainers.dynamic.DynamicSettings`. Null: groups without variance stay.
        curriculum: fields of `trainers.curriculum.CurriculumSettings`, and two more: `path`, a file
            of pass rates by `rlconf difficulty`, and `stages`, a list of differences over this
            section and, under `trainer`, over the trainer's, one training after the other. Null:
            prompts in TRL's order.
    """

    name: str = "rlconf"
    seed: int = 0
    resume: str | None = None
    plugins: list[str] = field(default_factory=list)
    run: RunSection = field(default_factory=RunSection)
    trainer: dict[str, Any] = field(default_factory=dict)
    task: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    reward: dict[str, dict[str, Any]] = field(default_factory=dict)
    shaper: dict[str, dict[str, Any]] = field(default_factory=dict)
    filter: dict[str, dict[str, Any]] = field(default_factory=dict)
    tools: dict[str, dict[str, Any]] = field(default_factory=dict)
    replay: dict[str, Any] | None = None
    dynamic: dict[str, Any] | None = None
    curriculum: dict[str, Any] | None = None
    model: ModelSection = field(default_factory=ModelSection)
    peft: PeftSection | None = None
    launch: LaunchSection = field(default_factory=LaunchSection)
    speed: SpeedSection = field(default_factory=SpeedSection)
    tracking: TrackingSection = field(default_factory=TrackingSection)
    evaluate: EvaluateSection = field(default_factory=EvaluateSection)
    sampling: SamplingSection = field(default_factory=SamplingSection)
    demonstrations: DemonstrationsSection = field(default_factory=DemonstrationsSection)
    crew: CrewSection = field(default_factory=CrewSection)
    pairs: PairsSection = field(default_factory=PairsSection)
    crew_dpo: CrewDPOSection = field(default_factory=CrewDPOSection)
    judge: JudgeSection = field(default_factory=JudgeSection)
    vote: VoteSection = field(default_factory=VoteSection)
    select: SelectSection = field(default_factory=SelectSection)
    logging: LoggingSection = field(default_factory=LoggingSection)
    checkpoint: CheckpointSection = field(default_factory=CheckpointSection)
    guard: GuardSection = field(default_factory=GuardSection)


def to_dict(config: Config) -> dict[str, Any]:
    """The configuration as plain dictionaries, lists and scalars, as `config.yaml` holds it."""
    return dataclasses.asdict(config)
