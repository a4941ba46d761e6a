"""The functions that hidden tests are written with.

A hidden test is a function in a master, between nbgrader's markers. It runs in the grader's
process, calls `student`, and judges the answer with one of these functions::

    @hidden(2, "values")
    def agrees_with_mpmath(student, rng):
        x = rng.normal(size=50)
        close(student.call("loss", x), expected(x), rtol=1e-9)

Each test makes one judgement, so that the removal of a judgement is noticed; `tests/coursework`
checks both.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
import sympy as sp

from coursework import formula
from coursework.sandbox.wire import FormulaText
from coursework.session import Student, StudentError


class WrongError(Exception):
    """The answer did not pass a judgement; the message is for the instructor alone."""


Test = Callable[[Student, np.random.Generator], None]


@dataclass(frozen=True)
class HiddenTest:
    """One hidden test: its points, the kind that students see, and the function."""

    name: str
    points: int
    kind: str
    function: Test

    def rng(self, seed: str) -> np.random.Generator:
        """A random generator for this test; `seed` names the course and the variant."""
        digest = hashlib.sha256(f"{seed}/{self.name}".encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:8], "big"))


class Collector:
    """`@hidden(points, kind)`: adds the function below it to the list of hidden tests."""

    def __init__(self) -> None:
        self.tests: list[HiddenTest] = []

    def __call__(self, points: int, kind: str) -> Callable[[Test], Test]:
        def enter(function: Test) -> Test:
            self.tests.append(HiddenTest(function.__name__, points, kind, function))
            return function

        return enter


def numbers(value: Any) -> np.ndarray[Any, Any]:
    """An answer as a float64 array. Raises WrongError if it is not numeric."""
    if type(value).__module__ == "torch":
        value = value.detach().double().numpy()
    if isinstance(value, (bool, str)) or value is None:
        raise WrongError(f"{value!r} is not a number")
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "iuf":
            raise TypeError(array.dtype)
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise WrongError(f"{type(value).__name__} is not numeric") from error


def close(got: Any, want: Any, *, rtol: float, atol: float = 0.0) -> None:
    """Require equal shapes and errors within ``atol + rtol * |want|``; infinities must agree."""
    left, right = numbers(got), numbers(want)
    if left.shape != right.shape:
        raise WrongError(f"shape {left.shape} instead of {right.shape}")
    if not np.allclose(left, right, rtol=rtol, atol=atol, equal_nan=False):
        raise WrongError(f"{left.ravel()[:4]} instead of {right.ravel()[:4]}")


def equal(got: Any, want: Any) -> None:
    """Require the same type and plain value, such as a shape or a word."""
    if type(got) is not type(want) or got != want:
        raise WrongError(f"{str(got)[:60]} instead of {str(want)[:60]}")


def means(
    got: Any, want: sp.Expr, domain: Mapping[str, tuple[float, float]], rng: np.random.Generator
) -> None:
    """Require an expression that equals `want` on the domain (symbol name -> interval)."""
    _is_formula(got)
    try:
        same = formula.agree(got, want, domain, rng)
    except formula.UnreadableError as error:
        raise WrongError(str(error)) from error
    if not same:
        raise WrongError("a different formula")


def conserved(
    got: Any,
    velocity: Mapping[str, sp.Expr],
    domain: Mapping[str, tuple[float, float]],
    rng: np.random.Generator,
) -> None:
    """Require an expression that stays the same along a flow and is not a constant."""
    _is_formula(got)
    try:
        kept = formula.is_conserved(got, velocity, domain, rng)
    except formula.UnreadableError as error:
        raise WrongError(str(error)) from error
    if not kept:
        raise WrongError("not conserved, or a constant")


def _is_formula(got: Any) -> None:
    if isinstance(got, bool) or not isinstance(got, (FormulaText, int, float)):
        raise WrongError(f"{type(got).__name__} is not a formula")
    if isinstance(got, float) and not math.isfinite(got):
        raise WrongError("not finite")


def refuses(ask: Callable[[], Any], kind: str = "ValueError") -> None:
    """Require that `ask` raises the built-in exception of this name."""
    try:
        answer = ask()
    except StudentError as error:
        if error.kind != kind:
            raise WrongError(f"{error.kind} instead of {kind}") from error
    else:
        raise WrongError(f"{str(answer)[:60]} instead of {kind}")


def vocabulary(hidden: Collector) -> dict[str, Any]:
    """The global names of hidden tests: these functions, `math`, NumPy, SymPy and mpmath."""
    words = (close, conserved, equal, means, refuses, numbers)
    return {
        "hidden": hidden,
        "math": math,
        "mpmath": mpmath,
        "np": np,
        "sp": sp,
        **{word.__name__: word for word in words},
    }


JUDGEMENTS = ("close", "conserved", "equal", "means", "refuses")
