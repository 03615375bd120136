"""Who decides what both are asked, and how a difference is told. Whole commands: tests/e2e."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from data.solutions import Outcome
from rewards.errors import ConfigError
from rlconf.evaluation import compare
from rlconf.evaluation.compare import compared, difference_table, sentence
from rlconf.evaluation.evaluations import per_question
from rlconf.files import write_json
from rlconf.settings.compose import compose, save


def evaluation(right: list[int], **more) -> dict:
    each = [Outcome(str(q), n, 4, n > 2, level=q % 2, gold="g") for q, n in enumerate(right)]
    return {
        "task": "sort",
        "seed": 5,
        "samples": 4,
        "temperature": 1.0,
        "top_p": 1.0,
        "max_new_tokens": 9,
        "sampled": {"pass@k": {"1": 0.0, "4": 0.0}},
        "per_question": per_question(each),
        **more,
    }


@pytest.fixture
def recorded(tmp_path: Path):
    """`recorded("a", "seed=1")`: a run folder that holds a configuration and nothing else."""

    def make(name: str, *overrides: str) -> str:
        (tmp_path / name).mkdir()
        save(compose(overrides), tmp_path / name / "config.yaml")
        return str(tmp_path / name)

    return make


def test_figures_of_two_files():
    report = compared(evaluation([4, 3, 0, 4]), evaluation([1, 0, 0, 1]), resamples=500)
    assert (report["resamples"], report["bootstrap_seed"], report["questions"]) == (500, 5, 4)
    assert report["sampled"]["value"] == (11 - 2) / 16
    assert list(report["pass@k"]) == ["1", "4"]
    assert list(report["levels"]) == ["0", "1"]


def test_a_table_shows_each_figure_once():
    report = compared(evaluation([4, 3, 0, 4]), evaluation([1, 0, 0, 1]), resamples=500)
    stream = io.StringIO()
    Console(file=stream, width=100).print(difference_table(report))
    text = stream.getvalue()
    for part in ("A - B", "sampled", "greedy", "pass@4", "level 0", "+0.562"):
        assert part in text
    assert "pass@1" not in text  # it is the sampled accuracy


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.1, 0.3, "A is better"), (-0.3, -0.1, "B is better"), (-0.1, 0.3, "no difference")],
)
def test_the_sentence_follows_the_interval(low, high, said):
    assert said in sentence({"sampled": {"low": low, "high": high, "value": (low + high) / 2}})
    assert "nothing can be compared" in sentence({"sampled": None})


# --- who leads -----------------------------------------------------------------------------


def test_two_runs_get_one_seed_measure_and_limit_and_keep_their_tasks(recorded):
    a = recorded("a", "seed=1", "evaluate.samples=16", "trainer.max_completion_length=5")
    b = recorded("b", "seed=2", "task.levels=[4,5]", "trainer.max_completion_length=9")
    first, second = (side.config for side in compare._sides((a, b), []))
    assert (second.seed, second.evaluate, second.reward) == (1, first.evaluate, first.reward)
    assert second.evaluate.samples == 16
    assert first.evaluate.max_new_tokens == 9  # the longer of the two
    assert (first.task["levels"], second.task["levels"]) == ([3, 4, 5, 6], [4, 5])


def test_a_model_is_asked_what_the_run_is_whatever_stands_first(recorded):
    run = recorded("a", "seed=1", "task=largest", "task.digits=2")
    overrides = ["task.levels=[3]", "model.dtype=float32"]
    for pair in ((run, "some/model"), ("some/model", run)):
        sides = {side.target: side.config for side in compare._sides(pair, overrides)}
        asked = sides["some/model"]
        assert (asked.seed, asked.task) == (1, sides[run].task)
        assert (asked.task["digits"], asked.task["levels"]) == (2, [3])
        assert (asked.model.path, asked.model.dtype) == ("some/model", "float32")


def test_two_models_are_asked_what_the_command_says():
    sides = compare._sides(("some/model", "other/model"), ["task=largest", "seed=4"])
    assert [(s.config.seed, s.config.task["name"]) for s in sides] == [(4, "largest")] * 2
    assert [s.config.model.path for s in sides] == ["some/model", "other/model"]


def test_a_file_leads_a_run(recorded, tmp_path: Path):
    asked = compose(["task=largest", "evaluate.samples=4", "evaluate.ks=[1]"])
    settings = {
        "task": asked.task,
        "reward": {},
        "evaluate": {"samples": 4, "ks": [1], "limit": 7},
    }
    write_json(tmp_path / "e.json", evaluation([1, 2], settings=settings))
    for pair in ((recorded("a"), str(tmp_path / "e.json")),):
        side, _ = compare._sides(pair, [])
        assert (side.config.seed, side.config.task["name"]) == (5, "largest")
        assert (side.config.evaluate.samples, side.config.evaluate.limit) == (4, 7)
        assert side.config.evaluate.max_new_tokens == 9


def test_both_may_call_the_tools_of_the_one_that_leads(recorded, tmp_path: Path):
    rows = [json.dumps({"prompt": f"{n}+1?", "answer": str(n + 1)}) for n in range(60)]
    (tmp_path / "q.jsonl").write_text("\n".join(rows))
    chat = ["task=file", f"task.path={tmp_path}/q.jsonl", "task.chat=true", "task.rewards=[exact]"]
    chat += ["model=hub", "model.path=some/model"]
    with_tools = recorded("a", *chat, "tools=[calculator]", "trainer.max_tool_calling_iterations=3")
    for run in (recorded("b", *chat), "some/model"):
        sides = [side.config for side in compare._sides((with_tools, run), [])]
        assert [one.tools for one in sides] == [sides[0].tools] * 2
        assert list(sides[0].tools) == ["calculator"]
        assert [one.trainer["max_tool_calling_iterations"] for one in sides] == [3, 3]
    file = tmp_path / "e.json"
    settings = {"task": sides[0].task, "evaluate": {}}
    for tools in ({}, {"tools": {"calculator": {}}, "max_tool_calling_iterations": 2}):
        write_json(file, evaluation([1, 2], settings=settings, **tools))
        _, side = compare._sides((str(file), with_tools), [])
        asked = side.config.tools, side.config.trainer["max_tool_calling_iterations"]
        assert asked == (tools.get("tools", {}), tools.get("max_tool_calling_iterations"))


def test_files_that_were_made_with_other_tools_say_so():
    tools = {"tools": {"calculator": {}}, "max_tool_calling_iterations": 8}
    told = compare._settings(evaluation([1], **tools), evaluation([1]))
    assert "tools differs: A {'calculator': {}}, B None" in told
    assert len(compare._settings(evaluation([1], **tools), evaluation([1], **tools))) == 1


def test_runs_of_different_questions_are_refused_before_any_weight_loads(recorded):
    a, b = recorded("a", "task.levels=[3,4]"), recorded("b", "task.levels=[4,5]")
    with pytest.raises(ConfigError, match=r"512 questions and B 512, of which they share \d+"):
        compare.compare_command(a, b)
    c = recorded("c", "task=largest")
    with pytest.raises(ConfigError, match="share 0: choose the same ones for both with task=NAME"):
        compare.compare_command(a, c, shared_only=True)
