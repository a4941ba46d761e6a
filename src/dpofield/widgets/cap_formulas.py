"""The formulas of the cap explorer, printed from SymPy: every divergence with its DPO loss."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import sympy as sp

from dpofield.formulas import CHARTS
from dpofield.formulas.caps import conserved, power, reaches_zero
from dpofield.formulas.divergences import ALPHA, DIVERGENCES, Divergence
from dpofield.formulas.losses import LOSSES
from dpofield.formulas.losses.core import BETA
from dpofield.formulas.symbols import alpha, u, x, x1, x2
from dpofield.widgets.figure import printed


def as_alpha(divergence: Divergence) -> float | None:
    """The alpha whose divergence has the same f'', if there is one."""
    ratio = sp.simplify(divergence.second / DIVERGENCES["alpha"].second)
    found = sp.solve(sp.diff(sp.log(ratio), x), alpha)
    return float(found[0]) if found and not found[0].free_symbols else None


def from_zero(divergence: Divergence) -> sp.Expr:
    """`conserved` minus its value at 0, where that is finite and the difference keeps its digits.

    >>> from_zero(DIVERGENCES["chi2"]), from_zero(DIVERGENCES["alpha"]).subs(alpha, 1)
    (x, x**2/2)
    """
    total, over = conserved(divergence), power(divergence) + 1
    if alpha not in over.free_symbols:
        return total - total.subs(x, 0)
    return sp.Piecewise((x**over / over, over > sp.Rational(1, 10)), (total, True))


def divergence_facts(divergence: Divergence) -> dict[str, Any]:
    """Facts of a divergence and its functions.

    `field(x1, x2, beta, alpha)` is the loss with both partial derivatives. `one(x, alpha)` is I,
    f'', f' and `from_zero`. `reaches(beta, alpha)` is 1 if x2 reaches 0 in finite time, else 0.
    """
    loss = LOSSES[divergence.loss]
    chart = CHARTS["ratio"]
    second = divergence.second
    field = (chart.pull_back(loss.expr), *chart.gradient(loss))
    one = (
        conserved(divergence),
        second,
        divergence.score.subs(u, sp.log(x)),
        from_zero(divergence),
    )
    finite = sp.Piecewise((1, reaches_zero(divergence)), (0, True))
    return {
        "name": divergence.name,
        "title": divergence.title,
        "alpha": as_alpha(divergence),
        "field": printed((x1, x2), field, (BETA, ALPHA)),
        "one": printed((x,), one, (ALPHA,)),
        "reaches": printed((), (finite,), (BETA, ALPHA)),
    }


@cache
def formulas() -> dict[str, Any]:
    """`DIVERGENCES` in the order of the book, `fallen(x, h)`, which is x e^-h, and the nodes and
    weights of Gauss-Legendre on an interval of length 2 that begins at 0."""
    h = sp.Symbol("h", positive=True)
    nodes, weights = np.polynomial.legendre.leggauss(3)
    return {
        "DIVERGENCES": [divergence_facts(divergence) for divergence in DIVERGENCES.values()],
        "fallen": printed((x, h), (x * sp.exp(-h),)),
        "GAUSS": np.stack([1 + nodes, weights / 2], axis=1).tolist(),
    }
