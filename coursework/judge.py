"""The words that hidden tests are written in.

A hidden test stands in a master, between the markers of nbgrader, and runs in the grader's own
process. It asks `student` and judges the answer with one of these words::

    @hidden(2, "values")
    def agrees_with_mpmath(student, rng):
        x = rng.normal(size=50)
        close(student.call("loss", x), expected(x), rtol=1e-9)

Each holds one judgement, so that a missing one is noticed (`tests/coursework` sees to that).
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
    """A judgement that the answer did not pass; the text is for the instructor alone."""


Test = Callable[[Student, np.random.Generator], None]


@dataclass(frozen=True)
class HiddenTest:
    """One hidden test: its points, the kind that students are told, and the function."""

    name: str
    points: int
    kind: str
    function: Test

    def rng(self, seed: str) -> np.random.Generator:
        """Random numbers that belong to this test, one variant and one course."""
        digest = hashlib.sha256(f"{seed}/{self.name}".encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:8], "big"))


class Collector:
    """`@hidden(points, kind)`: enters the function below it into the list of hidden tests."""

    def __init__(self) -> None:
        self.tests: list[HiddenTest] = []

    def __call__(self, points: int, kind: str) -> Callable[[Test], Test]:
        def enter(function: Test) -> Test:
            self.tests.append(HiddenTest(function.__name__, points, kind, function))
            return function

        return enter


def numbers(value: Any) -> np.ndarray[Any, Any]:
    """An answer as float64 numbers; raises WrongError if it is none."""
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
        raise WrongError(f"{type(value).__name__} is not numbers") from error


def close(got: Any, want: Any, *, rtol: float, atol: float = 0.0) -> None:
    """The same shape, and every number within ``atol + rtol * |want|``; infinities must agree."""
    left, right = numbers(got), numbers(want)
    if left.shape != right.shape:
        raise WrongError(f"shape {left.shape} instead of {right.shape}")
    if not np.allclose(left, right, rtol=rtol, atol=atol, equal_nan=False):
        raise WrongError(f"{left.ravel()[:4]} instead of {right.ravel()[:4]}")


def equal(got: Any, want: Any) -> None:
    """The same plain value: a shape, a type, a word."""
    if type(got) is not type(want) or got != want:
        raise WrongError(f"{str(got)[:60]} instead of {str(want)[:60]}")


def means(
    got: Any, want: sp.Expr, domain: Mapping[str, tuple[float, float]], rng: np.random.Generator
) -> None:
    """Any expression that is equal to `want` on the domain (symbol name -> interval)."""
    _is_formula(got)
    try:
        same = formula.agree(got, want, domain, rng)
    except formula.UnreadableError as error:
        raise WrongError(str(error)) from error
    if not same:
        raise WrongError("another formula")


def conserved(
    got: Any,
    velocity: Mapping[str, sp.Expr],
    domain: Mapping[str, tuple[float, float]],
    rng: np.random.Generator,
) -> None:
    """Any expression that stays the same along a flow, and is no constant."""
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
    """Asking must raise this one of Python's exceptions."""
    try:
        answer = ask()
    except StudentError as error:
        if error.kind != kind:
            raise WrongError(f"{error.kind} instead of {kind}") from error
    else:
        raise WrongError(f"{str(answer)[:60]} instead of {kind}")


def vocabulary(hidden: Collector) -> dict[str, Any]:
    """Names that a hidden test finds: these words, NumPy, SymPy, mpmath, and what it imports."""
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
