"""Caps and conserved quantities against integrals, roots with 40 digits, and the flow."""

from __future__ import annotations

import itertools

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpofield.field import flow
from dpofield.field.caps import cap, conserved_by
from dpofield.formulas.divergences import DIVERGENCES

# 1/f'' of each divergence, typed independently.
RECIPROCAL = {
    "reverse_kl": lambda x, a: x,
    "forward_kl": lambda x, a: x**2,
    "js": lambda x, a: x * (1 + x),
    "alpha": lambda x, a: x ** (2 - a),
    "chi2": lambda x, a: mpmath.mpf(1),
}
LOSS = {"reverse_kl": "dpo", "forward_kl": "forward_kl", "js": "js", "alpha": "alpha_div",
        "chi2": "chi2"}  # fmt: skip
CASES = [(name, 0.5) for name in DIVERGENCES] + [("alpha", a) for a in (-1.0, 1.0, 1.7, 2.5)]
NAMES = st.sampled_from(sorted(DIVERGENCES))
RATIOS = st.floats(0.05, 5.0)


def params(name, alpha, beta):
    return {"beta": beta} | ({"alpha": alpha} if name == "alpha" else {})


def test_every_divergence_is_here():
    """A new divergence must be added to this file."""
    assert set(RECIPROCAL) == set(LOSS) == set(DIVERGENCES)


@settings(max_examples=40, deadline=None)
@given(NAMES, RATIOS, RATIOS, st.floats(-2, 5))
def test_conserved_is_the_integral(name, low, high, alpha):
    """Differences of I equal mpmath's integrals of 1/f''."""
    found = conserved_by(name, [low, high], alpha=alpha)
    expected = mpmath.quad(lambda x: RECIPROCAL[name](x, alpha), [low, high])
    assert found[1] - found[0] == pytest.approx(float(expected), rel=1e-8, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(NAMES, RATIOS, RATIOS, st.floats(-2, 2.7))
def test_cap_takes_up_what_x2_gives(name, x1, x2, alpha):
    """From any start, the integral of 1/f'' from x1 to the cap equals that from 0 to x2."""
    found = cap(name, x1, x2, alpha=alpha)

    def area(low, high):  # the substitution s = x^p removes a singularity at 0
        p = 3 - alpha if name == "alpha" else 1
        return mpmath.quad(
            lambda s: RECIPROCAL[name](s ** (1 / p), alpha) * s ** (1 / p - 1) / p,
            [mpmath.mpf(low) ** p, mpmath.mpf(high) ** p],
        )

    gain, loss = area(x1, found), area(mpmath.mpf(10) ** -40, x2)
    assert float(gain) == pytest.approx(float(loss), rel=1e-6)
    assert found > x1


def test_caps_in_forty_digits():
    """The caps equal their closed forms, and the root of Jensen-Shannon's cubic by mpmath."""
    with mpmath.workdps(40):
        cubic = mpmath.findroot(lambda c: c**2 / 2 + c**3 / 3 - mpmath.mpf(5) / 3, 1.3)
        expected = {"reverse_kl": mpmath.sqrt(2), "forward_kl": mpmath.cbrt(2), "js": cubic,
                    "chi2": mpmath.mpf(2)}  # fmt: skip
        for name, root in expected.items():
            assert cap(name) == pytest.approx(float(root), rel=1e-14)
        for alpha in (-3.0, 0.0, 1.0, 2.0, 2.9, 2.99):
            root = mpmath.power(2, 1 / (3 - mpmath.mpf(alpha)))
            assert cap("alpha", alpha=alpha) == pytest.approx(float(root), rel=1e-11)


@pytest.mark.parametrize(("name", "alpha"), CASES)
@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_flow_keeps_the_invariant_and_the_cap(name, alpha, beta):
    """The integrated flow conserves I(x1) + I(x2), and x1 ends at the cap if x2 reaches 0."""
    given = params(name, alpha, beta)
    line = flow(LOSS[name], "ratio", time=300.0, **given)
    kept = conserved_by(name, line.a, alpha=alpha) + conserved_by(name, line.b, alpha=alpha)
    assert np.ptp(kept) < 1e-6  # at alpha = 2.5 the slope of I is infinite at x2 = 0
    top = cap(name, alpha=alpha)
    assert line.a.max() < top * (1 + 1e-8)
    if line.stopped == "extinct":
        assert line.a[-1] == pytest.approx(top, abs=2e-4 if alpha > 2 else 1e-7)
    else:
        assert line.stopped == "time"
        assert name == "forward_kl" or alpha < 1
        assert 1e-6 < line.b[-1] < 0.3


@pytest.mark.parametrize("alpha", [3.0, 4.0])
def test_no_cap_from_alpha_three(alpha):
    """For alpha >= 3 x1 has no cap; for alpha > 3 x2 has the floor 2^(-1/(alpha - 3))."""
    assert cap("alpha", alpha=alpha) == np.inf
    line = flow("alpha_div", "ratio", length=4.0, alpha=alpha, beta=0.1)
    assert line.stopped == "length"
    assert line.a[-1] > 4
    a, b = line.a[-1], line.b[-1]
    if alpha == 3:
        assert a * b == pytest.approx(1, rel=1e-7)
    else:
        assert 1 / a + 1 / b == pytest.approx(2, rel=1e-7)
        assert b > 0.5


@pytest.mark.parametrize("beta", [0.1, 1.0, 2.5])
def test_clock_of_chi_squared(beta):
    """The integrated extinction time equals 1/beta + (exp(2 beta) - 1)/(2 beta^2)."""
    line = flow("chi2", "ratio", beta=beta)
    assert line.stopped == "extinct"
    assert line.t[-1] == pytest.approx(1 / beta + np.expm1(2 * beta) / (2 * beta**2), rel=1e-7)


@pytest.mark.parametrize(("beta", "ends"), [(1.5, True), (3.0, False)])
def test_clock_of_jensen_shannon(beta, ends):
    """As x2 falls, the time increments shrink for beta < 2 and grow for beta > 2."""
    line = flow("js", "ratio", beta=beta, points=20_000)
    times = [line.t[np.searchsorted(-line.b, -x)] for x in (4e-2, 1e-2, 2.5e-3)]
    first, second = np.diff(times)
    assert (second < first) == ends


def test_bad_input():
    """Errors name the argument; a finite cap beyond float64 raises an error."""
    with pytest.raises(ValueError, match="no divergence 'kl'; there are reverse_kl"):
        cap("kl")
    for bad in ({"x1": 0.0}, {"x2": -1.0}, {"x1": np.inf}, {"alpha": np.nan}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            cap("alpha", **bad)
    with pytest.raises(ValueError, match=r"ratio = -1\.0"):
        conserved_by("js", [1.0, -1.0])
    with pytest.raises(OverflowError, match=r"alpha = 2\.9999"):
        cap("alpha", alpha=2.9999)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_cap_grows_with_both_ratios(name):
    """The cap increases with x1 and with x2."""
    grid = (0.1, 0.5, 1.0, 2.0)
    for first, more in itertools.pairwise(grid):
        for other in grid:
            assert cap(name, first, other) < cap(name, more, other)
            assert cap(name, other, first) < cap(name, other, more)
