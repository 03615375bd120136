"""Installed, editable or as a wheel, rlconf works in a folder full of its own packages' names.

The wheel is built by hatchling and unpacked into a folder that stands on PYTHONPATH, ahead of the
editable install that the test suite itself uses: what pip would do, without a second environment.
"""

import email
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("rlconf", "trainers", "rewards", "data")

# What the console script that pip writes does.
COMMAND = "import sys; from rlconf.cli import main; sys.argv[0] = 'rlconf'; sys.exit(main())"
WHERE = (
    "import rlconf, rewards, data, trainers\n"
    "for room in (rlconf, trainers, rewards, data): print(room.__file__)\n"
)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    return Path(next(iter(WheelBuilder(str(ROOT)).build(directory=str(folder)))))


@pytest.fixture(scope="session")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site-packages")
    zipfile.ZipFile(wheel).extractall(target)
    return target


@pytest.fixture(params=["editable", "wheel"])
def home(request: pytest.FixtureRequest) -> Path:
    """The folder that holds our packages under this way of installing."""
    return ROOT if request.param == "editable" else request.getfixturevalue("unpacked")


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A user's project: a plain `data/` folder, as almost everybody has one."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/train.jsonl").write_text("{}\n")
    return tmp_path


def python(*arguments: str, cwd: Path, home: Path, path: str = "") -> subprocess.CompletedProcess:
    """Run the interpreter in `cwd`, `path` first on PYTHONPATH, our packages after it."""
    ours = "" if home == ROOT else str(home)  # the editable install is found without help
    entries = os.pathsep.join(entry for entry in (path, ours) if entry)
    environment = {**os.environ, "PYTHONPATH": entries} if entries else dict(os.environ)
    if not entries:
        environment.pop("PYTHONPATH", None)
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True
    )


def test_a_script_beside_a_plain_data_folder_gets_our_packages(home: Path, foreign: Path) -> None:
    (foreign / "train.py").write_text(WHERE)
    done = python("train.py", cwd=foreign, home=home)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(home / room / "__init__.py") for room in ROOMS]


def test_the_command_ignores_the_folder_it_is_called_in(home: Path, foreign: Path) -> None:
    for name in ("rewards.py", "trainers.py"):
        (foreign / name).write_text("raise SystemExit('imported the wrong file')\n")
    (foreign / "data/__init__.py").write_text("raise SystemExit('imported the wrong file')\n")
    done = python("-P", "-c", COMMAND, "--help", cwd=foreign, home=home)
    assert done.returncode == 0, done.stderr
    assert "train" in done.stdout


@pytest.mark.parametrize("name", ["rewards.py", "data/__init__.py", "trainers/__init__.py"])
def test_a_command_says_first_which_file_is_in_the_way(
    home: Path, foreign: Path, name: str
) -> None:
    (foreign / name).parent.mkdir(exist_ok=True)
    (foreign / name).write_text("VALUE = 1\n")
    done = python("-P", "-c", COMMAND, "--help", cwd=foreign, home=home, path=str(foreign))
    culprit = foreign / name.removesuffix("/__init__.py")
    room = culprit.stem
    assert done.returncode == 2
    assert done.stderr.startswith(f"rlconf: {culprit} hides rlconf's own package `{room}`: rename")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_script_beside_its_own_rewards_py_is_told_so(home: Path, foreign: Path) -> None:
    (foreign / "rewards.py").write_text("def accuracy(completions, **_): ...\n")
    (foreign / "train.py").write_text("from rlconf import OnlineTrainer\n")
    done = python("train.py", cwd=foreign, home=home)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"ImportError: {foreign / 'rewards.py'} hides rlconf's own package")


def test_a_module_imported_before_us_is_noticed(home: Path, foreign: Path) -> None:
    """A notebook that has run `import rewards` keeps that module, wherever its path points now."""
    (foreign / "rewards.py").write_text("")
    code = "import rewards, sys; sys.path.remove(''); from rlconf import reward"
    done = python("-c", code, cwd=foreign, home=home)
    assert done.stderr.splitlines()[-1].startswith(f"ImportError: {foreign / 'rewards.py'} hides")


def test_the_console_script_is_installed_and_runs_from_anywhere(foreign: Path) -> None:
    command = Path(sys.executable).with_name("rlconf")
    done = subprocess.run([command, "--help"], cwd=foreign, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "validate" in done.stdout


def test_the_wheel_holds_the_four_packages_whole_and_nothing_else(unpacked: Path) -> None:
    """Every file of the four folders that git would track, data files too; no tests, no scripts."""
    packed = {str(p.relative_to(unpacked)) for p in unpacked.rglob("*") if p.is_file()}
    metadata = {name for name in packed if ".dist-info/" in name}
    tree = {
        str(p.relative_to(ROOT))
        for room in ROOMS
        for p in (ROOT / room).rglob("*")
        if p.is_file() and p.suffix != ".pyc"
    }
    assert packed - metadata == tree
    assert any(name.startswith("rlconf/conf/") and name.endswith(".yaml") for name in tree)
    assert any(name.endswith("licenses/LICENSE") for name in metadata)


def test_the_metadata_names_the_command_and_a_python_and_no_url(unpacked: Path) -> None:
    info = next(unpacked.glob("*.dist-info"))
    assert "rlconf = rlconf.cli:main" in (info / "entry_points.txt").read_text()
    metadata = email.message_from_string((info / "METADATA").read_text())
    assert metadata["Requires-Python"] == ">=3.11"
    requirements = metadata.get_all("Requires-Dist", [])
    assert not [line for line in requirements if "@" in line]
    assert not [line for line in requirements if line.startswith(("torchvision", "torchaudio"))]


def test_the_pins_are_plain_and_satisfy_what_the_package_asks() -> None:
    lines = (ROOT / "constraints/cpu.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert not [v for v in pins.values() if Version(v).local], "a local tag names one index only"

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    canonical = {name.lower().replace("_", "-"): version for name, version in pins.items()}
    for requirement in map(Requirement, asked):
        pin = canonical[requirement.name.lower()]
        assert requirement.specifier.contains(pin, prereleases=True), f"{requirement}: {pin}"
