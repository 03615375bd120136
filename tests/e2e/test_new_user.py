"""A new user's walk: the wheel in a fresh environment, own data, own reward, to a model to give.

The environment holds rlconf from its wheel and borrows every other package from the one that the
tests run in, so that nothing is downloaded. The walk itself is `new_user.sh`, word for word.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).resolve().parents[2]
WALK = Path(__file__).with_name("new_user.sh")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel installed in it; what it borrows holds no rlconf."""
    folder = tmp_path_factory.mktemp("fresh")
    wheel = next(iter(WheelBuilder(str(ROOT)).build(directory=str(folder / "dist"))))
    python = folder / "venv" / "bin" / "python"
    made = [sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")]
    subprocess.run(made, check=True, capture_output=True)
    # A plain path in a .pth file: the .pth files of that folder, such as that of our editable
    # install, are not followed from there.
    borrowed = [entry for entry in sys.path if Path(entry).name == "site-packages"]
    (own,) = (folder / "venv" / "lib").glob("python*/site-packages")
    (own / "borrowed.pth").write_text("\n".join(borrowed) + "\n")
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-index"]
    done = subprocess.run(
        [*install, "--no-deps", "--ignore-installed", "--disable-pip-version-check", wheel],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "venv"


@pytest.mark.slow
def test_a_new_user_gets_from_their_csv_to_a_model_to_give_away(environment: Path, tmp_path: Path):
    (tmp_path / "data").mkdir()  # as almost everybody has one
    own = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    own |= {"PATH": f"{environment / 'bin'}{os.pathsep}{own['PATH']}", "OMP_NUM_THREADS": "1"}
    where = subprocess.run(
        ["python", "-c", "import rlconf; print(rlconf.__file__)"],
        cwd=tmp_path,
        env=own,
        capture_output=True,
        text=True,
    )
    assert where.stdout.startswith(str(environment)), where.stderr  # the wheel, not the checkout

    walk = subprocess.run(
        ["bash", str(WALK)], cwd=tmp_path, env=own, capture_output=True, text=True
    )
    told = walk.stdout + walk.stderr
    assert walk.returncode == 0, told
    assert "Traceback" not in told

    # As long as the walk says they are.
    assert len(list(csv.DictReader((tmp_path / "sums.csv").open()))) == 20
    assert len((tmp_path / "near.py").read_text().splitlines()) == 15
    run = (tmp_path / "runs" / "latest").resolve()
    steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4, 5]
    page = (tmp_path / "report.html").read_text()
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert "near" in page
    assert not [tag for tag in ('src="http', 'href="http', "@import") if tag in page]
    more = json.loads((tmp_path / "more.json").read_text())
    assert (more["name"], more["samples"], more["questions"]) == ("more", 16, 4)
    card = (tmp_path / "my-model" / "README.md").read_text()
    assert "| more |" in card
    assert str(tmp_path) not in card
    assert "3+4= " in walk.stdout
