"""No call in our source runs text: no eval, no shell, no pickle, no trust in downloaded code.

A completion is written by a model that is rewarded for whatever gets past the reward, and a
checkpoint or data set may come from anybody. Every file is parsed; a test of the rules themselves
shows that each of them can fail.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("rewards", "data", "trainers", "rlconf", "scripts")
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))

# Calls by the end of their dotted name.
CALLS = {"eval", "exec", "compile", "__import__", "sympify", "parse_expr", "lambdify"}
DOTTED = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"}
DOTTED |= {"yaml.load", "yaml.unsafe_load", "yaml.full_load", "code.interact", "hydra.utils.call"}
DOTTED |= {"hydra.utils.instantiate", "hydra.utils.get_class", "hydra.utils.get_method"}
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
# Keywords that may not be the literal True, and calls that need one to be.
NEVER_TRUE = {"shell", "trust_remote_code", "allow_pickle"}
NEEDED = {"torch.load": "weights_only"}
RUNS_PROGRAMS = "runs in a limited process of its own, for a tool that nobody has unless chosen"
ALLOWED: dict[str, str] = {
    f"data/tools/_sandboxed.py: {call}": RUNS_PROGRAMS for call in ("exec", "eval", "compile")
}
"""`FILE: what was found` by the reason why it is safe there."""


def dotted(node: ast.expr) -> str:
    """`a.b.c` of a name or attribute; an empty string for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := dotted(node.value)):
        return f"{before}.{node.attr}"
    return ""


def imported(tree: ast.Module) -> dict[str, str]:
    """The full name behind each name that the file imports."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {a.asname: a.name for a in node.names if a.asname}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    return names


def found(source: str) -> Iterator[str]:
    """What a file does that it may not."""
    tree = ast.parse(source)
    names = imported(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            yield str(node.module)
        elif isinstance(node, ast.keyword) and node.arg in NEVER_TRUE and is_true(node.value):
            yield f"{node.arg}=True"
        elif isinstance(node, ast.Dict):
            keys = zip(node.keys, node.values, strict=True)
            yield from (
                f"{key.value}=True"
                for key, value in keys
                if isinstance(key, ast.Constant) and key.value in NEVER_TRUE and is_true(value)
            )
        elif isinstance(node, ast.Call):
            first, _, rest = dotted(node.func).partition(".")
            name = names.get(first, first) + (f".{rest}" if rest else "")
            last = name.rpartition(".")[2]
            # `model.eval()` and `re.compile()` are other things by the same name.
            if name in DOTTED or name in CALLS or (last in CALLS and name.startswith("sympy")):
                yield name
            needed = NEEDED.get(name)
            if needed and not any(k.arg == needed and is_true(k.value) for k in node.keywords):
                yield f"{name} without {needed}=True"


def is_true(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("eval(text)", "eval"),
        ("exec(text)", "exec"),
        ("compile(text, 'f', 'exec')", "compile"),
        ("from sympy import sympify as s\ns(text)", "sympy.sympify"),
        ("import sympy\nsympy.parsing.sympy_parser.parse_expr(text)", "sympy.parsing"),
        ("import os\nos.system(text)", "os.system"),
        ("from os import popen\npopen(text)", "os.popen"),
        ("import subprocess as s\ns.run(text, shell=True)", "shell=True"),
        ("import pickle", "pickle"),
        ("from dill import loads", "dill"),
        ("import torch\ntorch.load(path)", "torch.load without weights_only=True"),
        ("import torch\ntorch.load(path, weights_only=False)", "torch.load without"),
        ("import numpy as np\nnp.load(path, allow_pickle=True)", "allow_pickle=True"),
        ("import yaml\nyaml.load(text)", "yaml.load"),
        ("from hydra.utils import instantiate\ninstantiate(config)", "hydra.utils.instantiate"),
        ("load(path, trust_remote_code=True)", "trust_remote_code=True"),
        ("load(path, **{'trust_remote_code': True})", "trust_remote_code=True"),
    ],
)
def test_a_rule_finds_what_it_forbids(source, what):
    (first, *_) = found(source)
    assert first.startswith(what)


@pytest.mark.parametrize(
    "source",
    [
        "model.eval()",
        "import re\nre.compile(text)",
        "import subprocess\nsubprocess.run(['git', 'status'])",
        "import torch\ntorch.load(path, weights_only=True)",
        "import yaml\nyaml.safe_load(text)",
        "load(path, trust_remote_code=section.trust_remote_code)",
    ],
)
def test_a_rule_lets_pass_what_is_safe(source):
    assert not list(found(source))


def test_our_source_runs_no_text():
    assert len(FILES) > 80
    hits = [f"{p.relative_to(ROOT)}: {what}" for p in FILES for what in found(p.read_text())]
    assert [hit for hit in hits if hit not in ALLOWED] == []
    assert sorted(set(ALLOWED) - set(hits)) == []  # none that is not needed any more
