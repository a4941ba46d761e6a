"""The quantity that a divergence's flow conserves, and when x2 reaches 0, both from f''."""

from __future__ import annotations

from functools import cache

import sympy as sp

from dpofield.formulas.divergences import Divergence
from dpofield.formulas.losses.core import BETA
from dpofield.formulas.stable import boxcox
from dpofield.formulas.symbols import alpha, x


@cache
def power(divergence: Divergence) -> sp.Expr:
    """The power p in `1/f'' ~ x^p` near x = 0.

    >>> from dpofield.formulas.divergences import DIVERGENCES
    >>> [power(d) for d in DIVERGENCES.values()]
    [1, 2, 1, 2 - alpha, 0]
    """
    slope = sp.simplify(-x * sp.diff(divergence.second, x) / divergence.second)
    return sp.simplify(slope.subs(x, 0))


def coefficient(divergence: Divergence) -> sp.Expr:
    """c in `f'' ~ c x^-p` near x = 0."""
    return sp.simplify(divergence.second * x ** power(divergence)).subs(x, 0)


@cache
def conserved(divergence: Divergence) -> sp.Expr:
    """I(x) with `I' = 1/f''`: gradient flow in the ratios keeps `I(x1) + I(x2)`.

    >>> from dpofield.formulas.divergences import DIVERGENCES
    >>> conserved(DIVERGENCES["reverse_kl"]), conserved(DIVERGENCES["chi2"])
    (x**2/2, x)
    """
    if alpha in divergence.second.free_symbols:  # the integral of x^p is a logarithm at p = -1
        return boxcox(sp.log(x), power(divergence) + 1)
    return sp.integrate(sp.expand(1 / divergence.second), x)


@cache
def at_zero(divergence: Divergence) -> sp.Expr:
    """I(0), the limit of `conserved`, -oo where the integral of 1/f'' diverges at 0.

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

    The time is the integral of `x^p / sigmoid(-beta m)` near x2 = 0. For `p > 1` the margin grows
    like a power of 1/x and the integral is infinite. For `p = 1` the margin grows like `-c log x`
    and the integral is finite if `beta c < 2`. For `-1 < p < 1` margin and integral are finite.
    For `p <= -1` x1 has no cap and the time is infinite (`THEOREMS["divergence-arrival"]`).

    >>> from dpofield.formulas.divergences import DIVERGENCES
    >>> [reaches_zero(d) for d in DIVERGENCES.values()][:3]
    [beta < 2, False, beta < 2]
    """
    p, c = power(divergence), coefficient(divergence)
    slow = sp.Or(sp.And(p > -1, p < 1), sp.And(sp.Eq(p, 1), BETA.symbol * c < 2))
    return sp.simplify(slow)
