"""Whether a formula is 0, and which sign it has, decided by SymPy.

`vanishes` raises `UndecidedError` where SymPy can neither prove nor refute; `sign` returns None.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from itertools import product

import sympy as sp

from dpofield.formulas import symbols as s
from dpofield.formulas.derivation import difference
from dpofield.formulas.parameters import Parameter

Point = dict[sp.Symbol, sp.Expr]

_PAIRS = ((0, 0), ("1/3", "-2/7"), ("-5/4", "3/8"), (-2, "-1/2"), ("1/2", 2))


class UndecidedError(ArithmeticError):
    """SymPy can neither prove nor refute a property of a formula."""


def points(
    parameters: Iterable[Parameter], pairs: Sequence[tuple[object, object]] = _PAIRS
) -> list[Point]:
    """Exact values of (u, v) and of the parameters: defaults, and example values for inputs.

    A default on its range's boundary switches the parameter off, so the midpoint is used instead.

    >>> points([])[1]
    {u: 1/3, v: -2/7}
    """
    fixed = dict(_example(tuple(parameters)))
    return [{s.u: sp.sympify(a), s.v: sp.sympify(b), **fixed} for a, b in pairs]


@cache
def _example(parameters: tuple[Parameter, ...]) -> tuple[tuple[sp.Symbol, sp.Expr], ...]:
    fixed: Point = {}
    for number, p in enumerate(parameters):
        if p.default is not None:
            inside = p.interval.interior.contains(p.default)
            value = p.default if inside else (p.interval.start + p.interval.end) / 2
            fixed[p.symbol] = sp.nsimplify(value, rational=True)
        else:  # log-probabilities or lengths, all different
            negative = p.interval.end == 0
            fixed[p.symbol] = sp.Rational(-(13 + number), 2) if negative else sp.Integer(3 + number)
    return tuple(fixed.items())


def number(expr: sp.Expr, point: Point) -> float:
    """The value of `expr` at `point`, computed with 30 digits."""
    return float(expr.xreplace(point).evalf(30))


def vanishes(expr: sp.Expr, parameters: Iterable[Parameter] = ()) -> bool:
    """Whether `expr` is 0 for all values: False by an example, True by simplification to 0.

    Raises `UndecidedError` if neither succeeds.

    >>> vanishes(sp.sin(s.u) ** 2 + sp.cos(s.u) ** 2 - 1), vanishes(s.u - s.v)
    (True, False)
    """
    if any(abs(number(expr, point)) > 1e-20 for point in points(parameters)):
        return False
    if difference(expr, sp.S.Zero) == 0:
        return True
    raise UndecidedError(f"0 at every point tried, but SymPy does not simplify it to 0: {expr}")


def sign(expr: sp.Expr, parameters: Iterable[Parameter] = ()) -> tuple[int, bool] | None:
    """The sign of `expr` for all real u, v and all parameters in range, or None if not proved.

    `(1, True)` means positive, `(1, False)` nonnegative, `(-1, True)` negative, `(-1, False)`
    nonpositive, `(0, True)` identically 0.

    >>> from dpofield.formulas.losses.core import EPSILON
    >>> sign(1 - 2 * s.epsilon), sign(1 - 2 * s.epsilon, [EPSILON]), sign(s.u)
    (None, (1, True), None)
    """
    onto = {p.symbol: _onto(p.interval) for p in parameters if p.interval.end.is_finite}
    return _sign(expr.xreplace(onto))


def _onto(interval: sp.Interval) -> sp.Expr:
    """A map from the positive numbers onto the interior of an interval with a finite end."""
    t, end = sp.Dummy("t", positive=True), interval.end
    if interval.start.is_finite:
        return interval.start + (end - interval.start) * t / (1 + t)
    return end - t


def _sign(expr: sp.Expr) -> tuple[int, bool] | None:
    if expr.is_zero:
        return 0, True
    for at_most, strict, value in (
        (expr.is_nonnegative, expr.is_positive, 1),
        (expr.is_nonpositive, expr.is_negative, -1),
    ):
        if at_most:
            return value, bool(strict)
    if expr.is_Mul:
        found = [_sign(factor) for factor in expr.args]
        if None in found:
            return None
        known = [f for f in found if f is not None]
        return sp.prod(f[0] for f in known), all(f[1] for f in known)
    if expr.is_Add:
        found = [_sign(term) for term in expr.args]
        known = [f for f in found if f is not None]
        if len(known) == len(found) and len({f[0] for f in known}) == 1:
            return known[0][0], any(f[1] for f in known)
        factored = sp.factor(sp.together(expr))
        return _sign(factored) if not factored.is_Add else None
    return None


def grid(scale: sp.Expr) -> list[tuple[sp.Expr, sp.Expr]]:
    """Exact pairs (u, v) around (0, 0), in units of `scale`.

    >>> len(grid(sp.Integer(10)))
    25
    """
    line = [sp.Rational(k) * scale for k in ("-4", "-1/4", 0, "1/4", 4)]
    return list(product(line, line))
