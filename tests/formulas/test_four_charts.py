"""The theorems of the four charts, against independent functions and numbers."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from dpofield.formulas import CHARTS, THEOREMS, latex
from dpofield.formulas.symbols import pi_l, pi_w, u, v, x1, x2

RATIOS = {
    "ratio": x2 / x1,
    "probability": pi_l / pi_w,
    "log-ratio": sp.Integer(1),
    "logit": sp.Integer(1),
}


@pytest.mark.parametrize("name", CHARTS)
@pytest.mark.parametrize("shape", [sp.tanh, sp.exp, lambda m: (m - 3) ** 2, sp.Function("q")])
def test_every_shape_has_the_ratio_of_its_chart(name, shape):
    """The ratio of components is the chart's, for several functions of the margin."""
    chart = CHARTS[name]
    first, second = (sp.diff(chart.pull_back(shape(u - v)), c) for c in chart.coordinates)
    assert sp.simplify(-first / second - RATIOS[name]) == 0


def test_the_theorem_states_these_ratios():
    """The theorem on the page states the ratios of the test above."""
    ends = [THEOREMS["margin-losses"].chains[i].steps[-1].expr for i in (2, 5, 8, 11)]
    assert ends == list(RATIOS.values())


def test_a_loss_that_is_not_of_the_margin_fails():
    """The ratio and the invariant are wrong for a loss that does not depend on the margin only."""
    loss = (u - v) ** 2 - u
    first, second = (
        sp.diff(CHARTS["ratio"].pull_back(loss), c) for c in CHARTS["ratio"].coordinates
    )
    assert sp.simplify(-first / second - x2 / x1) != 0
    assert sp.simplify(first * sp.diff(x1**2, x1) + second * sp.diff(x2**2, x2)) != 0


@given(st.floats(-3, 3).filter(lambda k: abs(k) > 0.05), st.floats(0.1, 5), st.floats(0.1, 5))
def test_powers_of_the_ratios(k, p, q):
    """The chart principle holds for the coordinates x^k, with derivatives by mpmath."""
    with mpmath.workdps(40):
        loss = lambda a, b: mpmath.tanh((mpmath.log(a) - mpmath.log(b)) / k)  # noqa: E731
        at = (mpmath.mpf(p) ** k, mpmath.mpf(q) ** k)
        first, second = mpmath.diff(loss, at, (1, 0)), mpmath.diff(loss, at, (0, 1))
        assert mpmath.almosteq(-first / second, (mpmath.mpf(q) / p) ** k, 1e-12)


def test_the_loss_changes_at_one_rate_in_every_chart():
    """Along one path, the loss has the same rate of change in all four charts."""
    from dpofield.field import coordinates, gradient

    def path(s):
        return 0.3 * np.sin(s), -0.4 * s

    rates = []
    for chart in CHARTS:
        before, here, after = (coordinates(chart, *path(s)) for s in (0.5 - 1e-6, 0.5, 0.5 + 1e-6))
        velocity = (np.array(after) - np.array(before)) / 2e-6
        rates.append(float(np.dot(gradient("dpo", chart, *here, beta=0.7), velocity)))
    assert rates == pytest.approx([rates[0]] * 4, rel=1e-8)


def test_primes_on_the_page():
    """The derivative of an undefined function is printed as f'; other derivatives are unchanged."""
    f = sp.Function("f")
    assert latex(f(2 * x1).diff(x1)) == r"2 f'{\left(2 x_{1}\right)}"
    assert latex(f(x1).diff(x1, 2)) == r"f''{\left(x_{1}\right)}"
    assert r"\frac{d}{d x_{1}}" in latex(sp.Derivative(x1**2, x1))
