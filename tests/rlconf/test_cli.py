"""The command line: exit codes, one clean message, and help that is quick."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from rlconf import cli


def test_a_valid_configuration(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["validate", "experiment=quickstart"]) == 0
    out, err = capsys.readouterr()
    assert "32 prompts x 8 generations" in out
    assert err == ""


def test_a_wrong_one_is_one_message_without_traceback(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["validate", "+trainer.learning_rat=1", "seed=x"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("rlconf: 2 settings need a change:")
    assert "Traceback" not in err


def test_train_checks_before_anything_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "shaper=[ucas]", "trainer.loss_type=vespo"]) == 2
    assert "loss_type=vespo" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []  # no run folder


def test_cfg_prints_yaml_that_can_be_read_back(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    from rlconf.settings.compose import compose, load

    assert cli.main(["train", "--cfg", "experiment=quickstart", "seed=3"]) == 0
    printed = tmp_path / "config.yaml"
    printed.write_text(capsys.readouterr().out)
    assert load(printed) == compose(["experiment=quickstart", "seed=3"])


@pytest.mark.parametrize("command", [["--help"], ["train", "--help"]])
def test_help_lists_groups_choices_and_keys(command, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        cli.main(command)
    assert end.value.code == 0
    out = capsys.readouterr().out
    for part in ("ucas_release", "quickstart", "largest", "evaluate.samples", "soft_overlong"):
        assert part in out


def test_overrides_stand_before_between_and_after_options(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["train", "name=a", "-m", "seed=0,1", "--cfg", "task=sort,largest"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "0_seed-0_task-sort: name=a seed=0 task=sort"
    assert len(lines) == 4
    with pytest.raises(SystemExit) as end:
        cli.main(["train", "seed=1", "--seed", "task=sort"])
    assert end.value.code == 2
    assert "unrecognized arguments: --seed" in capsys.readouterr().err


def test_what_goes_with_m_is_refused_without_it(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["train", "--resume"]) == 2
    assert "one run goes on with resume=auto" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["train", "-m", "--jobs", "0"])
    assert "'0': expected a number from 1" in capsys.readouterr().err


def test_overrides_may_stand_on_either_side_of_an_option(monkeypatch: pytest.MonkeyPatch):
    from rlconf.evaluation import evaluate

    seen = []
    monkeypatch.setattr(evaluate, "evaluate_command", lambda *args, **_: seen.append(args) or 0)
    options = ["--name", "x"]
    assert cli.main(["evaluate", "some/model", "seed=1", *options, "task=largest", "seed=2"]) == 0
    assert cli.main(["evaluate", *options, "some/model", "seed=2", "task=largest"]) == 0
    for config, target in seen:
        assert (config.seed, config.task["name"], target) == (2, "largest", "some/model")


@pytest.mark.parametrize("line", [["evaluate", "m", "--nme", "x"], ["export", "m", "a=1"]])
def test_a_stray_argument_is_refused_with_2(line, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        cli.main([*line, "--to", "x"] if line[0] == "export" else line)
    assert end.value.code == 2
    assert "unrecognized arguments" in capsys.readouterr().err


JUDGE = """
from rlconf import reward

@reward("paid_judge", range=(0.0, 1.0))
def paid_judge(completions, api_key: str = ""):
    return [0.0 for _ in completions]
"""


@pytest.mark.parametrize("command", [["train", "--cfg"], ["validate"]])
def test_what_is_printed_holds_no_secret(
    command: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
):
    from rlconf.settings import plugins

    (tmp_path / "judge.py").write_text(JUDGE)
    monkeypatch.setenv("JUDGE_API_KEY", "canary-7Zq4tVwL")
    given = [f"plugins=[{tmp_path}/judge.py]", "reward=[exact,paid_judge]"]
    try:
        status = cli.main([*command, *given, "reward.paid_judge.api_key=${oc.env:JUDGE_API_KEY}"])
    finally:
        for module in [name for name in sys.modules if name.startswith("rlconf_plugin_judge")]:
            plugins.forget(module)
    said = "".join(capsys.readouterr())
    assert status == 0
    assert "api_key" in said
    assert "canary" not in said


def test_an_unknown_command_is_refused_with_2():
    with pytest.raises(SystemExit) as end:
        cli.main(["trian"])
    assert end.value.code == 2


def test_help_and_cfg_load_no_torch():
    code = (
        "import sys\nfrom rlconf import cli\n"
        "try:\n    cli.main(['--help'])\nexcept SystemExit:\n    pass\n"
        "cli.main(['train', '--cfg'])\n"
        "heavy = {'torch', 'transformers', 'trl', 'datasets'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)\n"
    )
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert time.perf_counter() - start < 10  # 0.5 s on an idle machine; torch alone takes 2 s


def test_evaluate_reads_the_runs_own_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from rlconf.evaluation import evaluate
    from rlconf.settings.compose import compose, save

    seen = []
    monkeypatch.setattr(evaluate, "evaluate_command", lambda *args, **_: seen.append(args) or 0)
    save(compose(["experiment=quickstart", "seed=9"]), tmp_path / "config.yaml")
    assert cli.main(["evaluate", str(tmp_path), "evaluate.limit=4"]) == 0
    config, target = seen[0]
    assert (config.seed, config.evaluate.limit, target) == (9, 4, str(tmp_path))
    assert cli.main(["evaluate", "some/model", "task=largest"]) == 0
    config, target = seen[1]
    assert (config.model.path, config.model.name, config.task["name"]) == (
        "some/model",
        None,
        "largest",
    )
