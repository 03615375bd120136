"""A calculator: arithmetic on numbers, by walking the expression, never by evaluating text."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable

from data.tools.base import tool
from data.tools.results import ToolError

__all__ = ["calculate", "calculator"]

Number = int | float

MOST_CHARACTERS = 1000
MOST_BITS = 4096  # of an integer, about 1200 digits
MOST_ROUNDED = 100  # digits

_SPELT = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-", "\n": " "})
_CONSTANTS = {"pi": math.pi, "e": math.e}


def _power(base: Number, exponent: Number) -> Number:
    whole = isinstance(base, int) and isinstance(exponent, int) and abs(base) > 1
    if whole and base.bit_length() * exponent > 2 * MOST_BITS:  # type: ignore[union-attr]
        raise ToolError(f"the power is too large: at most {MOST_BITS} bits")
    result = base**exponent
    if isinstance(result, complex):
        raise ToolError("a root of a negative number is not real")
    return result


def _factorial(number: Number) -> int:
    if number > 500:
        raise ToolError("factorial takes a whole number up to 500")
    return math.factorial(number)  # type: ignore[arg-type]  # it refuses others in words


def _round(number: Number, digits: int = 0) -> Number:
    if not isinstance(digits, int) or abs(digits) > MOST_ROUNDED:
        raise ToolError(f"round takes a whole number of digits up to {MOST_ROUNDED}")
    return round(number, digits)


_OPERATORS: dict[type, Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
_FUNCTIONS: dict[str, Callable[..., Number]] = {
    "abs": abs,
    "ceil": math.ceil,
    "cos": math.cos,
    "exp": math.exp,
    "factorial": _factorial,
    "floor": math.floor,
    "gcd": math.gcd,
    "lcm": math.lcm,
    "log": math.log,
    "log10": math.log10,
    "log2": math.log2,
    "max": max,
    "min": min,
    "round": _round,
    "sin": math.sin,
    "sqrt": math.sqrt,
    "tan": math.tan,
}


@tool("calculator")
def calculator(expression: str) -> str:
    """Work out an arithmetic expression.

    Args:
        expression: Numbers with + - * / // % and ^ or ** for powers, parentheses, pi, e, and the
            functions abs, ceil, cos, exp, factorial, floor, gcd, lcm, log, log10, log2, max, min,
            round, sin, sqrt and tan, such as sqrt(2) * (3 + 4^2).
    """
    return calculate(expression)


def calculate(expression: str) -> str:
    """The value of an arithmetic expression: a whole number, or 12 significant digits.

    Raises:
        ToolError: It is no arithmetic, has no finite real value, or its numbers are too large.
    """
    text = expression.translate(_SPELT).replace("^", "**").strip()
    if len(text) > MOST_CHARACTERS:
        raise ToolError(f"the expression is too long: at most {MOST_CHARACTERS} characters")
    try:
        value = _value(ast.parse(text, mode="eval").body)
    except OverflowError:
        raise ToolError("a number is too large") from None
    except (SyntaxError, ValueError, TypeError, ZeroDivisionError) as error:
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ToolError(f"cannot work out {expression!r:.80}: {said}") from None
    except (RecursionError, MemoryError):  # the parser's own, for many parentheses
        raise ToolError("the expression is nested too deeply") from None
    return str(value) if isinstance(value, int) else f"{value:.12g}"


def _value(node: ast.expr) -> Number:
    """The value of a node, each intermediate one checked, so that no step can take long."""
    match node:
        case ast.Constant(value=bool()):
            raise ToolError("only numbers can be worked out")
        case ast.Constant(value=int() | float() as number):
            result: Number = number
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            result = -_value(operand)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            result = _value(operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            result = _OPERATORS[type(op)](_value(left), _value(right))
        case ast.Name(id=name) if name in _CONSTANTS:
            result = _CONSTANTS[name]
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
            result = _FUNCTIONS[name](*map(_value, args))
        case _:
            raise ToolError(f"only arithmetic can be worked out, not {ast.unparse(node)!r:.60}")
    if isinstance(result, int) and result.bit_length() > MOST_BITS:
        raise ToolError(f"a number is too large: at most {MOST_BITS} bits")
    if isinstance(result, float) and not math.isfinite(result):
        raise ToolError("the value is not finite")
    return result
