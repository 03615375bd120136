"""What holds for each reward that we ship, whatever it rewards."""

import subprocess
import sys
from typing import Any

import pytest

import rewards

SHIPPED = (
    *("boxed", "exact", "format", "length", "math"),
    *("table_exact", "table_format", "table_partial"),
)
LISTED = '<think>3+4</think><answer>```json\n{"answer": ["7"]}\n```</answer>'

# reward -> (a completion that deserves full marks, its gold answer)
BEST = {
    "boxed": (r"so \boxed{7}", "7"),
    "exact": ("7", "7"),
    "format": ("<think>3+4</think><answer>7</answer>", "7"),
    "length": ("7", "7"),
    "math": (r"so \boxed{7}", "7"),
    "table_exact": (LISTED, "7"),
    "table_format": (LISTED, "7"),
    "table_partial": (LISTED, "7"),
}


def call(name: str, completions: list[Any], **columns: Any) -> list[float | None]:
    ids = [[0] * min(len(c), 10) for c in completions]
    columns["gold"] = columns["answer"]
    return rewards.get(name)(completions=completions, completion_ids=ids, prompts=[""], **columns)


def test_these_are_shipped() -> None:
    # reasoning_gym judges its own questions only: test_reasoning_gym.py
    assert {*SHIPPED, "reasoning_gym"} <= set(rewards.names())
    assert set(BEST) == set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_gold_answer_gets_full_marks_as_text_and_as_chat(name: str) -> None:
    text, gold = BEST[name]
    chat = [{"role": "assistant", "content": text}]
    spec = rewards.spec(name)
    assert spec.range is not None
    assert call(name, [text, chat], answer=[gold, gold]) == [spec.range[1]] * 2


@pytest.mark.parametrize("name", SHIPPED)
def test_nothing_in_nothing_out(name: str) -> None:
    assert call(name, [], answer=[]) == []


@pytest.mark.parametrize("name", SHIPPED)
def test_every_option_is_annotated_and_every_function_documented(name: str) -> None:
    spec = rewards.spec(name)
    assert Any not in spec.option_types.values()
    assert "Args:" in spec.doc
    assert "Returns:" in spec.doc
    assert "    completions: B texts." in spec.doc
    for option in (*spec.needs, *spec.options):
        assert f"    {option}: " in spec.doc


def test_importing_rewards_loads_neither_torch_nor_sympy() -> None:
    code = (
        "import sys, rewards\n"
        "print({'torch', 'sympy', 'math_verify', 'numpy', 'trl'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
