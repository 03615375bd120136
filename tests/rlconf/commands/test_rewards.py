"""`rlconf rewards`: what a reward is and what it says, without a run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import rewards
from rewards.errors import ConfigError
from rlconf.cli import main
from rlconf.preview.reward_rows import Rows, recorded
from rlconf.preview.reward_trial import difference, try_reward
from rlconf.records.record import RolloutFiles
from rlconf.settings import foreign, plugins
from trainers.rollout import Rollout

PLUGIN = '''
from rlconf import reward

@reward("trial_parts", range=(0.0, 1.0))
def trial_parts(completions, answer, level, share: float = 0.5, log_part=None):
    """Form and value."""
    form = [float(text.isdigit()) for text in completions]
    log_part("form", form)
    return [share * f + (1 - share) * (t == a) for f, t, a in zip(form, completions, answer)]

@reward("trial_signal", signals=("certainty",))
def trial_signal(completions, certainty):
    """Needs the model."""

@reward("trial_async")
async def trial_async(completions):
    """Late."""
    return [float(len(text)) for text in completions]

@reward("trial_broken")
def trial_broken(completions):
    """Divides by nothing."""
    return [1 / 0 for _ in completions]

@reward("trial_wide", range=(0.0, 1.0))
def trial_wide(completions):
    """Leaves its range."""
    return [2.0 for _ in completions]
'''


@pytest.fixture(autouse=True)
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(PLUGIN)
    yield "plugins=[mine.py]"
    for name in [name for name in sys.modules if name.startswith("rlconf_plugin_")]:
        plugins.forget(name)


def say(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    assert main(["rewards", *arguments]) == status
    out, err = capsys.readouterr()
    return err if status else out


def test_the_list_has_ours_trls_and_the_plugins(capsys: pytest.CaptureFixture[str], plugin: str):
    entries = {one["name"]: one for one in json.loads(say(capsys, "list", "--json", plugin))}
    assert set(entries) == {*rewards.names(), *foreign.OPTIONS}
    assert all(one["about"] for one in entries.values())
    assert entries["trial_parts"] == {
        "name": "trial_parts",
        "about": "Form and value.",
        "options": {"share": {"default": 0.5, "type": "float"}},
        "columns": ["answer", "level"],
        "signals": [],
        "range": [0.0, 1.0],
        "source": f"{Path('mine.py').resolve()}:4",
        "limits": None,
    }
    limits = {"timeout": 5.0, "memory_gib": 4.0, "workers": 0, "on_failure": 0.0}
    assert entries["math"]["limits"] == limits
    assert entries["cosine_scaled_reward"]["limits"]["on_failure"] == -1.0
    assert entries["trial_signal"]["signals"] == ["certainty"]
    assert (entries["exact"]["source"], entries["accuracy_reward"]["source"]) == ("rlconf", "TRL")


def test_the_list_as_text(capsys: pytest.CaptureFixture[str]):
    text = say(capsys, "list")
    assert "length  [0, 1]  (rlconf)\n    1 up to `budget`, falling linearly" in text
    assert "    reward.format.tags=[think,answer]  (tuple of str)\n" in text
    assert "    reward.exact.how=final  (one of 'final', " in text
    assert "    runs in worker processes: timeout=5 memory_gib=4 workers=0 on_failure=0" in text


def test_scores_and_parts_of_each_completion(capsys: pytest.CaptureFixture[str], plugin: str):
    text = say(
        capsys, "test", "trial_parts", "--completion", "12", "--completion", "x\ny", "--completion",
        "13", "--answer", "12", "--column", "level=3", plugin, "reward.trial_parts.share=0.25",
    )  # fmt: skip
    assert text.splitlines() == [
        "trial_parts  share=0.25",
        "",
        "score  trial_parts/form  completion",
        "1      1                 '12'",
        r"0      0                 'x\ny'",
        "0.25   1                 '13'",
        "rewards/trial_parts/form: 0.666667",
    ]


def test_a_column_for_all_or_one_for_each(capsys: pytest.CaptureFixture[str]):
    two = ["test", "exact", "--json", "--completion", "1", "--completion", "2"]
    assert json.loads(say(capsys, *two, "--answer", "2"))["scores"] == [0.0, 1.0]
    assert json.loads(say(capsys, *two, "--answer", "1", "--answer", "2"))["scores"] == [1.0, 1.0]
    text = say(capsys, *two, *["--answer", "1"] * 3, status=2)
    assert "answer: 3 values for 2 completions" in text


def test_trls_own_and_async_ones(capsys: pytest.CaptureFixture[str], plugin: str):
    half = ["--completion", r"\boxed{1/2}", "--answer", "0.5"]
    assert json.loads(say(capsys, "test", "accuracy_reward", "--json", *half))["scores"] == [1.0]
    given = ["--completion", "abc", "--json", plugin]
    assert json.loads(say(capsys, "test", "trial_async", *given))["scores"] == [3.0]


def test_what_is_missing_is_named_before_the_call(capsys: pytest.CaptureFixture[str], plugin: str):
    text = say(capsys, "test", "trial_parts", "--completion", "1", plugin, status=2)
    assert "needs the column 'answer' and 'level'; the command line has none" in text
    assert text.endswith("add --answer GOLD --column level=VALUE\n")
    text = say(capsys, "test", "trial_signal", "--completion", "1", plugin, status=2)
    assert "needs certainty, which the trainer computes from the model token by token" in text


def test_a_rewards_own_errors_are_the_trainers(capsys: pytest.CaptureFixture[str], plugin: str):
    text = say(capsys, "test", "trial_wide", "--completion", "1", plugin, status=2)
    assert "mine.py:" in text
    assert "row 0: 2.0 is outside the declared range 0.0 to 1.0" in text
    text = say(capsys, "test", "trial_broken", "--completion", "1", plugin, status=1)
    assert "ZeroDivisionError: division by zero\nRaised by the reward 'trial_broken'" in text


def test_wrong_names_options_and_arguments(capsys: pytest.CaptureFixture[str]):
    one = ["--completion", "1"]
    assert "Did you mean 'exact'?" in say(capsys, "test", "exat", *one, status=2)
    text = say(capsys, "test", "exact", *one, "reward.exact.hwo=final", status=2)
    assert "did you mean reward.exact.how?" in text
    assert "expected NAME=VALUE" in say(capsys, "test", "exact", *one, "--column", "x", status=2)
    assert "give either --completion" in say(capsys, "test", "exact", status=2)


def rollouts(folder: Path, *, answer: bool = True) -> None:
    """Two generations of two rows; the second row of each was recorded as wrong."""
    files = RolloutFiles(folder)
    for generation in (1, 2):
        columns = {"prompt": ["a", "b"], "completion": ["5", "7"], "reward/exact": [1.0, 0.0]}
        data = {"answer": [5, 7], "id": ["x", "y"]} if answer else {}
        files(Rollout(generation, 0, columns, data=data))


def test_recorded_rollouts_are_scored_again_and_compared(capsys: pytest.CaptureFixture[str]):
    rollouts(Path("rollouts"))
    text = say(capsys, "test", "exact", "--rollouts", "rollouts")
    assert "4 rows of rollouts: mean 1.0000, recorded mean 0.5000, 2 scores differ" in text
    assert text.count("1      0         '7'") == 2
    one = say(capsys, "test", "exact", "--rollouts", "rollouts/000001.parquet", "--json")
    assert json.loads(one)["recorded"] == [1.0, 0.0]
    text = say(capsys, "test", "boxed", "--rollouts", "rollouts")  # the run had no such reward
    assert text.splitlines()[2] == "score  completion"


def test_a_rollouts_file_without_the_column_says_so(capsys: pytest.CaptureFixture[str]):
    rollouts(Path("rollouts"), answer=False)
    text = say(capsys, "test", "exact", "--rollouts", "rollouts", status=2)
    assert "needs the column 'answer'; rollouts has none: add --answer GOLD" in text


def test_a_reward_sees_one_generation_at_a_time(tmp_path: Path):
    rollouts(Path("rollouts"))
    assert [(b.start, b.stop) for b in recorded(Path("rollouts")).batches()] == [(0, 2), (2, 4)]
    assert list(Rows([], generations=[]).batches()) == []


def test_chat_messages_come_back_as_messages():
    chat = [{"role": "assistant", "content": "5"}]
    columns = {"prompt": [chat], "completion": [chat], "reward/exact": [1.0]}
    RolloutFiles(Path("r"))(Rollout(1, 0, columns, data={"answer": ["5"]}))
    rows = recorded(Path("r"))
    assert rows.completions == [chat]
    assert try_reward("exact", {}, rows).scores == [1.0]
    RolloutFiles(Path("r"), max_chars=9)(Rollout(1, 0, columns))
    with pytest.raises(ConfigError, match="the run cut its chat messages"):
        recorded(Path("r"))


def test_the_run_s_own_options_hold_unless_overridden(capsys: pytest.CaptureFixture[str]):
    from rlconf.settings.compose import compose, save

    RolloutFiles(Path("run/rollouts"))(
        Rollout(1, 0, {"completion": ["so 5"], "reward/exact": [1.0]}, data={"answer": ["5"]})
    )
    save(
        compose(["reward=[exact]", "reward.exact.how=number", "logging.max_completion_chars=9"]),
        Path("run/config.yaml"),
    )
    text = say(capsys, "test", "exact", "--rollouts", "run")
    assert "exact  how=number" in text
    assert "0 scores differ" in text
    assert "at most 9 characters" in text
    text = say(capsys, "test", "exact", "--rollouts", "run", "reward.exact.how=final")
    assert "1 scores differ" in text


def test_jsonl_and_what_is_wrong_with_it(capsys: pytest.CaptureFixture[str]):
    path = Path("some.jsonl")
    path.write_text('{"completion": "5", "answer": "5"}\n\n{"completion": "6", "answer": "5"}\n')
    assert "0      '6'" in say(capsys, "test", "exact", "--rollouts", str(path))
    path.write_text('{"completion": "5"}\n{"completion"\n')
    assert "some.jsonl, line 2: not JSON" in say(
        capsys, "test", "exact", "--rollouts", str(path), status=2
    )
    path.write_text('{"text": "5"}\n')
    text = say(capsys, "test", "exact", "--rollouts", str(path), status=2)
    assert "row 0 has no `completion`; it has text" in text
    assert "expected a Parquet or JSONL file" in say(
        capsys, "test", "exact", "--rollouts", "absent", status=2
    )
    Path("bad.parquet").write_text("no")
    assert "cannot be read as Parquet" in say(
        capsys, "test", "exact", "--rollouts", "bad.parquet", status=2
    )


def test_differences_are_the_largest_first_and_float32_is_no_difference():
    assert difference([0.1, 1.0, None, None, 0.5], [0.10000000149, 0.2, None, 1.0, 0.4]) == [
        3,
        1,
        4,
    ]


def test_no_torch_is_loaded_for_a_reward_that_needs_none():
    code = (
        "import sys; from rlconf.cli import main; main(['rewards', 'list']); "
        "main(['rewards', 'test', 'exact', '--completion', '1', '--answer', '1']); "
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
