"""Take secrets out of whatever is written down or shown.

A secret is known by the name that it goes under (`hub_token`, `password`, `api_key`), by its shape
(`hf_...`, `sk-...`, a private key, credentials in a URL), or because a variable of the environment
with such a name holds it. Reports, dashboards and logs travel further than the machine that made
them, so a doubtful case counts as a secret; what must stay readable are the ids of commits.

This module imports the standard library only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["REDACTED", "is_secret_name", "known_secrets", "redact", "redact_text", "secret_paths"]

REDACTED = "<redacted>"

_ALWAYS = {"password", "passwd", "passphrase", "secret", "secrets", "credential", "credentials"}
_ALWAYS |= {"apikey", "authorization"}
_KEYS = {"api", "access", "secret", "private", "auth", "ssh", "signing", "encryption", "account"}
# `token` is a secret in hub_token and a piece of text in pad_token.
_PIECES_OF_TEXT = {"pad", "eos", "bos", "unk", "sep", "cls", "mask", "image", "video", "audio"}
_PIECES_OF_TEXT |= {"per", "stop", "start", "begin", "end", "think", "decoder", "extra", "added"}
# ... and what tells about a secret is none.
_ABOUT = {"file", "path", "dir", "name", "id", "type", "length", "limit", "count", "ratio"}
_PATH = re.compile(r"~?/[\w./-]*")
_SHORTEST = 8  # characters of a variable's value that is looked for in texts

_SHAPES = re.compile(
    r"""
      -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----.*?(?:-----END\ [A-Z ]*PRIVATE\ KEY-----|\Z)
    | (?<![\w-])(?:
          hf_[A-Za-z0-9]{16,}                                # Hugging Face
        | api_org_[A-Za-z0-9]{16,}
        | wandb_v\d_[A-Za-z0-9_]{16,}                        # Weights & Biases, newer
        | sk-(?=[A-Za-z_-]*\d)[A-Za-z0-9_-]{16,}             # OpenAI, Anthropic and others
        | gh[pousr]_[A-Za-z0-9]{20,} | github_pat_[A-Za-z0-9_]{20,}
        | glpat-[A-Za-z0-9_-]{16,}
        | xox[abeprs]-[A-Za-z0-9-]{10,}                      # Slack
        | (?:AKIA|ASIA)[A-Z0-9]{16}                          # AWS
        | AIza[A-Za-z0-9_-]{30,}                             # Google
        | eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}    # JSON web token
      )
    """,
    re.X | re.S,
)
_HEADER = re.compile(r"\b(Bearer|Basic)(\s+)[A-Za-z0-9._~+/=-]{8,}")
_USER = re.compile(r"(?<=://)(?:[^\s/@:]*:[^\s/@]+|[^\s/@:]{16,})(?=@)")
_PARAMETER = re.compile(r"(?<=[?&])(key|sig|signature|X-Amz-[A-Za-z-]+)=[^\s&#'\"]+", re.I)
# A W&B key is 40 hexadecimal digits, and so is a commit: that one stands in a path, behind an @,
# or is called by its name.
_HEX = re.compile(r"(?<![\w/@.-])[0-9a-f]{40}(?![\w-])")
_COMMIT = re.compile(r"(?:commit|revision|sha1?|git|hash|head|id)\W{0,4}$", re.I)
# NAME=VALUE, 'name': 'VALUE', NAME: VALUE, {name:VALUE} and --name VALUE.
_QUOTED = r"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\""
_NAMED = re.compile(
    rf"""
    (?P<name>(?<![\w.-])[\w.-]*(?:token|pass(?:word|wd|phrase)|secrets?|credentials?|key))
    (?P<join>['"]?=|['"]\s*:\s*|:\ *|\ +)
    (?P<value>{_QUOTED}|[^\s,;&'"\]\)}}}}]+)
    """,
    re.X | re.I,
)


def is_secret_name(name: str) -> bool:
    """Whether something called `name` (a key, a variable, an option) holds a secret."""
    last = re.split(r"[./]", name)[-1]
    words = [word for word in re.split(r"[^a-z0-9]+", _apart(last).lower()) if word]
    if not words or words[-1] in _ABOUT:
        return False
    before = words[-2] if len(words) > 1 else ""
    if words[-1] == "token":
        return before not in _PIECES_OF_TEXT
    return bool(_ALWAYS.intersection(words)) or (words[-1] == "key" and before in _KEYS)


def known_secrets(environ: Mapping[str, str] | None = None) -> list[str]:
    """The values of those variables of the environment whose names say that they are secret.

    Args:
        environ: `os.environ` by default.

    Returns:
        The values of at least eight characters that are no paths, longest first.
    """
    environ = os.environ if environ is None else environ
    values = {value for name, value in environ.items() if is_secret_name(name)}
    told = [one for one in values if len(one) >= _SHORTEST and not _PATH.fullmatch(one)]
    return sorted(told, key=len, reverse=True)


def redact_text(text: str, environ: Mapping[str, str] | None = None) -> str:
    """The text with every secret in it replaced by `<redacted>`.

    Args:
        text: a message, a traceback, a command line, a page.
        environ: where known secrets are looked up, `os.environ` by default.
    """
    return _clean(text, known_secrets(environ))


def _clean(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, REDACTED)
    text = _SHAPES.sub(REDACTED, text)
    text = _HEADER.sub(rf"\1\2{REDACTED}", text)
    text = _USER.sub(REDACTED, text)
    text = _PARAMETER.sub(rf"\1={REDACTED}", text)
    text = _HEX.sub(_hex, text)
    return _NAMED.sub(_named, text)


def redact(value: Any, environ: Mapping[str, str] | None = None) -> Any:
    """Nested plain data without its secrets: by key, by shape, and by value.

    Args:
        value: mappings, lists and tuples of scalars; anything else is returned as it is.
        environ: where known secrets are looked up, `os.environ` by default.

    Returns:
        A copy. Equal data gives equal copies, so they can be hashed and compared.
    """
    return _copy(value, known_secrets(environ))


def _copy(value: Any, secrets: Sequence[str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _entry(str(key), inner, secrets) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        copy, hide = [], False
        for inner in value:  # a command line: the word after --token is one
            copy.append(_hidden(inner) if hide else _copy(inner, secrets))
            hide = isinstance(inner, str) and inner.startswith("--") and is_secret_name(inner)
        return tuple(copy) if isinstance(value, tuple) else copy
    return _clean(value, secrets) if isinstance(value, str) else value


def _entry(name: str, value: Any, secrets: Sequence[str]) -> Any:
    if is_secret_name(name):
        return _hidden(value)
    if isinstance(value, str) and _COMMIT.search(name) and _HEX.fullmatch(value):
        return value
    return _copy(value, secrets)


def secret_paths(value: Any, path: str = "") -> Iterator[str]:
    """The dotted paths in nested plain data that hold a secret by their names."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            here = f"{path}.{key}" if path else str(key)
            if is_secret_name(str(key)) and _hidden(inner) != inner:
                yield here
            else:
                yield from secret_paths(inner, here)
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            yield from secret_paths(inner, f"{path}.{place}")


def _apart(name: str) -> str:
    """The words of a name in camel case, apart."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)


def _hidden(value: Any) -> Any:
    """What stands for a value under a secret name; an unset one says so."""
    return value if value is None or isinstance(value, bool) or value in ("", {}, []) else REDACTED


def _hex(match: re.Match[str]) -> str:
    before = match.string[max(0, match.start() - 16) : match.start()]
    return match[0] if _COMMIT.search(before) else REDACTED


def _named(match: re.Match[str]) -> str:
    name, join, value = match["name"], match["join"], match["value"]
    told = value.strip("'\"")
    if not is_secret_name(name) or told.lower() in ("", "none", "null", "true", "false", REDACTED):
        return match[0]
    if join.isspace() and not name.startswith("--"):
        return match[0]  # words of a sentence
    if join.startswith(":") and name.lower() == "token":
        return match[0]  # "there is no pad token: set it"
    quote = value[0] if value[0] in "'\"" else ""
    return f"{name}{join}{quote}{REDACTED}{quote}"
