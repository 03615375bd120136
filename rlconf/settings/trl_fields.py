"""TRL's configuration classes, one for each method, read as names, types and defaults.

TRL's dataclass cannot be a structured config of Hydra's (unions of containers), so the trainer's
section is a plain mapping that is checked against the dataclass here. Importing this module is
cheap; the functions import TRL, and with it torch.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any, Literal, get_args

from rlconf.settings.fields import read_fields
from rlconf.settings.problems import Problem

__all__ = [
    "CONFIG_CLASSES",
    "ELSEWHERE",
    "config_class",
    "defaults",
    "effective",
    "fitting",
    "method_of",
    "read_trainer",
    "types",
]

CONFIG_CLASSES = {"grpo": "GRPOConfig", "sft": "SFTConfig", "dpo": "DPOConfig"}
"""TRL's configuration class of each `trainer.method`."""

# Fields of TRL's that another setting of ours decides, and names that people try because older
# releases had them: what to type instead.
ELSEWHERE = {
    "output_dir": "the run folder is set by run.root, run.id or run.dir",
    "run_name": "set name= and run.id=, or tracking.run_name=",
    "seed": "set seed=, which also seeds the data and the model",
    "report_to": "choose tracking=wandb, tensorboard, trackio or none",
    "project": "set tracking.project=",
    "logging_dir": "event files go to the run folder",
    "resume_from_checkpoint": "set resume=auto or resume=PATH",
    "reward_weights": "set reward.NAME.weight=",
    "save_total_limit": "set checkpoint.keep=: rlconf rotates checkpoints once they are complete",
    "model_init_kwargs": "set model.dtype=, model.attn_implementation= or model.revision=",
    "trust_remote_code": "set model.trust_remote_code=",
    "hub_token": "set $HF_TOKEN or log in with `hf auth login`: the run folder would keep a token",
    "parallelism_config": "TRL's GRPO does not support it, and rlconf sets none",
    "do_train": "use `rlconf train`",
    "do_eval": "set trainer.eval_strategy=steps",
    "chat_template_path": "set model.chat_template=",
    "do_predict": "use `rlconf evaluate`",
    "local_rank": "the launcher sets it",
    "max_seq_length": "TRL calls it trainer.max_length now",
    "max_prompt_length": "TRL has no such field any more: set model.max_prompt_tokens=",
    "warmup_ratio": "set trainer.warmup_steps= to a number below 1, the share of all steps",
}

_CHOICES: dict[str, dict[str, Any]] = {
    "grpo": {
        "loss_type": Literal["dapo", "grpo", "dr_grpo", "bnpo", "cispo", "sapo", "luspo", "vespo"],
        "importance_sampling_level": Literal["token", "sequence"],
        "scale_rewards": Literal["group", "batch", "none"] | bool,
        "multi_objective_aggregation": Literal["sum_then_normalize", "normalize_then_sum"],
        "vllm_mode": Literal["colocate", "server"],
        "vllm_importance_sampling_mode": Literal[
            "token_truncate", "token_mask", "sequence_truncate", "sequence_mask"
        ],
    },
    "sft": {
        "loss_type": Literal["nll", "dft"],
        "packing_strategy": Literal["bfd", "bfd_split", "wrapped"],
        "truncation_mode": Literal["keep_start", "keep_end"],
    },
    "dpo": {
        "truncation_mode": Literal["keep_start", "keep_end"],
        "f_divergence_type": Literal[
            "reverse_kl", "forward_kl", "js_divergence", "alpha_divergence"
        ],
    },
}
"""Fields that TRL annotates as text; a contract test holds the lists against TRL."""


def method_of(trainer: Mapping[str, Any]) -> str:
    """The method of a trainer's section; one that does not exist is answered for as grpo."""
    method = str(trainer.get("method", "grpo"))
    return method if method in CONFIG_CLASSES else "grpo"


def config_class(method: str) -> Any:
    """TRL's configuration class of a method."""
    import trl

    return getattr(trl, CONFIG_CLASSES[method])


@functools.cache
def types(method: str = "grpo") -> dict[str, Any]:
    """Annotation of every field that can be set, by name."""
    fields = dataclasses.fields(config_class(method))
    hints = {field.name: _plain_hint(field.type) for field in fields if field.init}
    hints["fsdp"] |= bool  # as its own help says; the annotation is that of a bare `--fsdp`
    return {"method": Literal[tuple(CONFIG_CLASSES)], **hints, **_CHOICES[method]}


@functools.cache
def defaults(method: str = "grpo") -> Mapping[str, Any]:
    """TRL's default of every field, by name."""
    return {
        field.name: field.default_factory()
        if field.default_factory is not dataclasses.MISSING
        else field.default
        for field in dataclasses.fields(config_class(method))
        if field.init
    }


def fitting(trainer: Mapping[str, Any]) -> dict[str, Any]:
    """What a method can use of the settings that files of the tree put together.

    A model's recipe or `debug=fast` sets the batch of every method in one file; `num_generations`
    in it says nothing to SFT. What a person sets is never filtered, but checked.
    """
    if (method := method_of(trainer)) == "grpo":  # and TRL need not be read
        return dict(trainer)
    foreign = _foreign(method, trainer)
    return {name: value for name, value in trainer.items() if name not in foreign}


def read_trainer(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """Check the trainer's section against the class of its method.

    Returns:
        What is right in it, and what is wrong.
    """
    problems = [
        Problem(f"trainer.{name}: {ELSEWHERE[name]}", (f"trainer.{name}",))
        for name in values
        if name in ELSEWHERE
    ]
    method = method_of(values)
    known = {name: hint for name, hint in types(method).items() if name not in ELSEWHERE}
    foreign = _foreign(method, values)
    problems += [
        Problem(
            f"trainer.{name}: trainer={method} has no such setting, it belongs to trainer={home}: "
            "leave it out",
            (f"trainer.{name}",),
        )
        for name, home in sorted(foreign.items())
    ]
    rest = {n: value for n, value in values.items() if n not in ELSEWHERE and n not in foreign}
    good, found = read_fields(known, rest, "trainer")
    return good, problems + found


def _foreign(method: str, names: Iterable[str]) -> dict[str, str]:
    """Which of the names only another method has, and which one; no class is read without need."""
    unknown = [name for name in names if name not in types(method) and name not in ELSEWHERE]
    others = [other for other in CONFIG_CLASSES if unknown and other != method]
    return {name: other for other in reversed(others) for name in unknown if name in types(other)}


def _plain_hint(hint: Any) -> Any:
    """The annotation as YAML sees it: `SomeEnum | str` means one of the enum's values."""
    args = get_args(hint)
    enums = [arg for arg in args if isinstance(arg, type) and issubclass(arg, enum.Enum)]
    if not enums:
        return hint
    values: Any = Literal[tuple(str(member.value) for member in enums[0])]
    return values | None if type(None) in args else values


def effective(trainer: Mapping[str, Any]) -> SimpleNamespace:
    """The trainer's settings with TRL's defaults where nothing is set."""
    return SimpleNamespace(**{**defaults(method_of(trainer)), **trainer})
