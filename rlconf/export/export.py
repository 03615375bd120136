"""`rlconf export`: a folder that `from_pretrained` takes anywhere, without rlconf or PEFT.

An adapter is merged into its base model in float32. Everything is written to a hidden folder beside
the target and renamed at the end, so that a folder of that name is a finished one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rewards.errors import CheckpointError, ConfigError
from rlconf.building.parts import build_model, build_task
from rlconf.console import Reporter, quiet_libraries
from rlconf.evaluation.targets import run_of, weights_of
from rlconf.export.card_facts import facts_of
from rlconf.export.model_card import card
from rlconf.files import write_text
from rlconf.runs.folder import RunFolder
from rlconf.settings import compose
from rlconf.settings.schema import Config

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["Exported", "export_command", "load_merged", "new_folder"]

DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Exported:
    """A model ready to be saved.

    Attributes:
        model: whole, without adapter.
        tokenizer: its tokenizer.
        base: what the weights started from: a folder, a file or a hub id.
        adapter: whether an adapter was merged.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    base: str
    adapter: bool


def export_command(
    target: str,
    folder: Path,
    *,
    dtype: str = "auto",
    base: str | None = None,
    force: bool = False,
    trust_remote_code: bool = False,
) -> int:
    """Save the target's model, tokenizer, generation config and card to a folder.

    Args:
        target: a run folder, a checkpoint in one, a model or adapter folder, a GGUF file, a hub id.
        folder: made here.
        dtype: "auto" (the base model's), "float32", "bfloat16" or "float16".
        base: instead of the base model that an adapter names.
        force: replace the model in `folder`.
        trust_remote_code: run Python that comes with the model.

    Returns:
        The exit status, 0.

    Raises:
        ConfigError: `folder` holds something, or the model cannot be loaded.
        CheckpointError: the run or checkpoint has no usable weights.
    """
    quiet_libraries()
    reporter = Reporter()
    run, weights = run_of(target), weights_of(target)
    with new_folder(folder, force=force, apart_from=weights) as draft:
        reporter.say(f"exporting {weights}")
        found = load_merged(weights, run, base=base, trust_remote_code=trust_remote_code)
        if dtype != "auto":
            import torch

            found.model.to(getattr(torch, dtype))
        found.model.save_pretrained(draft)
        found.tokenizer.save_pretrained(draft)
        facts = facts_of(
            folder.resolve().name,
            run,
            weights,
            base=found.base,
            adapter=found.adapter,
            dtype=str(found.model.dtype).removeprefix("torch."),
        )
        write_text(draft / "README.md", card(facts))
        for path in draft.iterdir():  # safetensors writes files that only their owner may read
            path.chmod(draft.stat().st_mode & 0o666)
    merged = " with its adapter merged" if found.adapter else ""
    reporter.say(f"the model{merged}, its tokenizer and a model card are in {folder}")
    return 0


def load_merged(
    weights: str,
    run: RunFolder | None = None,
    *,
    base: str | None = None,
    trust_remote_code: bool = False,
) -> Exported:
    """Load a model on the CPU; an adapter is merged into its base.

    Merging adds a small product to each weight, and in half precision part of it would be rounded
    away before the sum is. So the sum is taken in float32 and rounded once.

    Args:
        weights: a folder, a file or a hub id.
        run: the run that the weights come from, if any.
        base: instead of the base model that the adapter names.
        trust_remote_code: run Python that comes with the model.

    Raises:
        ConfigError: the model, or an adapter's base model, cannot be loaded.
        CheckpointError: merging gives weights that are not finite.
    """
    from peft import PeftConfig, PeftModel

    from trainers.models.load import load_policy

    config = None if run is None else compose.load(run.config)
    if (Path(weights) / "adapter_config.json").is_file():
        named = PeftConfig.from_pretrained(weights).base_model_name_or_path
    else:
        model, tokenizer = load_policy(weights, trust_remote_code=trust_remote_code)
        adapters = getattr(model, "peft_config", None)  # an adapter on the hub, loaded on its base
        if not adapters:
            if base is not None:
                raise ConfigError(f"--base {base}: {weights} holds a whole model, not an adapter")
            return Exported(model, tokenizer, _base_of(config) or weights, adapter=False)
        named = next(iter(adapters.values())).base_model_name_or_path
    named = base or named
    model, tokenizer = _load_base(named, config, trust_remote_code)
    saved = model.dtype
    model = PeftModel.from_pretrained(model.float(), weights)
    try:
        model = model.merge_and_unload(safe_merge=True)
    except ValueError as error:
        raise CheckpointError(f"{weights}: the adapter cannot be merged: {error}") from error
    if (Path(weights) / "tokenizer_config.json").is_file():
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(weights, trust_remote_code=trust_remote_code)
    return Exported(model.to(saved), tokenizer, _base_of(config) or named, adapter=True)


@contextmanager
def new_folder(folder: Path, *, force: bool, apart_from: str) -> Iterator[Path]:
    """A folder to write to, which takes the place of `folder` when everything is written.

    Args:
        folder: the final place.
        force: whether a model there may be replaced.
        apart_from: what is read meanwhile, and so must not be replaced.

    Raises:
        ConfigError: something is there that may not be replaced.
    """
    folder = folder.resolve()
    source = Path(apart_from).resolve()
    if source.exists() and (folder == source or folder in source.parents):
        raise ConfigError(f"--to {folder}: this holds what is to be exported; name another folder")
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--to {folder}: this is a file; expected a new folder")
    if folder.is_dir() and any(folder.iterdir()):
        _check_replaceable(folder, force)
    draft = folder.with_name(f".{folder.name}.exporting.{os.getpid()}")
    aside = folder.with_name(f".{folder.name}.replaced.{os.getpid()}")
    try:
        draft.mkdir(parents=True)
    except OSError as error:
        raise ConfigError(f"--to {folder}: it cannot be written there ({error})") from error
    try:
        yield draft
        if folder.exists():
            folder.rename(aside)
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        if aside.exists() and not folder.exists():
            aside.rename(folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _check_replaceable(folder: Path, force: bool) -> None:
    """Only what looks like a model is ever deleted: a slip must not cost a home folder."""
    if not force:
        raise ConfigError(f"--to {folder}: the folder is not empty; add --force to replace it")
    entries = list(folder.iterdir())
    if not (folder / "config.json").is_file() or any(entry.is_dir() for entry in entries):
        raise ConfigError(
            f"--to {folder}: --force replaces a model only, and this folder holds something else "
            f"({', '.join(sorted(entry.name for entry in entries)[:4])}, ...); name another folder"
        )


def _load_base(
    named: str | None, config: Config | None, trust_remote_code: bool
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    from trainers.models.load import load_policy

    if named is None:
        raise ConfigError("the adapter does not name its base model: say it with --base MODEL")
    tiny = config is not None and config.model.name == "tiny"
    if config is not None and tiny and not Path(named).exists():
        return build_model(config, build_task(config))  # the cache was emptied: made again
    revision = config.model.revision if config and config.model.path == named else None
    try:
        return load_policy(named, revision=revision, trust_remote_code=trust_remote_code)
    except ConfigError as error:
        hint = "If the adapter's base model has moved, say where it is: --base MODEL."
        raise ConfigError(f"{error}\n{hint}") from error


def _base_of(config: Config | None) -> str | None:
    """What a run started from, as its configuration names it."""
    return None if config is None else config.model.path or config.model.name
