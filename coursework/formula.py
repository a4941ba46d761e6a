"""Symbolic answers: parsed without executing them, and compared at random points.

A student's expression arrives as the text of ``srepr``. The parser accepts only a few function
names, so no student code runs here. Two expressions count as equal if they agree at random points
of the stated domain, computed with 50 digits. Different analytic expressions agree only on a set of
measure 0, so random points show a difference with probability 1.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

import mpmath
import numpy as np
import sympy as sp

from coursework.sandbox.wire import FormulaText

DIGITS = 50
POINTS = 24
LONGEST = 20_000  # characters of srepr; the longest sensible answer here has some hundreds
DEEPEST = 60
STEEPEST = 1e5  # no answer needs a larger exponent, which could take for ever
# A float such as 0.1 in an answer is right to 1e-16; a wrong term differs by far more than 1e-12.
RTOL = 1e-12

Interval = tuple[float, float]


class UnreadableError(Exception):
    """The answer is not a formula of the allowed kind; the message says why."""


def _power(base: Any, exponent: Any) -> Any:
    size = abs(exponent) * (abs(mpmath.log(abs(base))) if base else 1)
    if size > STEEPEST:
        raise UnreadableError("a power is too large")
    return mpmath.power(base, exponent)


def _exp(value: Any) -> Any:
    if abs(value) > STEEPEST:
        raise UnreadableError("an exponential is too large")
    return mpmath.exp(value)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "Add": lambda *terms: mpmath.fsum(terms),
    "Mul": lambda *factors: mpmath.fprod(factors),
    "Pow": _power,
    "exp": _exp,
    "log": lambda value, *base: mpmath.log(value, *base),
    "Abs": abs,
    "tanh": mpmath.tanh,
    "sinh": lambda value: (_exp(value) - _exp(-value)) / 2,
    "cosh": lambda value: (_exp(value) + _exp(-value)) / 2,
    "erf": mpmath.erf,
    "erfc": mpmath.erfc,
    "atan": mpmath.atan,
}
CONSTANTS = {"E": mpmath.e, "pi": mpmath.pi}


def parse(formula: FormulaText | float) -> ast.expr:
    """The syntax tree of an answer. Raises UnreadableError with a message for the instructor.

    >>> ast.dump(parse(FormulaText("Symbol('x')")), annotate_fields=False)[:29]
    "Call(Name('Symbol', Load()), "
    """
    text = formula.text if isinstance(formula, FormulaText) else f"Float({float(formula)!r})"
    if len(text) > LONGEST:
        raise UnreadableError("the formula is too long; simplify it")
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UnreadableError("not a formula") from error


def evaluate(node: ast.expr, at: Mapping[str, Any], depth: int = 0) -> Any:
    """The value of a tree for the values `at` of its symbols.

    >>> tree = parse(FormulaText("Mul(Integer(2), Symbol('x', positive=True))"))
    >>> int(evaluate(tree, {"x": mpmath.mpf(3)}))
    6
    """
    if depth > DEEPEST:
        raise UnreadableError("the formula is nested too deep")
    if isinstance(node, ast.Name) and node.id in CONSTANTS:
        return +CONSTANTS[node.id]
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise UnreadableError("not a formula")
    head = node.func.id
    if head in FUNCTIONS:
        return FUNCTIONS[head](*(evaluate(part, at, depth + 1) for part in node.args))
    try:
        parts = [ast.literal_eval(part) for part in node.args]
        if head == "Symbol":
            return at[parts[0]]
        if head == "Integer":
            return mpmath.mpf(int(parts[0]))
        if head == "Rational":
            return mpmath.mpf(int(parts[0])) / int(parts[1])
        if head == "Float":
            return mpmath.mpf(str(parts[0]))
    except KeyError:
        raise UnreadableError(f"the symbol {str(parts[0])[:20]} is not in the task") from None
    except (ValueError, TypeError, IndexError, ZeroDivisionError, MemoryError) as error:
        raise UnreadableError(f"a broken {head}") from error
    raise UnreadableError(f"{head[:20]} is not among the functions that an answer may use")


def agree(
    answer: FormulaText | float,
    truth: sp.Expr,
    domain: Mapping[str, Interval],
    rng: np.random.Generator,
) -> bool:
    """Whether an answer equals `truth` on a domain (symbol name -> interval).

    Raises UnreadableError if the answer cannot be read.

    >>> x = sp.Symbol("x")
    >>> text = FormulaText(sp.srepr((x**2 - 1) / (x - 1)))
    >>> agree(text, x + 1, {"x": (2.0, 3.0)}, np.random.default_rng(0))
    True
    >>> agree(text, x + 2, {"x": (2.0, 3.0)}, np.random.default_rng(0))
    False
    """
    tree, wanted = parse(answer), parse(FormulaText(sp.srepr(truth)))
    with mpmath.workdps(DIGITS):
        for _ in range(POINTS):
            at = {name: mpmath.mpf(rng.uniform(*ends)) for name, ends in domain.items()}
            want = evaluate(wanted, at)
            try:
                got = evaluate(tree, at)
                apart = abs(got - want)
            except (ZeroDivisionError, ValueError, OverflowError):
                return False  # not defined everywhere on the domain
            if not (mpmath.isfinite(got) and apart <= RTOL * abs(want)):
                return False
    return True


def is_conserved(
    answer: FormulaText | float,
    velocity: Mapping[str, sp.Expr],
    domain: Mapping[str, Interval],
    rng: np.random.Generator,
) -> bool:
    """Whether an answer stays the same along a flow and is not a constant.

    `velocity` gives the rate of change of every symbol of `domain`. The derivatives of the answer
    are central differences at 50 digits with a step of 1e-17; for a smooth answer their truncation
    error is about 1e-34.

    >>> x, y = sp.symbols("x y")
    >>> circle = FormulaText(sp.srepr(sp.log(x**2 + y**2)))
    >>> around, domain = {"x": -y, "y": x}, {"x": (1.0, 2.0), "y": (1.0, 2.0)}
    >>> is_conserved(circle, around, domain, np.random.default_rng(0))
    True
    """
    tree = parse(answer)
    speeds = {name: parse(FormulaText(sp.srepr(expr))) for name, expr in velocity.items()}
    with mpmath.workdps(DIGITS):
        h = mpmath.mpf(10) ** -17
        for _ in range(POINTS):
            at = {name: mpmath.mpf(rng.uniform(*ends)) for name, ends in domain.items()}
            terms = []
            try:
                for name, speed in speeds.items():
                    above = evaluate(tree, {**at, name: at[name] + h})
                    below = evaluate(tree, {**at, name: at[name] - h})
                    terms.append((above - below) / (2 * h) * evaluate(speed, at))
                size = max(abs(term) for term in terms)
                here = abs(evaluate(tree, at))
            except (ZeroDivisionError, ValueError, OverflowError):
                return False
            if not (mpmath.isfinite(size) and size > 1e-15 * (1 + here)):
                return False  # not smooth, or a constant
            if not abs(sum(terms)) <= RTOL * size:
                return False
    return True
