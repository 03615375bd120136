"""`rlconf search`: trials, failures, stops, resumption; a function stands in for training."""

from __future__ import annotations

import json
import re
import shlex
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlconf.cli import main
from rlconf.settings.schema import Config, EvaluateSection, LaunchSection
from rlconf.sweep import search as searching
from rlconf.sweep.expand import Job
from rlconf.sweep.metric import obstacle
from rlconf.sweep.processes import Command, Ended
from rlconf.sweep.table import FAILED, FINISHED, STOPPED, Result

optuna = pytest.importorskip("optuna")

SPACE = ["trainer.learning_rate=interval(0,1)", "task=sort,largest", "run.id=a", "seed=3"]
FOLDER = Path("runs/rlconf/a")


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[tuple[str, bool]]]:
    """`stand_in(function)`: a job ends as `function(chosen, number)` says; what was run."""

    def install(function: Callable[[dict[str, str], int], Any]) -> list[tuple[str, bool]]:
        ran: list[tuple[str, bool]] = []

        def run_jobs(jobs, folder, at_once, resume, ended, signals) -> None:
            assert len(jobs) <= at_once
            for job, _ in jobs:
                ran.append((job.name, resume))
                status, figures = FINISHED, function(job.chosen, len(ran) - 1)
                if figures is None:
                    status, figures = FAILED, {}
                if figures == "stop":
                    status, figures, signals.seen = STOPPED, {}, signal.SIGTERM
                store(folder, job, status, figures)
                reason = "OSError: disk full" if status == FAILED else ""
                command = Command(job.name, [], folder / "log")
                ended(Result(job, status, figures, reason), Ended(command, 0, 1.0))

        monkeypatch.setattr(searching, "run_jobs", run_jobs)
        monkeypatch.setattr(searching, "finished", read)
        return ran

    def store(folder: Path, job: Job, status: str, figures: dict[str, float]) -> None:
        path = folder / job.name
        path.mkdir(parents=True, exist_ok=True)
        facts = {"status": status, "figures": figures}
        facts["sessions"] = [{"totals": {"train_loss": 0.5}}]
        (path / "manifest.json").write_text(json.dumps(facts))

    def read(job: Job, folder: Path) -> Result:
        facts = json.loads((folder / job.name / "manifest.json").read_text())
        return Result(job, FINISHED, facts["figures"])

    return install


def rate(chosen: dict[str, str]) -> float:
    return float(chosen["trainer.learning_rate"])


def study() -> Any:
    return optuna.load_study(study_name="search", storage=f"sqlite:///{FOLDER}/study.db")


def test_the_best_comes_first_and_the_study_is_kept(stand_in, capsys) -> None:
    """The greatest of 1 - |x - 0.3|, and 0.5 less in one of the two tasks."""

    def value(chosen: dict[str, str], number: int) -> dict[str, float]:
        return {"accuracy": 1 - abs(rate(chosen) - 0.3) - 0.5 * (chosen["task"] == "largest")}

    ran = stand_in(value)
    assert main(["search", "--trials", "30", "--jobs", "2", *SPACE]) == 0
    said = capsys.readouterr().out
    assert len(ran) == 30
    assert len(study().trials) == 30
    assert study().best_value > 0.9  # half of uniform draws in one task: 0.9 needs 0.2 of the line
    jobs = json.loads((FOLDER / "table.json").read_text())["jobs"]
    values = [one["figures"]["accuracy"] for one in jobs]
    assert values == sorted(values, reverse=True)
    assert values[0] == pytest.approx(study().best_value)
    assert "best accuracy: " in said
    assert "its run again: rlconf train seed=3 evaluate.split=dev trainer.learning_rate=" in said
    assert "accuracy is of the dev split, on which the search chose: measure anew" in said
    third = sum(abs(rate(one["chosen"]) - 0.3) for one in jobs if int(one["name"][:3]) >= 20)
    first = sum(abs(rate(one["chosen"]) - 0.3) for one in jobs if int(one["name"][:3]) < 10)
    assert third < first  # it learns where to look


def test_a_failed_trial_is_told_and_counted_and_not_the_best(stand_in, capsys) -> None:
    def value(chosen: dict[str, str], number: int) -> Any:
        return [{"seconds": 2.0}, None, {"seconds": float("nan")}, {"seconds": 1.0}][number]

    stand_in(value)
    command = ["search", "--metric", "seconds", "--minimise", "--trials", "4", *SPACE]
    assert main(command) == 1
    said = capsys.readouterr().out
    assert [one.state.name for one in study().trials] == ["COMPLETE", "FAIL", "FAIL", "COMPLETE"]
    assert "2 of 4 jobs failed:" in said
    assert "OSError: disk full" in said
    assert "it has no finite seconds; it has: seconds, train_loss" in said
    assert "best seconds: 1 with" in said


def test_a_stopped_search_goes_on_with_the_trial_that_was_stopped(stand_in, capsys) -> None:
    def value(chosen: dict[str, str], number: int) -> Any:
        return "stop" if number == 2 else {"accuracy": rate(chosen)}

    ran = stand_in(value)
    assert main(["search", "--trials", "4", *SPACE]) == 143
    assert "repeat the command with --resume" in capsys.readouterr().out
    assert [one.state.name for one in study().trials] == ["COMPLETE", "COMPLETE", "RUNNING"]
    assert main(["search", "--trials", "5", "--resume", *SPACE]) == 0
    assert [resumed for _, resumed in ran] == [False, False, False, True, False, False]
    assert ran[2][0] == ran[3][0]  # its own folder
    assert [one.state.name for one in study().trials] == ["COMPLETE"] * 5
    rates = [one.params["trainer.learning_rate"] for one in study().trials]
    assert len(set(rates)) == 5


def test_a_metric_that_no_trial_has_ends_the_search(stand_in, capsys) -> None:
    ran = stand_in(lambda chosen, number: {"train reward": 1.0, "seconds": 2.0})
    assert main(["search", "--trials", "3", *SPACE]) == 1
    assert len(ran) == 1
    assert (
        "was trained and has no accuracy. Choose with --metric what it has: train reward, "
        "seconds, train_loss"
    ) in " ".join(capsys.readouterr().out.split())


def test_one_trial_without_the_metric_that_others_have_does_not(stand_in) -> None:
    ran = stand_in(lambda chosen, number: {"seconds": 2.0} | ({} if number else {"accuracy": 0.5}))
    assert main(["search", "--trials", "3", *SPACE]) == 1
    assert len(ran) == 3


def test_the_command_is_kept_whole_and_a_split_that_was_given_too(stand_in) -> None:
    ran = stand_in(lambda chosen, number: {"seconds": rate(chosen)})
    options = ["--metric", "seconds", "--minimise", "--trials", "2", "--jobs", "2"]
    overrides = ["evaluate.split=ood", "trainer.learning_rate=interval(0,1)", "run.id=a"]
    assert main(["search", *options, *overrides]) == 0
    told = json.loads((FOLDER / "search.json").read_text())
    assert told["fixed"] == ["evaluate.split=ood"]
    command = shlex.split(told["command"])
    assert command == ["rlconf", "search", *options, *overrides]
    assert main([*command[1:], "--resume"]) == 0  # the same search: nothing is left of it
    assert len(ran) == 2


def test_each_setting_of_a_finite_space_is_trained_once(stand_in, capsys) -> None:
    def value(chosen: dict[str, str], number: int) -> Any:
        tried.append(tuple(chosen.values()))
        return None if number == 1 else {"accuracy": 0.5 + 0.1 * (chosen["task"] == "sort")}

    tried: list[tuple[str, ...]] = []
    stand_in(value)
    space = ["task=sort,largest", "trainer.learning_rate=range(0.25,1,0.25)", "run.id=a"]
    command = ["search", "--trials", "9", "--jobs", "2", *space]
    assert main(command) == 1  # one has failed
    assert len(tried) == len(set(tried)) == 6
    assert "all 6 settings of the space were tried: the search ends" in capsys.readouterr().out
    trials = study().trials
    repeats = [one for one in trials if "same_as" in one.user_attrs]
    assert len(trials) - len(repeats) == 6
    assert all(one.value in (trials[one.user_attrs["same_as"]].value, None) for one in repeats)
    assert main([*command, "--resume"]) == 1
    assert len(tried) == 6
    jobs = json.loads((FOLDER / "table.json").read_text())["jobs"]
    assert len(jobs) == 6


@pytest.mark.parametrize(
    ("metric", "settings", "says"),
    [
        ("accuracy", {"split": "test"}, "leaves nothing to measure its choice on"),
        ("accuracy", {"after": False}, "needs evaluate.after=true"),
        ("before", {"before": False}, "needs evaluate.before=true"),
        ("greedy", {"greedy": False}, "needs evaluate.greedy=true"),
        ("pass@4", {"ks": [1, 4, 8]}, r"the greatest of evaluate.ks=\[1, 4, 8\]"),
        ("pass@8", {"ks": [1, 4, 8]}, None),
        ("greedy", {"before": False}, None),
        ("train reward", {"split": "test", "after": False}, None),
    ],
)
def test_a_metric_that_no_run_will_have_is_known_before(metric, settings, says) -> None:
    config = Config(evaluate=EvaluateSection(**({"split": "dev"} | settings)))
    found = obstacle(metric, config)
    assert (found is None) if says is None else re.search(says, found or "")


@pytest.mark.parametrize("distribution", ["zero3", "fsdp2", "zero2"])
def test_a_model_that_is_shared_out_has_no_accuracy(distribution) -> None:
    config = Config(launch=LaunchSection(distribution=distribution))
    config.evaluate.split = "dev"
    found = obstacle("accuracy", config)
    assert (found is None) == (distribution == "zero2")
    assert obstacle("train reward", config) is None


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["seed=3"], "nothing to search"),
        (["--trials", "0", *SPACE], "--trials 0: expected a number from 1"),
        (["trainer.learning_rate=interval(-1,1)"], "trainer.learning_rate=-1.0"),
        (["trainer.temprature=interval(0.5,1)"], "temperature"),
        (["task=sort,lagest"], "lagest"),
        (["evaluate.split=test", *SPACE], "evaluate.split=test: a search that chooses on the test"),
        (["evaluate.after=false", *SPACE], "--metric accuracy needs evaluate.after=true"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_made(arguments, says, capsys) -> None:
    assert main(["search", *arguments]) == 2
    assert says in capsys.readouterr().err
    assert not Path("runs").exists()


def test_another_search_in_the_same_folder_is_refused(stand_in, capsys) -> None:
    stand_in(lambda chosen, number: {"accuracy": 0.5})
    assert main(["search", "--trials", "1", *SPACE]) == 0
    assert main(["search", "--trials", "1", *SPACE]) == 2
    assert "is taken. To go on with a search: --resume" in capsys.readouterr().err
    assert main(["search", "--resume", "--minimise", *SPACE]) == 2
    assert "holds another search" in capsys.readouterr().err


def test_without_optuna_it_says_what_to_install(monkeypatch, capsys) -> None:
    monkeypatch.setattr(searching, "is_installed", lambda name: False)
    assert main(["search", *SPACE]) == 2
    assert "pip install 'rlconf[optuna]'" in capsys.readouterr().err
