"""Every derivation is proved link by link, and wrong derivations fail."""

from __future__ import annotations

import dataclasses

import mpmath
import numpy as np
import pytest
import sympy as sp
from scipy.optimize import minimize

from dpofield.formulas import CHARTS, LOSSES, THEOREMS
from dpofield.formulas.derivation import Chain, chain, difference
from dpofield.formulas.stable import sigmoid
from dpofield.formulas.symbols import beta, u, v, x1, x2


@pytest.mark.parametrize("name", THEOREMS)
def test_residual_is_exactly_zero(name):
    """Each link simplifies to the integer 0, and each fact is True."""
    theorem = THEOREMS[name]
    theorem.check()
    assert theorem.residual is sp.S.Zero
    assert theorem.proved
    assert theorem.assumptions
    assert theorem.source


@pytest.mark.parametrize("name", THEOREMS)
def test_every_link_can_fail(name):
    """A wrong expression in any step makes the proof fail."""
    theorem = THEOREMS[name]
    for i, proof in enumerate(theorem.chains):
        for j, step in enumerate(proof.steps):
            wrong = dataclasses.replace(step, expr=step.expr + x1 / 7)
            steps = (*proof.steps[:j], wrong, *proof.steps[j + 1 :])
            chains = list(theorem.chains)
            chains[i] = Chain(proof.start, steps)
            spoiled = dataclasses.replace(theorem, chains=tuple(chains))
            assert not spoiled.proved
            with pytest.raises(AssertionError, match=f"{name}: chain {i + 1}"):
                spoiled.check()


def test_a_false_fact_is_noticed():
    """A fact that is False or None (undecided) makes the proof fail."""
    theorem = THEOREMS["hessian"]
    for answer in (False, None):
        spoiled = dataclasses.replace(theorem, facts=(("the moon is cheese", answer),))
        assert not spoiled.proved
        with pytest.raises(AssertionError, match="moon"):
            spoiled.check()


def test_residuals_cannot_cancel():
    """Two opposite errors do not cancel in `residual`."""
    chains = (
        chain(x1, ("wrong by +1", x1 + 1)),
        chain(x1, ("wrong by -1", x1 - 1)),
    )
    assert dataclasses.replace(THEOREMS["theorem-1"], chains=chains).residual != 0


def test_theorem_1_against_numeric_derivatives_of_the_naive_loss():
    """Theorem 1 agrees with mpmath's derivatives of -log(x1^b/(x1^b + x2^b))."""
    first, second = THEOREMS["theorem-1"].equations
    with mpmath.workdps(40):
        for a, b, k in [(1.0, 1.0, 0.1), (0.3, 2.0, 0.5), (5.0, 0.01, 1.0), (2.0, 3.0, 4.0)]:
            naive = lambda p, q, k=k: -mpmath.log(p**k / (p**k + q**k))  # noqa: E731
            at = {x1: a, x2: b, beta: k}
            for eq, order in ((first, (1, 0)), (second, (0, 1))):
                expected = mpmath.diff(naive, (a, b), order)
                assert mpmath.almosteq(mpmath.mpf(eq.rhs.subs(at).evalf(30)), expected, 1e-15)


def test_rlhf_optimum_against_a_numeric_optimiser():
    """SciPy's numerical optimum over four responses is the policy of the theorem."""
    rng = np.random.default_rng(0)
    rho, reward, strength = rng.dirichlet(np.ones(4)), rng.normal(size=4), 0.7

    def cost(logits):
        p = np.exp(logits - np.logaddexp.reduce(logits))
        return -(p @ reward - strength * p @ np.log(p / rho))

    found = minimize(cost, np.zeros(4), tol=1e-12).x
    weights = rho * np.exp(reward / strength)
    np.testing.assert_allclose(
        np.exp(found - np.logaddexp.reduce(found)), weights / weights.sum(), atol=1e-6
    )
    np.testing.assert_allclose(-cost(found), strength * np.log(weights.sum()), atol=1e-10)


@pytest.mark.parametrize("exponent", [0.1, 0.5, 1.0, 2.0, 3.0])
def test_limits_as_numbers(exponent):
    """The three cases of the limit, evaluated at x1 = 1 and x2 = 1e-30."""
    second = THEOREMS["theorem-1"].equations[1].rhs
    near = float(second.subs({x1: 1, x2: sp.Float("1e-30", 40), beta: sp.Float(exponent)}))
    if exponent < 1:
        assert near > 1e13
    elif exponent == 1:
        assert near == pytest.approx(1.0, abs=1e-12)
    else:
        assert near < 1e-20


@pytest.mark.parametrize("name", CHARTS)
def test_charts_invert(name):
    """`logratios` inverts `coordinates_of`, at three points."""
    chart = CHARTS[name]
    values = {p.symbol: p.default for p in chart.params}
    from dpofield.formulas import symbols as s

    for u0, v0 in [(0.0, 0.0), (0.3, -1.2), (-2.0, 0.5)]:
        here = [c.subs(values | {s.u: u0, s.v: v0}) for c in chart.coordinates_of]
        back = [
            e.rewrite(sp.log).subs(values | dict(zip(chart.coordinates, here, strict=True)))
            for e in chart.logratios
        ]
        assert [float(z) for z in back] == pytest.approx([u0, v0], abs=1e-12)


def test_difference_sees_a_small_error():
    """`difference` does not round a difference of 1e-9 to 0."""
    assert difference(x1 / x2, x1 / x2 + sp.Rational(1, 10**9)) != 0


@pytest.mark.parametrize(("number", "x"), [(0, x1), (1, x2)])
def test_theorem_1_is_about_the_loss_that_trains(number, x):
    """Each chain goes from the derivative of `LOSSES["dpo"]` in the ratios to a closed form.

    The same closed form is wrong for other losses."""
    theorem = THEOREMS["theorem-1"]
    ratios = {u: sp.log(x1), v: sp.log(x2)}
    chain, others = theorem.chains[number], theorem.chains[1 - number]
    assert chain.start == sp.Derivative(LOSSES["dpo"].expr.subs(ratios), x)
    assert not chain.steps[-1].expr.has(sp.Derivative, sp.log, sigmoid)
    for name in ("ipo", "hinge", "cdpo"):
        wrong = Chain(sp.Derivative(LOSSES[name].expr.subs(ratios), x), chain.steps)
        assert not dataclasses.replace(theorem, chains=(wrong, others)).proved
