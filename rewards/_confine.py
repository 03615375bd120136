"""What a worker may not do while it computes on a text that a model wrote.

A scorer that hands such a text to `eval`, as sympy's parser and some of reasoning_gym's do, runs a
program of the model's. So nothing is written, started or connected to, and evaluated text may not
name what leads out of arithmetic: each of these raises, and the completion counts as failed.

This stops what a model stumbles on, and is no sandbox: a program written to get out of Python can.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import sys
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_HARMLESS = frozenset({"os.listdir", "os.scandir", "os.walk", "os.fwalk"})
_REFUSED = ("os", "subprocess", "socket", "ctypes", "shutil", "pty", "tempfile", "urllib", "http")
# Whoever makes code of their own: while one of these is at work, it is not the model's.
_TRUSTED = (collections.__file__, dataclasses.__file__, "<frozen importlib")
_NAMES = frozenset(
    {
        *("exec", "eval", "compile", "open", "input", "breakpoint", "help", "exit", "quit"),
        *("getattr", "setattr", "delattr", "globals", "locals", "vars", "dir", "type", "super"),
        *("__import__", "__builtins__", "__class__", "__bases__", "__base__", "__mro__"),
        *("__subclasses__", "__globals__", "__dict__", "__code__", "__getattribute__"),
        *("__init__", "__loader__", "__spec__", "__self__", "__func__", "__reduce__"),
    }
)


def confine() -> None:
    """Refuse all this from now on, in this process; it cannot be undone."""
    sys.dont_write_bytecode = True
    sys.addaudithook(_audit)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    refusal = _refusal(event, arguments)
    if refusal and not _trusted(sys._getframe(1)):
        raise PermissionError(f"a confined worker may not {refusal}")


def _refusal(event: str, arguments: tuple[Any, ...]) -> str:
    """What an event of the interpreter would do that a confined worker may not; else empty."""
    if event == "open":
        flags = arguments[2]
        writes = isinstance(flags, int) and flags & _WRITES
        return f"write {arguments[0]!r:.80}" if writes else ""
    if event == "exec":
        code = arguments[0]
        named = _NAMES.intersection(_named(code))
        # Evaluated text has no file, modules do.
        return f"evaluate {min(named)}" if named and code.co_filename.startswith("<") else ""
    refused = event.partition(".")[0] in _REFUSED and event not in _HARMLESS
    return f"use {event}" if refused else ""


def _trusted(frame: FrameType | None) -> bool:
    """Whether the code at work is called by an import, or is made by the standard library."""
    while frame is not None:
        if frame.f_code.co_filename.startswith(_TRUSTED):
            return True
        frame = frame.f_back
    return False


def _named(code: CodeType) -> Iterator[str]:
    """Every name that a piece of code and the functions in it refer to."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _named(constant)
