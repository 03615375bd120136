"""Notice when another `data`, `rewards` or `trainers` stands in front of ours.

Our four packages are top-level names, and two of them are names that people give to their own
files: a `rewards.py` beside a training script wins over ours, because Python looks in the
script's folder first. What follows is an ImportError far from its cause. This module finds the
cause before anything of ours is imported; it imports nothing but the standard library.

A plain folder `data/` without `__init__.py` is harmless: a regular package anywhere on `sys.path`
wins over it. `tests/contract/test_packaging.py` holds both facts in place.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

ROOMS = ("rewards", "data", "trainers")


def shadowing() -> dict[str, Path | None]:
    """Find the rooms that Python would not import from beside `rlconf`.

    Returns:
        For each such room, in the order of `ROOMS`, the file or folder that Python would import in
        its place, or None where it finds nothing at all. Empty when all is well.
    """
    home = Path(__file__).resolve().parents[1]
    return {name: path for name in ROOMS if (path := _origin(name)) != home / name}


def sentence() -> str | None:
    """One sentence that names what is in the way and what to do, or None when nothing is."""
    wrong = shadowing()
    hiding = [f"{path} hides rlconf's own package `{name}`" for name, path in wrong.items() if path]
    if hiding:
        return (
            f"{' and '.join(hiding)}: rename it, or take its folder off Python's path (the folder "
            "of the script you run, PYTHONPATH, or under `python -m` the folder you stand in)."
        )
    if wrong:
        return (
            f"rlconf cannot find its own package `{next(iter(wrong))}`: "
            "reinstall it with `pip install --force-reinstall --no-deps rlconf`, "
            "or `pip install -e .` in a checkout."
        )
    return None


def refuse_shadowed() -> None:
    """Leave the process with exit code 2 and one line on stderr when something shadows us.

    For commands: call it before the first import of a room. In a library use `check_import`.
    """
    if problem := sentence():
        print(f"rlconf: {problem}", file=sys.stderr)  # noqa: T201  no logger exists this early
        raise SystemExit(2)


def check_import() -> None:
    """Raise ImportError with the same sentence, for code that imports `rlconf` as a library."""
    if problem := sentence():
        raise ImportError(problem)


def _origin(name: str) -> Path | None:
    """Where `import name` takes the package (its folder) or the module (its file) from."""
    loaded = sys.modules.get(name)
    spec = getattr(loaded, "__spec__", None) if loaded else find_spec(name)
    if spec is None:
        file = getattr(loaded, "__file__", None)
        return Path(file).resolve() if file else None
    if spec.origin and Path(spec.origin).name == "__init__.py":
        return Path(spec.origin).resolve().parent
    if spec.submodule_search_locations:  # a plain folder; ours is missing, or it would have won
        return Path(next(iter(spec.submodule_search_locations))).resolve()
    return Path(spec.origin).resolve() if spec.origin else None
