"""What a divergence's flow conserves, and when it carries x2 to 0, read off f'' by SymPy."""

from __future__ import annotations

from functools import cache

import sympy as sp

from dpofield.formulas.divergences import Divergence
from dpofield.formulas.losses.core import BETA
from dpofield.formulas.stable import boxcox
from dpofield.formulas.symbols import alpha, x


@cache
def power(divergence: Divergence) -> sp.Expr:
    """The power p of `1/f'' ~ x^p` where x is near 0.

    >>> from dpofield.formulas.divergences import DIVERGENCES
    >>> [power(d) for d in DIVERGENCES.values()]
    [1, 2, 1, 2 - alpha, 0]
    """
    slope = sp.simplify(-x * sp.diff(divergence.second, x) / divergence.second)
    return sp.simplify(slope.subs(x, 0))


def coefficient(divergence: Divergence) -> sp.Expr:
    """c in `f'' ~ c x^-p` where x is near 0."""
    return sp.simplify(divergence.second * x ** power(divergence)).subs(x, 0)


@cache
def conserved(divergence: Divergence) -> sp.Expr:
    """I(x) with `I' = 1/f''`: gradient flow in the ratios keeps `I(x1) + I(x2)`.

    >>> from dpofield.formulas.divergences import DIVERGENCES
    >>> conserved(DIVERGENCES["reverse_kl"]), conserved(DIVERGENCES["chi2"])
    (x**2/2, x)
    """
    if alpha in divergence.second.free_symbols:  # x^p: its integral is a logarithm at p = -1
        return boxcox(sp.log(x), power(divergence) + 1)
    return sp.integrate(sp.expand(1 / divergence.second), x)


@cache
def at_zero(divergence: Divergence) -> sp.Expr:
    """I(0), the limit of `conserved`, which is -oo where 1/f'' has no integral down to 0.

    >>> from dpofield.formulas.divergences import DIVERGENCES
    >>> found = at_zero(DIVERGENCES["alpha"])
    >>> [found.subs(alpha, a) for a in (1, 3)]
    [-1/2, -oo]
    """
    over = power(divergence) + 1
    rest = -1 / over if alpha in over.free_symbols else conserved(divergence).subs(x, 0)
    return sp.Piecewise((rest, over > 0), (-sp.oo, True))


def reaches_zero(divergence: Divergence) -> sp.Basic:
    """When x2 reaches 0 in finite time, as a condition on beta and alpha.

    Near x2 = 0 time runs like `x^p / sigmoid(-beta m)`. For `p > 1` the margin grows like a power
    of 1/x and no time is enough; for `p = 1` it grows like `-c log x` and the integral is finite
    while `beta c < 2`; between -1 and 1 margin and integral are finite; at -1 and below x1 has no
    cap, and again no time is enough (`THEOREMS["divergence-arrival"]`).

    >>> from dpofield.formulas.divergences import DIVERGENCES
    >>> [reaches_zero(d) for d in DIVERGENCES.values()][:3]
    [beta < 2, False, beta < 2]
    """
    p, c = power(divergence), coefficient(divergence)
    slow = sp.Or(sp.And(p > -1, p < 1), sp.And(sp.Eq(p, 1), BETA.symbol * c < 2))
    return sp.simplify(slow)
