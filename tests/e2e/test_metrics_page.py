"""docs/metrics.md has every name that short runs log, and every name in TRL's source."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from rlconf.records.record import read_metrics

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
OFF = ["evaluate.before=false", "evaluate.after=false", "logging.rollouts=false"]
OFF += ["logging.plots=false", "checkpoint.final_model=false"]
EVAL = ["trainer.eval_strategy=steps", "trainer.eval_steps=3", "task.dev_size=8"]

# What to train so that a number is logged. Add yours if it needs a setting of its own.
RUNS = {
    "ucas": [*EVAL, "trainer.per_device_eval_batch_size=8", "'reward=[exact,length,crew]'"],
    "cispo": ["shaper=[]", "trainer.loss_type=cispo", "trainer.beta=0.1"],
    "vespo": ["shaper=[]", "trainer.loss_type=vespo", "peft=lora"],
    "skip": ["guard.nan=skip", "shaper=[]"],
    "spear": [
        *("replay=spear", "replay.warm_up=0", "replay.min_groups=1", "shaper=[clip_cov]"),
        *("filter=[drbot]", "filter.void.how=final", "filter.low_variance.keep=1.0"),
        *("reward=[exact,tool_calls]", "trainer.num_iterations=2"),
    ],
    "turns": ["task=peek", "task.levels=[1]", "reward=[success]", "shaper=[]"],
    "curriculum": ["curriculum=online", "curriculum.filter=true", "curriculum.by=level"],
    "entropy": ["trainer.loss_type=grpo", "trainer.entropy_coef=0.01", "dynamic=dapo"],
}


def documented() -> list[re.Pattern[str]]:
    """The names in the first column of the tables; `{word}` stands for one part of a name."""
    cells = re.findall(r"^\| (`.*?) \|", PAGE.read_text(), re.M)
    names = [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    parts = [re.split(r"(\{\w+\})", name) for name in names]
    return [
        re.compile("".join("[^/]+" if p.startswith("{") else re.escape(p) for p in part))
        for part in parts
    ]


def missing(names: set[str]) -> list[str]:
    """Those of the names that no row covers; `eval/X` is covered by `X`."""
    rows = documented()
    return sorted(
        name
        for name in names
        if not any(row.fullmatch(one) for row in rows for one in {name, name.removeprefix("eval/")})
    )


@pytest.mark.parametrize("run", RUNS)
def test_every_logged_name_is_documented(train, run):
    overrides = [one.strip("'") for one in RUNS[run]]
    assert train(f"run.id={run}", *OFF, *overrides) == 0
    rows = read_metrics(Path("runs/quickstart") / run / "metrics.jsonl")
    assert missing({name for row in rows for name in row}) == []


def test_every_name_of_supervised_training_is_documented(train):
    # Without the experiment, whose settings are GRPO's.
    assert train("run.id=sft", *OFF, "experiment=null", "trainer=sft") == 0
    (path,) = Path("runs").glob("*/sft/metrics.jsonl")
    assert missing({name for row in read_metrics(path) for name in row}) == []


@pytest.mark.parametrize("trainer", ["GRPOTrainer", "SFTTrainer", "DPOTrainer"])
def test_whatever_trl_could_log_is_documented(trainer):
    """With vLLM, tools or a mixture of experts it logs what no short run shows."""
    import trl

    source = inspect.getsource(inspect.getmodule(getattr(trl, trainer)))
    names = set(re.findall(r'_metrics\[(?:mode|"train")\]\[f?"([^"]+)"\]', source))
    assert len(names) > 3
    assert missing({re.sub(r"\{.*?\}", "x", name) for name in names}) == []


def test_every_name_of_preference_training_is_documented():
    """What it logs beside TRL's; the runs with pairs are in test_crew_dpo.py."""
    from trainers import crew_dpo

    names = set(re.findall(r'"(crew/[^"]+)":', inspect.getsource(crew_dpo)))
    assert len(names) == 3
    assert missing(names) == []


def test_a_name_that_is_not_documented_is_found():
    assert missing({"reward", "eval/reward", "rewards/x/mean", "rewards/x", "new/number"}) == [
        "new/number",
        "rewards/x",
    ]
