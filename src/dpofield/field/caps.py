"""The quantity that a divergence's flow conserves, and the cap of the preferred ratio."""

from __future__ import annotations

import mpmath
import numpy as np
import sympy as sp
from numpy.typing import ArrayLike

from dpofield.field.core import Array
from dpofield.formulas import CHARTS
from dpofield.formulas.caps import at_zero, conserved
from dpofield.formulas.divergences import ALPHA, DIVERGENCES, Divergence
from dpofield.formulas.parameters import check_interval, real_array
from dpofield.formulas.printers import mpmath_function, numpy_function
from dpofield.formulas.symbols import x

LARGEST = np.log(np.finfo(np.float64).max)


def find_divergence(name: str | Divergence) -> Divergence:
    """The divergence called `name`; `ValueError` listing the names if there is none."""
    if isinstance(name, Divergence):
        return name
    if name not in DIVERGENCES:
        raise ValueError(f"no divergence {name!r}; there are {', '.join(DIVERGENCES)}")
    return DIVERGENCES[name]


def conserved_by(divergence: str | Divergence, ratio: ArrayLike, *, alpha: float = 0.5) -> Array:
    """I at `ratio` (one of x1, x2, no unit; its shape), with `I' = 1/f''`.

    Gradient flow of f-DPO in the ratios keeps `I(x1) + I(x2)` (own derivation,
    `THEOREMS["divergence-invariant"]`). At ratio 0 this is the limit, `-inf` for the
    alpha-divergence with alpha >= 3. Divergences without an alpha ignore `alpha`.
    `ValueError` for an unknown divergence, a negative or infinite ratio, an infinite alpha.

    >>> conserved_by("forward_kl", [0.0, 1.0, 3.0]).round(4)
    array([0.    , 0.3333, 9.    ])
    """
    divergence = find_divergence(divergence)
    ALPHA.check(alpha)
    if np.ndim(alpha):
        raise ValueError("alpha is an array: I is one function for one alpha")
    ratio = real_array("ratio", ratio)
    inside = np.where(ratio == 0, 1.0, ratio)
    check_interval("ratio", inside, CHARTS["ratio"].domain, CHARTS["ratio"].domain_meaning)
    with np.errstate(over="ignore"):
        value = numpy_function((x, ALPHA.symbol), (conserved(divergence),))(inside, alpha)[0]
    if (ratio == 0).any():
        value = np.where(ratio == 0, float(at_zero(divergence).subs(ALPHA.symbol, alpha)), value)
    return np.asarray(value, dtype=np.float64)


def cap(
    divergence: str | Divergence, x1: float = 1.0, x2: float = 1.0, *, alpha: float = 0.5
) -> float:
    """The least upper bound of the preferred ratio on the flow line from `(x1, x2)`, or `inf`.

    The root c of `I(c) = I(x1) + I(x2) - I(0)` (own derivation, `THEOREMS["divergence-caps"]`);
    it does not depend on beta. Errors as in `conserved_by`; `ValueError` also for a ratio of 0, and
    `OverflowError` if the cap is finite but beyond float64.

    >>> [round(cap(name), 4) for name in ("reverse_kl", "forward_kl", "js", "chi2")]
    [1.4142, 1.2599, 1.3294, 2.0]
    >>> round(cap("alpha", alpha=2.5), 9), cap("alpha", alpha=3.0)
    (4.0, inf)
    """
    divergence = find_divergence(divergence)
    domain = CHARTS["ratio"]
    for name, value in (("x1", x1), ("x2", x2)):
        check_interval(name, value, domain.domain, domain.domain_meaning)

        if np.ndim(value):
            raise ValueError(f"{name} is an array: a flow line has one start")
    ALPHA.check(alpha)
    if np.ndim(alpha):
        raise ValueError("alpha is an array: a divergence has one alpha")
    free = sp.sympify(at_zero(divergence)).subs(ALPHA.symbol, sp.Rational(float(alpha)))
    if not free.is_finite:
        return float("inf")
    # I(x) - I(0) is about x^(3 - alpha): it can be far smaller than I(0), and beyond float64.
    with mpmath.workdps(40 + int((4 + abs(alpha)) * np.abs(np.log10([x1, x2])).max())):
        of = mpmath_function((x, ALPHA.symbol), (conserved(divergence),))
        start, exponent = mpmath.mpf(free.p) / free.q, mpmath.mpf(float(alpha))

        def gained(ratio: mpmath.mpf) -> mpmath.mpf:
            return of(ratio, exponent)[0] - start

        target = gained(mpmath.mpf(float(x1))) + gained(mpmath.mpf(float(x2)))

        def short(log_c: mpmath.mpf) -> mpmath.mpf:
            return mpmath.log(gained(mpmath.exp(log_c)) / target)

        low = high = mpmath.log(max(float(x1), float(x2)))
        while short(high) < 0 and low < LARGEST:  # I increases, so this brackets the root
            low, high = high, high + 1
        if short(high) > 0:
            high = mpmath.findroot(short, (low, high), solver="illinois", tol=1e-30)
        if high > LARGEST:
            raise OverflowError(f"the cap at alpha = {alpha} from ({x1}, {x2}) is beyond float64")
        return float(mpmath.exp(high))
