"""Imports point one way: rewards <- data <- trainers <- rlconf <- scripts (docs/design.md)."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

MAY_IMPORT = {
    "rewards": {"rewards"},
    "data": {"rewards", "data"},
    "trainers": {"rewards", "data", "trainers"},
    "rlconf": {"rewards", "data", "trainers", "rlconf"},
    "scripts": {"rlconf"},
}
# Pure maths: torch, the standard library, and of ours only the measures of confidence.
PURE = ("rewards/confidence", "trainers/maths")
PURE_MAY_IMPORT = ("rewards.confidence", "trainers.maths", "torch")


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imported(source: str, package: str = "") -> set[str]:
    """Absolute dotted names that a module imports, at any depth and under TYPE_CHECKING too."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join(parents) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            # `from rewards import confidence` names a submodule; `from math import pi` does not,
            # and then `math.pi` lies inside `math` all the same.
            names |= {f"{module}.{alias.name}" for alias in node.names}
    return names


def package_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).parent.parts)


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_no_room_imports_upward(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(room)
        for name in imported(path.read_text(), package_of(path))
        if name.split(".")[0] in set(MAY_IMPORT) - MAY_IMPORT[room]
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("folder", PURE)
def test_maths_imports_only_torch_and_confidence(folder: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(folder)
        for name in imported(path.read_text(), package_of(path))
        if name.split(".")[0] not in sys.stdlib_module_names
        and not any(name == ok or name.startswith(ok + ".") for ok in PURE_MAY_IMPORT)
    ]
    assert not wrong, "\n".join(wrong)


def test_rewards_reach_torch_in_confidence_only() -> None:
    wrong = [
        str(path.relative_to(ROOT))
        for path in modules("rewards")
        if "confidence" not in path.relative_to(ROOT).parts
        and any(name.split(".")[0] == "torch" for name in imported(path.read_text()))
    ]
    assert not wrong


def test_nothing_builds_on_the_command_line() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules("rlconf")
        for name in imported(path.read_text(), package_of(path))
        if name.startswith("rlconf.commands") and path.parent.name != "commands"
    ]
    assert [line for line in wrong if not line.startswith("rlconf/cli.py")] == []


def test_every_room_has_modules() -> None:
    """An empty glob would make the tests above pass for the wrong reason."""
    assert all(modules(room) for room in MAY_IMPORT)
    assert all(modules(folder) for folder in PURE)


def test_the_finder_sees_every_form_of_import() -> None:
    source = (
        "import rewards.exact\n"
        "from data import tasks as t\n"
        "def late():\n"
        "    from trainers.maths.ucas import UCASSettings\n"
        "from . import sibling\n"
        "from ..confidence import head\n"
    )
    assert imported(source, package="rewards.deep") == {
        "rewards.exact",
        "data.tasks",
        "trainers.maths.ucas.UCASSettings",
        "rewards.deep.sibling",
        "rewards.confidence.head",
    }
