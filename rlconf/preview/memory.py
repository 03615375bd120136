"""The memory of a configuration, told by `rlconf validate`: reads a model's config, no weights."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from rlconf.building.policy import build_peft, build_tokenizer
from rlconf.runs.topology import asked
from rlconf.settings import arithmetic
from rlconf.settings.memory import Ledger, Load, Precision, Shape, Sharding, ledger
from rlconf.settings.schema import Config

if TYPE_CHECKING:
    from data.tasks import Task

__all__ = ["load_of", "shape_of", "told"]

# Numbers that an optimiser keeps for each parameter, in the parameter's own type; AdamW's two are
# the default. Those of few bits keep so many bytes of each (the scale of a block is left out).
_STATES = {"sgd": 0.0, "adafactor": 0.0, "lion": 1.0, "rmsprop": 1.0, "adagrad": 1.0}
_STATE_BYTES = {"8bit": 1.0, "4bit": 0.5}
# Bytes of a weight in 4 bits with its block's scale: Dettmers et al. 2023 (QLoRA), section 3.
_QUANTISED = {True: 0.5 + 0.127 / 8, False: 0.5 + 0.5 / 8}


def told(
    config: Config,
    args: SimpleNamespace,
    batch: arithmetic.Batch,
    prompt: int | None,
    completion: int | None,
    *,
    task: Task | None = None,
    replayed: int = 0,
) -> list[str]:
    """What a process takes in each phase, one sentence each, and why.

    Args:
        config: composed and checked.
        args: trainer settings, defaults filled in.
        batch: the generation batch.
        prompt: most tokens of a prompt, None if nobody knows yet.
        completion: most tokens of a completion.
        task: whose words a tiny model knows, if it is at hand.
        replayed: rows trained on beside a micro-batch.
    """
    model = _bare_model(config, task)
    if model is None:
        whose = config.model.path or config.model.name
        return [f"not known before the config.json of {whose} is on this machine"]
    if prompt is None or completion is None:
        return ["not known before the prompts are; set model.max_prompt_tokens for an upper bound"]
    shape = shape_of(model, config)
    load = load_of(config, args, batch, prompt, completion, replayed, _bytes_as_kept(model, config))
    return _lines(shape, load, ledger(shape, load), config, args)


def shape_of(model: Any, config: Config) -> Shape:
    """The sizes of a model without weights (on the meta device), and what of it is trained."""
    sizes = model.config.get_text_config()
    parameters = sum(one.numel() for one in model.parameters())
    heads = sizes.num_attention_heads
    experts = getattr(sizes, "num_experts_per_tok", None)
    intermediate = getattr(sizes, "intermediate_size", None) or 4 * sizes.hidden_size
    if experts:
        intermediate = experts * (getattr(sizes, "moe_intermediate_size", None) or intermediate)
    trained = parameters
    if config.peft is not None:
        from peft import get_peft_model

        model = get_peft_model(model, build_peft(config.peft))
        trained = sum(one.numel() for one in model.parameters() if one.requires_grad)
    return Shape(
        parameters=parameters,
        trained=trained,
        vocabulary=sizes.vocab_size,
        hidden=sizes.hidden_size,
        layers=sizes.num_hidden_layers,
        heads=heads,
        kv_heads=getattr(sizes, "num_key_value_heads", None) or heads,
        head_dim=getattr(sizes, "head_dim", None) or sizes.hidden_size // heads,
        intermediate=intermediate,
        tied=bool(getattr(sizes, "tie_word_embeddings", False)),
        adapter=config.peft is not None,
    )


def load_of(
    config: Config,
    args: SimpleNamespace,
    batch: arithmetic.Batch,
    prompt: int,
    completion: int,
    replayed: int,
    kept: float,
) -> Load:
    """What one process does, from the trainer's settings.

    Args:
        config: composed and checked.
        args: trainer settings, defaults filled in.
        batch: the generation batch.
        prompt: most tokens of a prompt.
        completion: most tokens of a completion.
        replayed: rows trained on beside a micro-batch.
        kept: bytes of a weight as it is loaded.
    """
    sharding = _sharding(config, batch.ranks)
    mixed, zero, loaded = args.bf16 or args.fp16, sharding.startswith("zero"), kept
    if zero and mixed:
        kept = loaded = min(kept, 2)  # DeepSpeed turns the weights into 16 bits
    trained = 4 if config.peft is not None else max(1, math.ceil(kept))
    if sharding == "fsdp" and mixed:
        trained = 4  # Accelerate turns what is trained into float32
        kept = kept if config.peft is not None else 4
    precision: Precision = "float32"
    if kept < 4:
        precision = "bfloat16"
    elif mixed:
        precision = "autocast"
    optimiser = str(getattr(args.optim, "value", args.optim))
    states = next((value for name, value in _STATES.items() if name in optimiser), 2.0)
    state_bytes = next((n for name, n in _STATE_BYTES.items() if name in optimiser), None)
    if state_bytes is not None:
        states *= state_bytes / (4 if zero else trained)
    return Load(
        rows=batch.micro_batch + replayed,
        generated=batch.micro_batch * batch.steps_per_generation,
        prompt=prompt,
        completion=completion,
        weight_bytes=kept,
        trained_bytes=trained,
        reference_bytes=loaded,
        precision=precision,
        states=states,
        ranks=batch.ranks,
        sharding=sharding,
        checkpointing=bool(args.gradient_checkpointing),
        accumulates=batch.accumulation > 1,
        beta=args.beta != 0,
        masks=not str(config.model.attn_implementation).startswith("flash"),
        engine=bool(args.use_vllm),
        cpu=_on_cpu(config.trainer.get("use_cpu")),
    )


def _sharding(config: Config, ranks: int) -> Sharding:
    """What the launch shares out, as far as settings and launcher say."""
    wanted = asked(config)
    if wanted.kind == "FSDP":
        return "fsdp"
    if wanted.kind == "DEEPSPEED":
        stages: dict[int, Sharding] = {1: "zero1", 2: "zero2", 3: "zero3"}
        return stages.get(wanted.zero_stage or 2, "ddp")  # 2 is Accelerate's default
    return "ddp" if ranks > 1 else "none"


def _on_cpu(asked_for: bool | None) -> bool:
    """Where this would run if it were started here."""
    import torch

    return not torch.accelerator.is_available() if asked_for is None else asked_for


def _bare_model(config: Config, task: Task | None) -> Any:
    """The architecture without weights; None where its config.json is not on this machine."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    section = config.model
    if section.name == "tiny":
        from trainers.models.tiny import TinySettings, tiny_config

        if task is None:
            return None
        sizes = tiny_config(TinySettings(**section.tiny), build_tokenizer(config, task))
    else:
        source = section.path
        if section.name == "smollm2":
            from trainers.models import smollm2

            if smollm2.missing(section.cache_dir):
                return None
            source = str(smollm2.smollm2_folder(section.cache_dir))
        try:
            sizes = AutoConfig.from_pretrained(
                source,
                revision=section.revision,
                trust_remote_code=section.trust_remote_code,
                local_files_only=True,
            )
        except (OSError, ValueError):
            return None
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(
            sizes, trust_remote_code=section.trust_remote_code, attn_implementation="sdpa"
        )


def _bytes_as_kept(model: Any, config: Config) -> float:
    """Bytes of a weight once it is loaded."""
    if config.peft is not None and config.peft.quantize is not None:
        head = model.config.get_text_config()
        parameters = sum(one.numel() for one in model.parameters())
        whole = head.vocab_size * head.hidden_size * (1 if head.tie_word_embeddings else 2)
        quantised = _QUANTISED[config.peft.double_quantize]
        return (whole * 2 + (parameters - whole) * quantised) / parameters
    dtype = str(config.model.dtype)
    if dtype == "auto":  # as it was saved
        dtype = str(getattr(model.config, "dtype", None) or "float32")
    return 4 if "float32" in dtype else 2


def _lines(
    shape: Shape, load: Load, found: Ledger, config: Config, args: SimpleNamespace
) -> list[str]:
    """The ledger in words."""
    where = "the CPU" if load.cpu else "a GPU"
    shared = {"none": "", "ddp": "", "fsdp": ", FSDP"}.get(load.sharding)
    shared = f", ZeRO-{load.sharding[-1]}" if shared is None else shared
    over = f" over {load.ranks} ranks" if load.ranks > 1 else ""
    half = args.fp16 and load.precision == "bfloat16"
    precision = "float16" if half else load.precision
    cache = f"KV cache {size(found.parts['KV cache'])}"
    if load.engine:
        cache = "without vLLM's own"
    own = f", {shape.trained / 1e6:.3g} M trained" if shape.adapter else ""
    lines = [
        f"of one process on {where}: {shape.parameters / 1e6:.4g} M parameters{own}, "
        f"{precision}{shared}{over}; rows of {load.prompt} + {load.completion} tokens",
        "in every phase: " + _sum(found.stays),
        f"generation: {size(found.phases['generation'])}, {cache}",
        f"scoring without gradient: {size(found.phases['scoring'])}",
        f"training: {size(found.phases['training'])}, of which "
        + _sum({name: found.parts[name] for name in ("activations", "gradients", "logits")}),
    ]
    name, most = found.peak
    lines.append(f"peak: {size(most)} in {name}")
    if load.engine and args.vllm_mode == "colocate":
        lines.append(
            f"vLLM takes {args.vllm_gpu_memory_utilization:.0%} of each GPU's memory beside it "
            "(trainer.vllm_gpu_memory_utilization)"
        )
    return lines


def _sum(parts: dict[str, float]) -> str:
    """`weights 1.2 GiB + optimiser 2.3 GiB`."""
    return " + ".join(f"{name} {size(value)}" for name, value in parts.items())


def size(count: float) -> str:
    """Bytes in MiB, from 1000 MiB on in GiB."""
    mebibytes = count / 2**20
    return f"{mebibytes:.0f} MiB" if mebibytes < 1000 else f"{mebibytes / 1024:.3g} GiB"
