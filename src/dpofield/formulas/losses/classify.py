"""The effect of a loss on the field: its tilt, and the direction of the push on each response.

SymPy checks everything that a loss declares. A direction is proved from a factorisation that SymPy
multiplies out, or shown by an exact example. A threshold without a closed form is computed
numerically and marked as numeric.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

import numpy as np
import sympy as sp
from scipy.optimize import brentq

from dpofield.formulas import symbols as s
from dpofield.formulas.decide import UndecidedError, grid, number, points, sign, vanishes
from dpofield.formulas.derivation import difference
from dpofield.formulas.losses.core import Loss, Sign
from dpofield.formulas.parameters import resolve
from dpofield.formulas.printers import latex, numpy_function
from dpofield.formulas.stable import step

Kind = Literal["always", "stops", "turns", "none"]


@dataclass(frozen=True)
class Push:
    """How a step against the gradient pushes the log-ratio of one response.

    `kind` is "always" (the intended direction everywhere), "stops" (no push outside `where`),
    "turns" (the wrong direction outside `where`) or "none". `where` is the region of the intended
    push. If that region has no closed form, `where` is None and the push has the wrong direction
    between the two margins in `wrong` (nats, at the default parameters).
    """

    response: Literal["preferred", "dispreferred"]
    kind: Kind
    where: sp.Rel | None = None
    wrong: tuple[float, float] | None = None

    @property
    def text(self) -> str:
        """The direction in words, with the condition as LaTeX between dollar signs."""
        intended, other = ("up", "down") if self.response == "preferred" else ("down", "up")
        if self.kind == "none":
            return "not pushed"
        if self.kind == "always":
            return f"always {intended}"
        if self.wrong is not None:
            low, high = (f"{x:.3g}" for x in self.wrong)
            return f"{intended}, but **{other}** for ${low} < h < {high}$ (numeric)"
        rest = "no push" if self.kind == "stops" else f"**{other}**"
        return f"{intended} where ${latex(self.where)}$, else {rest}"

    def holds(self, loss: Loss, u: Any, v: Any, **given: Any) -> Any:
        """Whether the push has the intended direction at log-ratios `u`, `v` (nats); broadcasts.

        `given` holds parameters and inputs of `loss`; a numeric region is for the defaults only.

        >>> from dpofield.formulas.losses import LOSSES
        >>> pushes(LOSSES["ipo"])[0].holds(LOSSES["ipo"], [4.0, 6.0], 0.0, beta=0.1)
        array([ True, False])
        """
        u, v = np.broadcast_arrays(np.asarray(u, dtype=float), v)
        if self.kind in ("always", "none"):
            return np.full(u.shape, self.kind == "always")
        if self.where is None:
            low, high = self.wrong or (0.0, 0.0)
            return (u - v < low) | (u - v > high)
        values = resolve(loss.arguments, given, f"loss {loss.name!r}")
        gap = numpy_function((*loss.symbols, s.h), (self.where.gts - self.where.lts,))
        return np.asarray(gap(u, v, *values.values(), u - v)[0] > 0)


@cache
def pushes(loss: Loss) -> tuple[Push, Push]:
    """The direction of the push on the preferred and on the dispreferred response.

    Raises `UndecidedError` if a declared factorisation is false or a sign is not decided.

    >>> from dpofield.formulas.losses import LOSSES
    >>> pushes(LOSSES["dpo"])[0].text
    'always up'
    >>> pushes(LOSSES["nca"])[0].text
    'up where $u < \\\\frac{\\\\log 2}{\\\\beta}$, else **down**'
    """
    first = _push(loss, 0)
    if loss.margin_only:  # `margin_only` proves that the components are opposite
        return first, replace(first, response="dispreferred")
    return first, _push(loss, 1)


def _push(loss: Loss, which: int) -> Push:
    response: Literal["preferred", "dispreferred"] = ("preferred", "dispreferred")[which]
    partial = loss.partials[which]
    intended = (-1, 1)[which]  # the partial's sign when the push has the intended direction
    found = sign(partial, loss.arguments)
    if found == (0, True):
        return Push(response, "none")
    if found == (intended, True):
        return Push(response, "always")
    if found == (intended, False):
        (switch,) = partial.atoms(step)
        return Push(response, "stops", reading(switch.args[0], 1))
    witness = _witness(loss, which)
    _examples(loss, witness, response)
    if loss.margin_only and loss.signs[which] is None and not _linear(witness):
        return Push(response, "turns", wrong=_wrong_margins(loss, witness, intended))
    return Push(response, "turns", reading(witness, intended))


def _witness(loss: Loss, which: int) -> sp.Expr:
    """An expression with the partial's sign: the declared one, or the factors of unknown sign."""
    partial, declared = loss.partials[which], loss.signs[which]
    if declared is None:
        amount, factors = partial.as_coeff_mul()
        rest = [f for f in factors if sign(f, loss.arguments) != (1, True)]
        positive = sp.Mul(abs(amount), *(f for f in factors if f not in rest))
        declared = Sign(positive, sp.Mul(sp.sign(amount), *rest))
    if difference(partial, declared.positive * declared.witness) != 0:
        raise UndecidedError(
            f"loss {loss.name!r}: partial {which} is not the product that the loss declares"
        )
    if sign(declared.positive, loss.arguments) != (1, True):
        raise UndecidedError(f"loss {loss.name!r}: {declared.positive} is not proved positive")
    return declared.witness


def _examples(loss: Loss, witness: sp.Expr, response: str) -> None:
    """Check that both signs of the witness occur; otherwise the kind "turns" would be false."""
    beta = next((p.default for p in loss.params if p.name == "beta"), None)
    scale = 1 / sp.nsimplify(beta, rational=True) if beta else sp.Integer(10)
    seen: set[float] = set()
    for point in points(loss.arguments, grid(scale)):
        seen.add(np.sign(number(witness, point)))
        if seen >= {-1, 1}:
            return
    raise UndecidedError(f"loss {loss.name!r}: no example of both signs for the {response}")


def _linear(expr: sp.Expr) -> bool:
    return all(sp.diff(expr, a, b) == 0 for a in (s.u, s.v) for b in (s.u, s.v))


def _wrong_margins(loss: Loss, witness: sp.Expr, intended: int) -> tuple[float, float]:
    """The margins between which the push has the wrong direction, at the default parameters."""
    here = points(loss.arguments)[0]
    del here[s.u], here[s.v]
    slope = numpy_function((s.h,), (witness.subs({s.u: s.h, s.v: 0}).xreplace(here),))
    far = np.geomspace(1e-3, 60, 400) / float(here.get(s.beta, 1))
    margins = np.concatenate([-far[::-1], [0.0], far])
    wrong = intended * slope(margins)[0] < 0
    edges = np.flatnonzero(wrong[1:] != wrong[:-1])
    if len(edges) != 2 or wrong[0]:
        raise UndecidedError(
            f"loss {loss.name!r}: the margins with a wrong push do not form one interval"
        )
    low, high = (
        float(brentq(lambda m: slope(m)[0], margins[i], margins[i + 1], xtol=1e-12)) for i in edges
    )
    return low, high


def reading(expr: sp.Expr, positive: int) -> sp.Rel:
    """`expr > 0` (`expr < 0` for `positive = -1`), with u and v on the left, constants right.

    >>> reading(1 - s.beta * (s.u - s.v), 1)
    h < 1/beta
    """
    expr = positive * expr
    if _linear(expr):
        along_u, along_v = sp.diff(expr, s.u), sp.diff(expr, s.v)
        if along_u == -along_v:
            expr = expr.subs(s.u, s.v + s.h)
        if 0 in (along_u + along_v, along_u, along_v):
            expr = expr / sp.Abs(along_u or along_v)
    terms = sp.Add.make_args(sp.expand_mul(expr, deep=False) if _linear(expr) else expr)
    left = sp.Add(*(t for t in terms if t.has(s.u, s.v, s.h)))
    right = -sp.Add(*(t for t in terms if not t.has(s.u, s.v, s.h)))
    if left.could_extract_minus_sign():
        return sp.StrictLessThan(-left, -right, evaluate=False)
    return sp.StrictGreaterThan(left, right, evaluate=False)


@cache
def tilt(loss: Loss) -> sp.Expr | None:
    """The constant ratio of the two components, preferred over dispreferred, or None.

    If it is constant, every flow line is straight. It is 1 for a loss of the margin and oo if only
    the preferred response moves. None is shown by an exact example of two directions.

    >>> from dpofield.formulas.losses import LOSSES
    >>> [tilt(LOSSES[name]) for name in ("robust", "dpo_shift", "sigmoid_norm", "sft", "nca")]
    [1, 1/lambda, n_l/n_w, oo, None]
    """
    if loss.margin_only:
        return sp.S.One
    along_u, along_v = loss.partials
    if along_v == 0:
        return sp.oo
    directions = set()
    for point in points(loss.arguments):
        right, down = (number(partial, point) for partial in loss.partials)
        if right or down:  # no direction where the push is 0
            directions.add(round(math.atan2(-right, down), 12))
        if len(directions) > 1:
            return None
    ratio = sp.simplify(-along_u / along_v)
    if not all(vanishes(sp.diff(ratio, z), loss.arguments) for z in (s.u, s.v)):
        raise UndecidedError(f"loss {loss.name!r}: not proved whether {ratio} is constant")
    return ratio


def at_start(loss: Loss, **given: Any) -> tuple[float, float]:
    """The push `(-dL/du, -dL/dv)` at u = v = 0; `given` holds inputs and parameters.

    >>> from dpofield.formulas.losses import LOSSES
    >>> at_start(LOSSES["dpo"], beta=0.1)
    (0.05, -0.05)
    """
    values = resolve(loss.arguments, given, f"loss {loss.name!r}")
    along = numpy_function(loss.symbols, loss.partials)(0.0, 0.0, *values.values())
    return float(-along[0]) + 0.0, float(-along[1]) + 0.0
