"""What a configuration may not do, whoever wrote it: name code to import, or pass secrets on.

Checked on the resolved values, so that neither a file, nor an override, nor a recorded run, nor an
interpolation gets around it. Code comes in by `plugins=` and `trust_remote_code` alone, and both
are said on the command line of the present command.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rlconf.redact import REDACTED, is_secret_name, known_secrets
from rlconf.settings.problems import Problem
from rlconf.settings.schema import Config, to_dict

__all__ = ["code_named", "redacted_values", "remote_code", "secrets_passed_on", "warnings"]

# The words by which Hydra's `instantiate` is told to import and call something.
_INSTANTIATE = ("_target_", "_partial_", "_args_", "_recursive_", "_convert_")
_REMOTE = "trust_remote_code"


def code_named(values: Mapping[str, Any]) -> list[Problem]:
    """Keys by which Hydra would import code: a configuration names registered things."""
    return [
        Problem(
            f"{path}: a configuration cannot name code to import; name something registered, or "
            "register your own in a file and add plugins=[FILE.py]",
            (path,),
        )
        for path, key, _ in _leaves(values)
        if key in _INSTANTIATE
    ]


def secrets_passed_on(
    values: Mapping[str, Any], environ: Mapping[str, str] | None = None
) -> list[Problem]:
    """Secrets of the environment in settings that are shown: `name=${oc.env:HF_TOKEN}`."""
    secrets = known_secrets(environ)
    return [
        Problem(
            f"{path} holds a secret of the environment, and this setting is written down and "
            "shown: set something else",
            (path,),
        )
        for path, _, value in _leaves(values)
        if isinstance(value, str)
        and not any(map(is_secret_name, path.split(".")))
        and any(secret in value for secret in secrets)
    ]


def redacted_values(values: Mapping[str, Any], base: Path) -> list[Problem]:
    """Settings whose value a recorded configuration does not hold, and that nobody gave again."""
    return [
        Problem(
            f"{path}: {base} does not hold this secret; give it again, {path}=VALUE, or "
            f"{path}='${{oc.env:VARIABLE}}'",
            (path,),
        )
        for path, _, value in _leaves(values)
        if isinstance(value, str) and REDACTED in value
    ]


def remote_code(values: Mapping[str, Any], base: Path, given: Iterable[str]) -> list[Problem]:
    """A recorded `trust_remote_code: true` that the present command line does not repeat.

    Args:
        values: resolved.
        base: the recorded configuration.
        given: the keys that the command line sets.
    """
    given = list(given)
    return [
        Problem(
            f"{base} runs Python that comes with the model: if you trust it, add {path}=true",
            (path,),
        )
        for path in _remote(values)
        if not any(path == key or path.startswith(f"{key}.") for key in given)
    ]


def warnings(config: Config) -> list[str]:
    """One sentence for each setting that runs code from elsewhere."""
    return [
        f"{path}=true: Python files that come with the model run with your rights."
        for path in _remote(to_dict(config))
    ]


def _remote(values: Mapping[str, Any]) -> list[str]:
    return [path for path, key, value in _leaves(values) if key == _REMOTE and value is True]


def _leaves(value: Any, path: str = "", key: str = "") -> Iterator[tuple[str, str, Any]]:
    """(dotted path, last key, value) of every entry, containers that are named so included."""
    inner: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        inner = value.items()
    elif isinstance(value, list | tuple):
        inner = enumerate(value)
    if path:
        yield path, key, value
    for name, one in inner:
        yield from _leaves(one, f"{path}.{name}" if path else str(name), str(name))
