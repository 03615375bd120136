"""Plug-ins: files of the user that register rewards, shapers, filters, tasks, tools and so on.

They are named on the command line (`plugins=[my_rewards.py]`) or in `$RLCONF_PLUGINS`, never in a
configuration file: a stranger's config cannot import code. They are imported before composing, and
each name they register becomes a choice of its group.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException

import rlconf
from rewards.errors import ConfigError
from rewards.registry import Registry, file_of
from rlconf.settings import foreign, tree
from rlconf.settings.check_environment import environment_defaults
from rlconf.settings.problems import nearest

__all__ = [
    "ENVIRONMENT",
    "forget",
    "import_all",
    "named_in",
    "offer_registered",
    "settings_defaults",
]

ENVIRONMENT = "RLCONF_PLUGINS"
"""Paths separated as in `$PATH`."""

_REGISTRIES = {
    "reward": ("rewards.function", "REWARDS"),
    "task": ("data.tasks.base", "_TASKS"),
    "shaper": ("trainers.shapers.base", "_SHAPERS"),
    "filter": ("trainers.filters.base", "_FILTERS"),
    "environment": ("data.environments.base", "_ENVIRONMENTS"),
    "tools": ("data.tools.base", "_TOOLS"),
    "sandbox": ("data.tools.sandbox", "_SANDBOXES"),
}
"""Group -> where its registry is; a sandbox is a choice of the Python tool and no group."""


def named_in(override: str) -> list[str]:
    """The paths in a `plugins=[...]` argument; [] for any other argument."""
    if override.lstrip("+").partition("=")[0] != "plugins":
        return []
    try:
        value = OverridesParser.create().parse_overrides([override])[0].value()
    except OverrideParseException:
        value = override.partition("=")[2].strip("[]").split(",")  # a path with odd characters
    return [str(path) for path in (value if isinstance(value, list) else [value]) if path]


def import_all(paths: Sequence[str | Path], environ: Mapping[str, str] | None = None) -> list[Path]:
    """Import the plug-ins, once each, and offer everything registered as a choice.

    Args:
        paths: of Python files.
        environ: environment variables, `os.environ` by default.

    Returns:
        The absolute paths, those of the environment first.

    Raises:
        ConfigError: a file is missing, is not Python, fails, or registers a name that is taken;
            nothing of it stays registered.
    """
    inherited = (os.environ if environ is None else environ).get(ENVIRONMENT, "")
    named = [*filter(None, inherited.split(os.pathsep)), *paths]
    found = list(dict.fromkeys(Path(path).expanduser().resolve() for path in named))
    for path in found:
        _import(path)
    offer_registered()
    return found


def offer_registered() -> None:
    """Give everything registered that has no shipped file a node in the tree.

    Shapers, filters and tasks are looked at only if something imported their rooms: the shipped
    ones all have files, and torch is too slow to load for `--help`.
    """
    import rewards

    for name in rewards.names():
        spec = rewards.spec(name)
        tree.add_choice("reward", name, {name: {"weight": 1.0, **spec.options}}, _summary(spec.doc))
    for name, options in foreign.OPTIONS.items():
        about = f"{foreign.about(name)} TRL's own"
        tree.add_choice("reward", name, {name: {"weight": 1.0, **options}}, about)
    if (tasks := sys.modules.get("data.tasks")) is not None:
        for name in tasks.names():
            spec = tasks.get(name)
            node = {"name": name, **settings_defaults(spec.settings)}
            tree.add_choice("task", name, node, _summary(spec.build.__doc__))
    if (environments := sys.modules.get("data.environments")) is not None:
        for name in environments.names():
            about = _summary(environments.get(name).make.__doc__)
            tree.add_choice("environment", name, environment_defaults(name), about)
    for group in ("shaper", "filter"):
        if (kinds := sys.modules.get(f"trainers.{group}s")) is not None:
            for name in kinds.names():
                spec = kinds.get(name)
                about = _summary(spec.function.__doc__)
                tree.add_choice(group, name, {name: settings_defaults(spec.settings)}, about)
    if (tools := sys.modules.get("data.tools")) is not None:
        for name in tools.names():
            spec = tools.get(name)
            node = {name: settings_defaults(spec.settings)}
            tree.add_choice("tools", name, node, _summary(spec.doc))


def _import(path: Path) -> None:
    """Import one file under a name of its own, so that it hides no other module."""
    name = f"rlconf_plugin_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return
    if not path.is_file():
        script = path.with_name(f"{path.name}.py")
        hint = f"; did you mean {script}?" if script.is_file() else ""
        raise ConfigError(f"plugins=[{path}]: there is no such file{hint}")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"plugins=[{path}]: expected a Python file, NAME.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: dataclasses and pickling look it up
    try:
        spec.loader.exec_module(module)
        _refuse_taken(name)
    except (Exception, SystemExit) as error:
        forget(name)
        text = f"plugins=[{path}]: {_line_of(error, path)}{_reason(error, path)}"
        raise ConfigError(text) from error


def forget(module: str) -> None:
    """Undo the import of a plug-in: a later one of the same file is a first one.

    Args:
        module: its name in `sys.modules`, which begins with `rlconf_plugin_`.
    """
    for group, name in _registered_by(module):
        _registry(group).remove(name)
        tree.remove_choice(group, name)
    del sys.modules[module]


def _registry(group: str) -> Registry[Any]:
    module, attribute = _REGISTRIES[group]
    registry: Registry[Any] = getattr(sys.modules[module], attribute)
    return registry


def _registered_by(module: str) -> list[tuple[str, str]]:
    """(group, name) of everything that was written in the module."""
    loaded = [group for group, (home, _) in _REGISTRIES.items() if home in sys.modules]
    return [
        (group, name)
        for group in loaded
        for name in _registry(group).names()
        if _registry(group).place(name).partition(" ")[0] == module
    ]


def _refuse_taken(module: str) -> None:
    """Refuse names that no registry held but that the command line understands already."""
    for group, name in _registered_by(module):
        if group == "reward" and name in foreign.OPTIONS:
            owner = f"TRL's own {name}"
        elif tree.has_file(group, name):
            owner = f"{group}={name}, which rlconf ships"
        else:
            continue
        file, kind = file_of(_registry(group).place(name)), tree.one_of(group)
        raise ConfigError(
            f"the {kind} {name!r} ({file}) has the name of {owner}: give it another, such as "
            f"@{kind}('my_{name}')"
        )


def _reason(error: BaseException, path: Path) -> str:
    """What went wrong while the file was imported, and what to change."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, ConfigError):
        return str(error)
    if isinstance(error, SystemExit):
        return (
            "the file ends the program (SystemExit), and a plug-in only defines things: put what "
            "it does as a script under if __name__ == '__main__':"
        )
    if isinstance(error, ModuleNotFoundError) and error.name:
        top = error.name.partition(".")[0]
        if (path.parent / f"{top}.py").is_file() or (path.parent / top).is_dir():
            return (
                f"{text}. It lies beside the plug-in, whose folder is not on Python's path: put "
                f"PYTHONPATH={path.parent} before the command, or move the code into the plug-in"
            )
        return f"{text}. Install it into the environment of {sys.executable}, or correct the name"
    wrong = re.match(r"cannot import name '(\w+)' from 'rlconf'", str(error))
    if isinstance(error, ImportError) and wrong:
        known = nearest(wrong[1], rlconf.__all__) or f"; it has {', '.join(rlconf.__all__)}"
        return f"rlconf has no {wrong[1]!r}{known}"
    return f"{text}. Correct the file: nothing starts before it can be imported"


def _line_of(error: BaseException, path: Path) -> str:
    """`line N: ` of the file where the error came from, if it was in the file."""
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.filename == str(path):
        line = error.lineno or 0
    return f"line {line}: " if line else ""


def settings_defaults(settings: type) -> dict[str, Any]:
    """The settings' defaults as YAML would hold them; a field without one is left out."""
    defaults: dict[str, Any] = {}
    for field in dataclasses.fields(settings):
        if field.default is not dataclasses.MISSING:
            defaults[field.name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            defaults[field.name] = field.default_factory()
    return defaults


def _summary(doc: str | None) -> str:
    """The first line of a docstring."""
    return (doc or "").strip().partition("\n")[0]
