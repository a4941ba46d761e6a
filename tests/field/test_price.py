"""The price of a margin against optimisers, mpmath and enumeration, at every scale."""

from __future__ import annotations

import warnings

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import NonlinearConstraint, minimize

from dpofield.field.price import (
    cheapest,
    efficiency,
    gaussian_optimum,
    least_kl,
    margin_for,
    optimum,
    optimum_path,
)
from dpofield.field.room import CEILING, Room, best_of, bradley_terry, judged, ordered, room


def worlds(count, prompts=2, n=5):
    """Random preference sets of every kind: ties, unequal references, absent responses."""
    rng = np.random.default_rng(0)
    for number in range(count):
        ref = np.log(rng.dirichlet(np.ones(n), size=prompts))
        rewards = rng.integers(0, 4, size=(prompts, n)).astype(float)
        rewards[:, :2] = [0.0, 3.0]
        wins = rng.random((prompts, n, n))
        wins = (wins + 1 - wins.swapaxes(1, 2)) / 2
        free = [np.log(rng.dirichlet(np.ones(n), size=prompts)) for _ in range(2)]
        shares = rng.random(prompts)
        yield [
            ordered(ref, rewards, shares), bradley_terry(ref, rewards, shares),
            best_of(ref, rewards, 3 + number % 4, shares), judged(ref, wins, shares),
            room(ref, *free, shares),
        ][number % 5]  # fmt: skip


def exact(pairs: Room, c):
    """Margin and KL of ref (1 + c t) in mpmath, from the definitions."""
    p, t = ([mpmath.mpf(float(z)) for z in table.ravel()] for table in (pairs.mass, pairs.score))
    gain = [mpmath.log(1 + c * one) for one in t]
    return (
        mpmath.fsum(2 * a * b * g for a, b, g in zip(p, t, gain, strict=True)),
        -mpmath.fsum(a * (g - c * b) for a, b, g in zip(p, t, gain, strict=True)),
    )


def strict_exact(x):
    """Margin and KL of a strict order at c = tanh x, by quadrature in mpmath."""
    c = mpmath.tanh(x)
    m = mpmath.quad(lambda t: t * mpmath.log(1 + c * t), [-1, -0.99, 0, 1])
    return m, -mpmath.quad(lambda t: mpmath.log(1 + c * t), [-1, -0.99, 0, 1]) / 2


def closed(x):
    """The closed forms of the theorem at 50 digits."""
    return (
        mpmath.coth(x) - x / mpmath.sinh(x) ** 2,
        1 - x * mpmath.coth(x) + mpmath.log(mpmath.cosh(x)),
    )


def test_closed_forms_are_the_integrals():
    """The two integrals of a strict order, by quadrature."""
    with mpmath.workdps(30):
        for x in (0.01, 0.3, 0.7, 2.0, 6.0):
            for ours, theirs in zip(
                closed(mpmath.mpf(x)), strict_exact(mpmath.mpf(x)), strict=True
            ):
                assert abs(ours / theirs - 1) < 1e-12


@given(st.floats(-100, 1.3))
def test_strict_order_at_every_scale(log_x):
    """Least KL and inverse to 1e-12 of the closed form at 250 digits, from margins of 1e-100 to 1
    less 1e-16."""
    with mpmath.workdps(250):
        margin, kl = closed(mpmath.mpf(10) ** log_x)
        assert abs(float(least_kl(float(margin))) / kl - 1) < 1e-12
        assert abs(float(margin_for(float(kl))) / margin - 1) < 1e-12


@pytest.mark.parametrize("gap", [0.5, 1e-3, 1e-8, 1e-15, 0.0, -1e-15, -1e-8, -1.0, -1e6, -1e300])
def test_the_straight_line_begins_without_a_step(gap):
    """Around margin 1 the curve lies above the line by less than its gap; beyond it is the line."""
    margin = 1 - gap
    above = float(least_kl(margin)) - (margin / 2 - CEILING)
    assert -1e-15 * abs(margin) <= above <= max(gap, 0) + 1e-15
    assert float(margin_for(float(least_kl(margin)))) == pytest.approx(margin, rel=1e-12)


def by_optimiser(ref, score, margin, start):
    """The least KL(ref || pi) at a margin, by SciPy over all policies."""

    def gain(z):
        return z - np.log(np.exp(z).sum()) - np.log(ref)

    fixed = NonlinearConstraint(lambda z: 2 * (ref * score) @ gain(z), margin, margin)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = minimize(lambda z: -ref @ gain(z), start, constraints=fixed, method="trust-constr",
                         options={"gtol": 1e-10, "xtol": 1e-12, "maxiter": 3000})  # fmt: skip
    assert found.constr_violation < 1e-8
    return found.fun


@pytest.mark.parametrize("margin", [0.05, 0.6])
def test_against_a_numerical_optimiser(margin):
    """SciPy finds the same least KL in worlds of every kind, without our formula."""
    rng = np.random.default_rng(1)
    for pairs in worlds(10, prompts=1):
        ref, score = np.exp(pairs.reference[0]), pairs.score[0]
        start = cheapest(margin, pairs)[0] + rng.normal(size=5) / 3
        found = by_optimiser(ref, score, margin, start)
        assert found == pytest.approx(float(least_kl(margin, pairs)), abs=2e-7)


def test_no_policy_is_cheaper():
    """100,000 random policies of finite worlds: none has its margin at a smaller KL."""
    rng = np.random.default_rng(5)
    for pairs in worlds(10, prompts=1, n=4):
        score, mass = pairs.score[0], pairs.mass[0]
        gain = rng.normal(size=(10_000, 4)) * rng.choice([0.03, 0.5, 3.0], size=(10_000, 1))
        gain -= np.log(np.exp(pairs.reference[0] + gain).sum(axis=1, keepdims=True))
        margin, kl = 2 * gain @ (mass * score), -gain @ mass
        grid = np.linspace(0, margin.max() * 1.01, 200)
        price = least_kl(grid, pairs)
        up = margin > 0
        # A chord of a convex function lies above it, so take a little off.
        assert (kl[up] >= np.interp(margin[up], grid, price) - np.diff(price).max() / 20).all()
        few = np.flatnonzero(up)[:40]
        assert (kl[few] >= least_kl(margin[few], pairs) * (1 - 1e-10)).all()


@pytest.mark.parametrize("log_depth", [-150, -60, -12, -6, -3, -1, 0, 0.7, 1.5, 2.5])
def test_finite_worlds_at_every_scale(log_depth):
    """Least KL and inverse to 1e-10 of mpmath, for margins from 1e-150 to hundreds of nats."""
    for pairs in worlds(10):
        with mpmath.workdps(400):
            worst = -min(mpmath.mpf(float(t)) for t in pairs.score.ravel())
            c = -mpmath.expm1(-(mpmath.mpf(10) ** log_depth)) / worst
            margin, kl = exact(pairs, c)
            assert abs(float(least_kl(float(margin), pairs)) / kl - 1) < 1e-10
            assert abs(float(margin_for(float(kl), pairs)) / margin - 1) < 1e-10 or kl < 1e-300


def test_scores_of_very_different_sizes():
    """Nearly equal pairs, and pairs far off the reference: both ends of the scale to 1e-10."""
    near = judged(np.log([0.5, 0.5]), [[0.5, 0.5 + 1e-9], [0.5 - 1e-9, 0.5]])
    far = room(np.log([1 - 1e-9, 1e-9]), np.log([0.5, 0.5]), np.log([1 - 1e-9, 1e-9]))
    for pairs in (near, far):
        for power in (-200, -13, -11, -3, 0, 3, 30, 250):
            margin = 10.0**power
            kl = float(least_kl(margin, pairs))
            if kl > 1e-290:
                assert float(margin_for(kl, pairs)) == pytest.approx(margin, rel=1e-10)
        with mpmath.workdps(80):
            worst = -min(mpmath.mpf(float(t)) for t in pairs.score.ravel())
            for share in (1e-14, 1e-9, 0.3, 1 - 1e-9):
                margin, kl = exact(pairs, mpmath.mpf(share) / worst)
                assert abs(float(least_kl(float(margin), pairs)) / kl - 1) < 1e-9


def test_huge_margins_in_finite_worlds():
    """At a million nats all that is left is the worst responses: KL has the slope 1/(2 max(-t))."""
    for pairs in worlds(5):
        a, b = least_kl([1e6, 2e6], pairs)
        assert (b - a) / 1e6 == pytest.approx(1 / (2 * -pairs.score.min()), rel=1e-9)
        assert float(margin_for(a, pairs)) == pytest.approx(1e6, rel=1e-9)


def test_many_responses_are_nearly_a_strict_order():
    """A finite strict order approaches the closed forms from above as it is divided more finely."""
    margins = [0.01, 0.5, 0.9]
    gaps = []
    for n in (50, 500):
        pairs = ordered(np.log(np.full(n, 1 / n)), np.arange(n))
        gaps.append(least_kl(margins, pairs) / least_kl(margins) - 1)
    assert (gaps[0] > gaps[1]).all()
    assert (gaps[1] > 0).all()
    assert gaps[1].max() < 1e-3


def test_the_cheapest_policy_has_its_margin_and_its_price():
    """The account of the policy, by enumeration, has the margin and the least KL."""
    for pairs in worlds(10):
        for margin in (0.0, 1e-4, 0.3, 4.0):
            policy = cheapest(margin, pairs)
            np.testing.assert_allclose(np.exp(policy).sum(axis=1), 1, rtol=1e-12)
            found = pairs.account(policy)
            assert found.margin == pytest.approx(margin, rel=1e-10, abs=1e-12)
            assert found.kl == pytest.approx(float(least_kl(margin, pairs)), rel=1e-9, abs=1e-12)


def test_supervised_training_on_the_preferred_is_the_end_of_the_curve():
    """Pairs of the reference: q_w has the least KL of its margin, and its u is the ceiling."""
    rng = np.random.default_rng(2)
    pairs = ordered(np.log(rng.dirichlet(np.ones(7))), np.arange(7))
    policy = pairs.reference + np.log(pairs.preferred)
    found = pairs.account(policy)
    assert found.u == pytest.approx(pairs.ceiling, rel=1e-12)
    assert float(efficiency(found.margin, found.kl, pairs)) == pytest.approx(1, rel=1e-10)


def test_optimum_maximises_reward_minus_kl():
    """SciPy's optimum of the RLHF objective is `optimum`, for each prompt."""
    rng = np.random.default_rng(3)
    ref, rewards, beta = np.log(rng.dirichlet(np.ones(5), size=2)), rng.normal(size=(2, 5)), 0.4
    pairs = ordered(ref, rewards)
    ours = np.exp(optimum(pairs, rewards, beta))
    for row in range(2):

        def cost(z, row=row):
            logp = z - np.log(np.exp(z).sum())
            return -np.exp(logp) @ (rewards[row] - beta * (logp - ref[row]))

        z = minimize(cost, np.zeros(5), tol=1e-12).x
        np.testing.assert_allclose(np.exp(z) / np.exp(z).sum(), ours[row], atol=1e-6)


def test_gaussian_optimum_against_sampling():
    """Normal rewards, pairs by sampling, Z by sampling: margin, u, v and KL within five errors."""
    rng = np.random.default_rng(0)
    first, second, fresh = rng.normal(size=(3, 400_000))
    for beta in (4.0, 1.0, 0.8):
        log_z = np.log(np.mean(np.exp(fresh / beta)))
        u = np.maximum(first, second) / beta - log_z
        v = np.minimum(first, second) / beta - log_z
        margin = 2 / (beta * np.sqrt(np.pi))
        closed_form = gaussian_optimum(margin)
        error = 5 * (np.std(np.exp(fresh / beta)) / np.mean(np.exp(fresh / beta)) + 1) / 632
        assert u.mean() == pytest.approx(float(closed_form.u), abs=error)
        assert v.mean() == pytest.approx(float(closed_form.v), abs=error)
        assert (u - v).mean() == pytest.approx(margin, abs=0.02)
        assert -np.mean(fresh / beta - log_z) == pytest.approx(float(closed_form.kl), abs=error)


def test_many_gaussian_responses_follow_the_gaussian_optimum():
    """By enumeration of 4,001 responses with normal rewards, margins from 0.01 to 3."""
    z = np.linspace(-9, 9, 4001)
    ref = -(z**2) / 2
    ref -= np.log(np.exp(ref).sum())
    pairs = ordered(ref, z)
    path = optimum_path(pairs, z, [100.0, 3.0, 1.0, 0.4])
    expected = gaussian_optimum(path.margin)
    for ours, theirs in zip(path, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-6)


def test_the_optimum_rises_and_falls():
    """In random worlds u is concave in 1/beta along the optimum's path, and falls in the end."""
    rng = np.random.default_rng(4)
    for _ in range(20):
        rewards = rng.normal(size=6)
        pairs = ordered(np.log(rng.dirichlet(np.ones(6))), rewards)
        tilts = np.linspace(0.01, 60, 400)
        path = optimum_path(pairs, rewards, 1 / tilts)
        assert (np.diff(path.u, 2) < 1e-9).all()
        assert path.u[0] > 0 > path.u[-1]
        few = slice(None, None, 40)
        assert (path.kl[few] >= least_kl(path.margin[few], pairs) * (1 - 1e-9)).all()


def test_efficiency():
    """1 on the curve, less above it, 0 without a margin."""
    kl = least_kl([0.3, 2.0])
    np.testing.assert_allclose(efficiency([0.3, 2.0], kl), 1)
    np.testing.assert_allclose(efficiency([0.3, 2.0], 2 * kl), 0.5)
    assert efficiency(-0.1, 0.2) == 0


NOTHING = judged(np.log([0.5, 0.5]), np.full((2, 2), 0.5))
ONE = ordered(np.log([0.5, 0.5]), [1, 0])
BAD = {
    "margin = -1.0": lambda: least_kl(-1.0),
    "margin = nan": lambda: least_kl([0.1, np.nan]),
    "margin = inf": lambda: cheapest(np.inf, ONE),
    "margin = 1e\\+301 is above": lambda: least_kl([1.0, 1e301], ONE),
    "margin = 1e\\+200 is above": lambda: gaussian_optimum(1e200),
    "margin is a masked array": lambda: least_kl(np.ma.array([1.0, 2.0], mask=[0, 1])),
    "margin has values of type complex": lambda: efficiency(1j, 1.0),
    "kl = -1.0": lambda: margin_for(-1.0),
    "kl = 0.0": lambda: efficiency(1.0, 0.0),
    "kl = inf": lambda: margin_for(np.inf, ONE),
    "same distribution": lambda: least_kl(1.0, NOTHING),
    "beta = 0": lambda: optimum(ONE, [1, 0], 0.0),
    "rewards of shape": lambda: optimum(ONE, [1, 0, 2], 1.0),
    "rewards = nan": lambda: optimum(ONE, [1, np.nan], 1.0),
}


@pytest.mark.parametrize("words", BAD)
def test_bad_input(words):
    """Errors name the argument."""
    with pytest.raises(ValueError, match=words):
        BAD[words]()
