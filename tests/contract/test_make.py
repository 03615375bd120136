"""`make` installs once: what it would do is read from `make -n`, nothing is installed here."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The three files that decide what `make` installs, without a virtual environment."""
    for name in ("Makefile", "pyproject.toml", "constraints/cpu.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def make(folder: Path, *arguments: str) -> str:
    """What `make` prints, called as from a shell even where `make test` runs these tests."""
    inside = ("MAKE", "MFLAGS")
    outside = {key: value for key, value in os.environ.items() if not key.startswith(inside)}
    done = subprocess.run(
        ["make", *arguments], cwd=folder, env=outside, capture_output=True, text=True, check=True
    )
    return done.stdout


def planned(folder: Path, *arguments: str) -> str:
    """The commands that `make` would run."""
    return make(folder, "-n", *arguments)


def pretend_installed(folder: Path) -> None:
    """Run only the `touch` lines of the plan, as if every install had succeeded."""
    (folder / ".venv/bin").mkdir(parents=True, exist_ok=True)
    (folder / ".venv/bin/python").touch()
    for line in planned(folder, "install").splitlines():
        if "touch " in line:
            (folder / line.rsplit("touch ", 1)[1]).touch()


def test_the_first_call_installs_torch_first_and_alone(checkout: Path) -> None:
    installs = [line for line in planned(checkout, "test").splitlines() if " install " in line]
    assert len(installs) == 2
    assert installs[0].endswith("'torch==2.13.0'")
    assert installs[1].endswith("-e '.[dev]'")


@pytest.mark.parametrize("target", ["train", "test"])
def test_the_second_call_installs_nothing(checkout: Path, target: str) -> None:
    pretend_installed(checkout)
    assert "install" not in planned(checkout, target)


def test_a_fresh_clone_of_the_same_content_keeps_the_stamps(checkout: Path) -> None:
    """Git gives new times to old content: the stamps go by content."""
    pretend_installed(checkout)
    for name in ("pyproject.toml", "constraints/cpu.txt"):
        (checkout / name).touch()
    assert "install" not in planned(checkout, "test")


def test_a_changed_pin_installs_the_package_again_but_not_torch(checkout: Path) -> None:
    pretend_installed(checkout)
    pins = checkout / "constraints/cpu.txt"
    pins.write_text(pins.read_text().replace("rich==", "rich>="))
    installs = [line for line in planned(checkout, "test").splitlines() if " install " in line]
    assert len(installs) == 1
    assert installs[0].endswith("-e '.[dev]'")


def test_another_torch_is_one_variable(checkout: Path) -> None:
    plan = planned(checkout, "train", "TORCH=torch==2.9.1", "TORCH_FLAGS=--pre")
    assert "install --pre 'torch==2.9.1'" in plan


def test_the_order_is_ruff_format_mypy_pytest(checkout: Path) -> None:
    pretend_installed(checkout)
    plan = planned(checkout, "test")
    steps = ["ruff check", "ruff format --check", "mypy", "pytest"]
    assert sorted(steps, key=plan.index) == steps
    assert "OMP_NUM_THREADS=1" in plan


def test_train_is_the_quickstart_on_one_thread(checkout: Path) -> None:
    pretend_installed(checkout)
    assert planned(checkout, "train", "ARGS=seed=1").splitlines()[-1] == (
        "OMP_NUM_THREADS=1 .venv/bin/rlconf train experiment=quickstart seed=1"
    )


def test_help_names_every_target(checkout: Path) -> None:
    text = make(checkout)
    for target in ("train", "test", "lint", "format", "install", "browser", "clean"):
        assert f"\n{target} " in "\n" + text


def test_the_commit_hook_runs_the_ruff_of_the_pins() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    revision = next(hook["rev"] for hook in hooks if hook["repo"].endswith("ruff-pre-commit"))
    assert f"ruff=={revision.removeprefix('v')}" in (ROOT / "constraints/cpu.txt").read_text()
