"""The formulas of the cap explorer, printed from SymPy: every divergence with its DPO loss."""

from __future__ import annotations

import json

import sympy as sp

from dpofield.formulas import CHARTS
from dpofield.formulas.divergences import ALPHA, DIVERGENCES, Divergence
from dpofield.formulas.losses.core import BETA
from dpofield.formulas.losses.divergence import f_dpo
from dpofield.formulas.stable import boxcox
from dpofield.formulas.symbols import alpha, u, x, x1, x2
from dpofield.widgets.figure import printed


def power(divergence: Divergence) -> sp.Expr:
    """The power p of `1/f'' ~ x^p` where x is near 0.

    >>> [power(d) for d in DIVERGENCES.values()]
    [1, 2, 1, 2 - alpha, 0]
    """
    slope = sp.simplify(-x * sp.diff(divergence.second, x) / divergence.second)
    return sp.simplify(slope.subs(x, 0))


def conserved(divergence: Divergence) -> sp.Expr:
    """I(x) with `I' = 1/f''`: gradient flow keeps `I(x1) + I(x2)`.

    >>> conserved(DIVERGENCES["reverse_kl"]), conserved(DIVERGENCES["chi2"])
    (x**2/2, x)
    """
    if alpha in divergence.second.free_symbols:  # x^p: its integral is a logarithm at p = -1
        return boxcox(sp.log(x), power(divergence) + 1)
    return sp.integrate(sp.expand(1 / divergence.second), x)


def as_alpha(divergence: Divergence) -> float | None:
    """The alpha whose divergence has the same f'', if there is one."""
    ratio = sp.simplify(divergence.second / DIVERGENCES["alpha"].second)
    found = sp.solve(sp.diff(sp.log(ratio), x), alpha)
    return float(found[0]) if found and not found[0].free_symbols else None


def reaches_zero(divergence: Divergence) -> sp.Basic:
    """When x2 reaches 0 in finite time, as a condition on beta and alpha.

    Near x2 = 0 time runs like `x^p / sigmoid(-beta m)`. For `p > 1` the margin grows like a power
    of 1/x and no time is enough; for `p = 1` it grows like `-c log x` and the integral is finite
    while `beta c < 2`; between -1 and 1 margin and integral are finite; at -1 and below x1 has no
    cap, and again no time is enough.

    >>> [reaches_zero(d) for d in DIVERGENCES.values()][:3]
    [beta < 2, False, beta < 2]
    """
    p, c = power(divergence), coefficient(divergence)
    slow = sp.Or(sp.And(p > -1, p < 1), sp.And(sp.Eq(p, 1), BETA.symbol * c < 2))
    return sp.simplify(slow)


def coefficient(divergence: Divergence) -> sp.Expr:
    """c in `f'' ~ c x^-p` where x is near 0."""
    return sp.simplify(divergence.second * x ** power(divergence)).subs(x, 0)


def divergence_js(divergence: Divergence) -> str:
    """Facts of a divergence and its functions.

    `field(x1, x2, beta, alpha)` is the loss with both partial derivatives, `one(x, alpha)` is I,
    f'' and f', and `reaches(beta, alpha)` is 1 where x2 reaches 0 in finite time, else 0.
    """
    loss = f_dpo(divergence.name, divergence)
    chart = CHARTS["ratio"]
    second = divergence.second
    field = (chart.pull_back(loss.expr), *chart.gradient(loss))
    one = (conserved(divergence), second, divergence.score.subs(u, sp.log(x)))
    finite = sp.Piecewise((1, reaches_zero(divergence)), (0, True))
    about = {"name": divergence.name, "title": divergence.title, "alpha": as_alpha(divergence)}
    return (
        f"  {{ ...{json.dumps(about)},\n"
        f"    field: {printed((x1, x2), field, (BETA, ALPHA))},\n"
        f"    one: {printed((x,), one, (ALPHA,))},\n"
        f"    reaches: {printed((), (finite,), (BETA, ALPHA))} }}"
    )


def formulas_js() -> str:
    """`DIVERGENCES`, in the order of the book."""
    body = ",\n".join(map(divergence_js, DIVERGENCES.values()))
    return f"const DIVERGENCES = [\n{body}\n];\n"
