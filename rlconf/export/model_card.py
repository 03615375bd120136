"""The model card of an exported model: what it is, how it was trained, how good it is.

A pure function from facts to Markdown.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCardData

from rlconf.evaluation.evaluate import share
from rlconf.export.card_facts import Facts, is_hub_id
from rlconf.redact import redact_text
from rlconf.settings import tree

__all__ = ["card"]

METHODS = {
    "ucas": "UCAS, uncertainty-aware advantage shaping (arXiv:2510.10649)",
    "grpo": "GRPO (arXiv:2402.03300)",
    "dpo": "DPO (arXiv:2305.18290) on pairs of sampled solutions",
    "replay": "SPEAR, self-imitation replay (arXiv:2509.22601)",
    "dynamic": "dynamic sampling of DAPO (arXiv:2503.14476)",
    "clip_cov": "Clip-Cov (arXiv:2505.22617)",
}
"""Names as people know them; any other part is called what the configuration calls it."""

_NO_METHOD = ("method", "logging_steps", "save_strategy", "save_steps")


def card(facts: Facts) -> str:
    """The card: YAML front matter and Markdown.

    The licence is given only where the base model's own card gives it: whoever publishes decides.
    """
    sections = [_head(facts), _use(facts)]
    if facts.config is not None:
        sections += [_training(facts), _figures(facts), _versions(facts), _settings(facts)]
    sections.append(_license_note(facts))
    body = "\n\n".join(section for section in sections if section)
    return redact_text(f"---\n{_front_matter(facts)}\n---\n\n{body}\n")


def _front_matter(facts: Facts) -> str:
    config = facts.config or {}
    tags = ["rlconf", "trl"]
    if config:
        tags += ["reinforcement-learning", str(config["trainer"].get("method", "grpo"))]
        tags += [name for group in _part_groups() for name in config.get(group, {})]
    if facts.adapter:
        tags.append("lora")
    data = ModelCardData(
        base_model=facts.base if facts.base and is_hub_id(facts.base) else None,
        library_name="transformers",
        pipeline_tag="text-generation",
        license=facts.license,
        tags=list(dict.fromkeys(tags)),
        datasets=[path] if is_hub_id(path := str(config.get("task", {}).get("path", ""))) else None,
        model_name=facts.title,
        eval_results=_eval_results(facts) or None,
    )
    text: str = data.to_yaml()
    return text.strip()


def _eval_results(facts: Facts) -> list[EvalResult]:
    """The sampled accuracy after training, as the hub shows it."""
    found = []
    for label, one in facts.evaluations.items():
        if label == "before" or one["sampled"]["accuracy"] is None:
            continue
        path = str((facts.config or {}).get("task", {}).get("path", ""))
        found.append(
            EvalResult(
                task_type="text-generation",
                dataset_type=path if is_hub_id(path) else one["task"],
                dataset_name=f"{one['task']}, {one['split']} split ({label})",
                metric_type="accuracy",
                metric_name=f"sampled accuracy at temperature {one['temperature']}",
                metric_value=round(one["sampled"]["accuracy"]["value"], 4),
            )
        )
    return found


def _head(facts: Facts) -> str:
    base = facts.base
    named = f"`{base}`" if base and base != "tiny" else "a tiny model built on the spot"
    if base is None:
        return f"# {facts.title}\n\nA causal language model, saved by rlconf in {facts.dtype}."
    if facts.config is None:
        how = "with its adapter merged" if facts.adapter else "as it was loaded"
        return f"# {facts.title}\n\n{named} {how}, saved by rlconf in {facts.dtype}."
    merged = " The LoRA adapter is merged into the weights." if facts.adapter else ""
    return (
        f"# {facts.title}\n\n{named[0].upper()}{named[1:]}, trained by reinforcement learning with "
        f"rlconf on the task `{_code(facts.config['task']['name'])}`.{merged} "
        f"Weights in {facts.dtype}."
    )


def _use(facts: Facts) -> str:
    return (
        "## Use\n\n```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        f'tokenizer = AutoTokenizer.from_pretrained("{facts.title}")\n'
        f'model = AutoModelForCausalLM.from_pretrained("{facts.title}")\n```'
    )


def _training(facts: Facts) -> str:
    config, session = facts.config or {}, facts.session
    trainer = config["trainer"]
    method = str(trainer.get("method", "grpo"))
    rows = {"method": METHODS.get(method, method) + _options(trainer, leave_out=_NO_METHOD)}
    for group in _part_groups():
        for name, options in config.get(group, {}).items():
            rows[group] = "; ".join(
                filter(None, [rows.get(group), METHODS.get(name, name) + _options(options)])
            )
    for part in ("replay", "dynamic"):
        if config.get(part):
            rows[part] = METHODS[part] + _options(config[part])
    if config.get("peft"):
        rows["adapter"] = "LoRA" + _options(config["peft"])
    task = config["task"]
    rows["task"] = task["name"] + _options(task, leave_out=("name",))
    told = [f"{name}{_options(options)}" for name, options in config["reward"].items()]
    rows["rewards"] = "; ".join(told) or "the task's own"
    rows["seed"] = str(config["seed"])
    if facts.step is not None:
        rows["optimiser steps"] = str(facts.step)
    if session.get("training_seconds") is not None:
        seconds = session["training_seconds"]
        rows["training time"] = f"{seconds:.0f} s on {session.get('processes', 1)} process(es)"
    if session.get("devices"):
        rows["devices"] = ", ".join(session["devices"])
    if facts.status not in (None, "finished"):
        rows["status"] = f"the run is {facts.status}, so these weights are not its last"
    lines = ["## Training", "", "| | |", "| --- | --- |"]
    lines += [f"| {label} | {_cell(text)} |" for label, text in rows.items()]
    if session.get("command"):
        command = " ".join(["rlconf", *map(shlex.quote, map(str, session["command"][1:]))])
        lines += ["", "Command:", "", _fenced(command, "sh")]
    return "\n".join(lines)


def _figures(facts: Facts) -> str:
    if not facts.evaluations:
        return ""
    lines = ["## Figures", "", "Share of right completions with its 95 % interval.", ""]
    lines += [
        "| evaluation | task | sampled | greedy | pass@k |",
        "| --- | --- | --- | --- | --- |",
    ]
    for label, one in facts.evaluations.items():
        asked = f"{one['questions']} questions x {one['samples']} samples"
        task = f"{one['task']}, {one['split']} split, {asked}, temperature {one['temperature']}"
        greedy = "" if one["greedy"] is None else share(one["greedy"]["accuracy"])
        passed = [
            f"@{k} {value:.3f}"
            for k, value in one["sampled"]["pass@k"].items()
            if value is not None and k != "1"
        ]
        row = (label, task, share(one["sampled"]["accuracy"]), greedy, ", ".join(passed))
        lines.append(f"| {' | '.join(map(_cell, row))} |")
    gained = (facts.gain or {}).get("sampled")
    if gained:
        lines += [
            "",
            f"After training less before, on the same {gained['questions']} questions: "
            f"{gained['value']:+.3f} [{gained['low']:+.3f}, {gained['high']:+.3f}] of sampled "
            "accuracy (paired bootstrap over the questions).",
        ]
    return "\n".join(lines)


def _versions(facts: Facts) -> str:
    versions = facts.session.get("versions")
    if not versions:
        return ""
    return "## Versions\n\n" + ", ".join(f"{name} {value}" for name, value in versions.items())


def _settings(facts: Facts) -> str:
    text = yaml.safe_dump(facts.config, sort_keys=False, allow_unicode=True)
    summary = "<summary>The whole configuration</summary>"
    return f"<details>{summary}\n\n{_fenced(text.rstrip(), 'yaml')}\n\n</details>"


def _license_note(facts: Facts) -> str:
    if facts.license is not None:
        said = f"The base model's card says `{facts.license}`"
        return f"## Licence\n\n{said}; the data may have terms of their own."
    return (
        "## Licence\n\nNot stated. It follows from the base model and the data: look theirs up and "
        "add `license:` to the front matter before publishing."
    )


def _part_groups() -> list[str]:
    """Groups of parts of the method, such as shapers."""
    return [group for group in tree.LIST_GROUPS if group != "reward"]


def _options(options: Mapping[str, Any], leave_out: tuple[str, ...] = ()) -> str:
    told = [
        f"{key}={value}"
        for key, value in options.items()
        if key not in leave_out and value is not None
    ]
    return f" ({', '.join(told)})" if told else ""


def _code(text: str) -> str:
    return text.replace("`", "'")


def _cell(text: str) -> str:
    """Text that stays text within a Markdown table: no column, tag, link or line of its own."""
    flat = " ".join(text.split())
    return re.sub(r"([\\|<>*_`\[\]])", r"\\\1", flat)


def _fenced(text: str, language: str) -> str:
    """A code block whose fence is longer than any within."""
    longest = max([2, *(len(ticks) for ticks in re.findall("`+", text))])
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
