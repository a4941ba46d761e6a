"""Ceilings and accounts against enumeration of pairs, mpmath and sampling."""

from __future__ import annotations

import itertools

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import xlogy
from scipy.stats import norm

from dpofield.field.room import (
    CEILING,
    account_of_samples,
    best_of,
    bradley_terry,
    ceiling_of_best,
    ceiling_of_judges,
    ceiling_of_samples,
    judged,
    ordered,
    room,
)


def pair_by_pair(ref, wins, policy):
    """Means of u and v over all ordered pairs of responses, by their definition."""
    p, gain, u, v = np.exp(ref), policy - ref, 0.0, 0.0
    for i, j in itertools.product(range(len(p)), repeat=2):
        for first, second, chance in ((i, j, wins[i, j]), (j, i, 1 - wins[i, j])):
            u += p[i] * p[j] * chance * gain[first]
            v += p[i] * p[j] * chance * gain[second]
    return u, v


def random_judge(rng, n):
    """Any judge: strict, cyclic or uncertain."""
    wins = rng.random((n, n))
    wins = (wins + 1 - wins.T) / 2
    return np.where(rng.random() < 0.5, wins, np.where(np.tril(wins, -1) > 0, wins > 0.5, 0)
                    + np.triu(1 - (wins.T > 0.5), 1) + np.eye(n) / 2)  # fmt: skip


def test_accounting_pair_by_pair():
    """200 random worlds with any judge and any policy: u, v and the middle are the differences of
    the divergences, and the middle is -KL(ref || pi)."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        n = int(rng.integers(2, 7))
        ref, policy = (np.log(rng.dirichlet(np.ones(n) / 2 + 0.1)) for _ in range(2))
        wins = random_judge(rng, n)
        pairs = judged(ref, wins)
        found = pairs.account(policy)
        u, v = pair_by_pair(ref, wins, policy)
        scale = 1 + abs(u) + abs(v)
        assert found.u == pytest.approx(u, abs=1e-12 * scale)
        assert found.v == pytest.approx(v, abs=1e-12 * scale)
        assert u == pytest.approx(pairs.ceiling - found.kl_w, abs=1e-12 * scale)
        assert v == pytest.approx(pairs.ceiling_dispreferred - found.kl_l, abs=1e-12 * scale)
        assert found.middle == pytest.approx(-found.kl, abs=1e-12 * scale)
        assert pairs.ceiling_middle == pytest.approx(0, abs=1e-14)
        assert found.u <= pairs.ceiling + 1e-12


def test_accounting_off_the_reference():
    """Any two distributions, several prompts with weights and an absent response."""
    rng = np.random.default_rng(1)
    ref, w, l, policy = (rng.dirichlet(np.ones(4), size=3) for _ in range(4))  # noqa: E741
    for table in (ref, w, l, policy):
        table[0, 3] = 0
        table[0] /= table[0].sum()
    with np.errstate(divide="ignore"):
        logs = [np.log(table) for table in (ref, w, l)]
        pairs, found = room(*logs, [1, 2, 5]), None
        found = pairs.account(np.log(policy))
    shares = np.array([1, 2, 5]) / 8

    def kl(q, p):
        return sum(s * mpmath.fsum(a * mpmath.log(a / b) for a, b in zip(x, y, strict=True) if a)
                   for s, x, y in zip(shares, q, p, strict=True))  # fmt: skip

    assert pairs.ceiling == pytest.approx(float(kl(w, ref)), rel=1e-12)
    assert pairs.ceiling_middle == pytest.approx(float(kl((w + l) / 2, ref)), rel=1e-12)
    assert found.kl == pytest.approx(float(kl(ref, policy)), rel=1e-12)
    assert found.u == pytest.approx(float(kl(w, ref) - kl(w, policy)), rel=1e-12)
    assert found.v == pytest.approx(float(kl(l, ref) - kl(l, policy)), rel=1e-12)
    middle = float(kl((w + l) / 2, ref) - kl((w + l) / 2, policy))
    assert found.middle == pytest.approx(middle, rel=1e-12)


def test_no_judge_passes_the_ceiling_of_a_strict_order():
    """Random, cyclic and strict judges over random references: all below log 2 - 1/2."""
    rng = np.random.default_rng(2)
    top = 0.0
    for _ in range(2000):
        n = int(rng.integers(2, 12))
        top = max(top, judged(np.log(rng.dirichlet(np.ones(n))), random_judge(rng, n)).ceiling)
    assert top < CEILING
    assert ordered(np.log(np.full(2000, 1 / 2000)), np.arange(2000)).ceiling > CEILING - 1e-6


def test_only_the_preferred_distribution_reaches_the_ceiling():
    """u equals the ceiling at q_w, and is below it at every random policy."""
    rng = np.random.default_rng(3)
    pairs = bradley_terry(np.log(rng.dirichlet(np.ones(5))), rng.normal(size=5))
    best = pairs.reference + np.log(pairs.preferred)
    assert pairs.account(best).u == pytest.approx(pairs.ceiling, rel=1e-12)
    for step in rng.normal(size=(500, 5)) * 0.3:
        other = best[0] + step
        other -= np.log(np.exp(other).sum())
        assert pairs.account(other).u < pairs.ceiling


@pytest.mark.parametrize("n", [2, 3, 5])
def test_best_and_worst_by_counting(n):
    """Ties and unequal references: the distributions of best and worst over all n-tuples."""
    p, rewards = np.array([0.1, 0.4, 0.2, 0.3]), np.array([1.0, 0.0, 1.0, 2.0])
    best, worst = np.zeros(4), np.zeros(4)
    for drawn in itertools.product(range(4), repeat=n):
        chance, these = np.prod(p[list(drawn)]), rewards[list(drawn)]
        for found, end in ((best, these.max()), (worst, these.min())):
            ties = [i for i in drawn if rewards[i] == end]
            for i in ties:
                found[i] += chance / len(ties)
    pairs = best_of(np.log(p), rewards, n)
    np.testing.assert_allclose(pairs.preferred[0] * p, best, rtol=1e-12)
    np.testing.assert_allclose(pairs.dispreferred[0] * p, worst, rtol=1e-12)


def test_two_is_a_strict_order():
    """Best and worst of two, a judge that knows the order and a very sharp judge are one thing."""
    ref, rewards = np.log([0.2, 0.5, 0.3]), np.array([0.0, 1.0, 1.0])
    wins = (rewards[:, None] > rewards) + 0.5 * (rewards[:, None] == rewards)
    for other in (judged(ref, wins), bradley_terry(ref, 1e4 * rewards)):
        np.testing.assert_allclose(ordered(ref, rewards).preferred, other.preferred, rtol=1e-12)


@given(st.floats(1, 1e6))
def test_ceiling_of_best(n):
    """The integral of n s^(n-1) log(n s^(n-1)), in mpmath."""
    with mpmath.workdps(30):
        exact = mpmath.log(mpmath.mpf(n)) - 1 + 1 / mpmath.mpf(n)
        if n < 20:
            by_hand = mpmath.quad(lambda s: n * s ** (n - 1) * mpmath.log(n * s ** (n - 1)),
                                  [0, 0.1, 0.9, 1])  # fmt: skip
            assert abs(by_hand - exact) < 1e-10
        assert abs(ceiling_of_best(n) - exact) < 1e-12


@pytest.mark.parametrize("sd", [0.03, 0.5, 0.999, 1.0, 3.0, 10.0, 100.0])
def test_ceiling_of_judges_against_quadpack(sd):
    """The double integral by SciPy's adaptive quadrature, which shares nothing with ours."""

    def excess(z):
        cuts = sorted({0.0, *np.clip(z + np.array([-9, 0, 9]) / sd, -12, 12)})
        return quad(lambda y: np.tanh(sd * (z - y) / 2) * norm.pdf(y), -13, 13, points=cuts,
                    epsabs=1e-13, limit=200)[0]  # fmt: skip

    def term(z):
        t = max(excess(z), -1.0)
        near = t**2 / 2 - t**3 / 6 + t**4 / 12 - t**5 / 20
        return norm.pdf(z) * (near if abs(t) < 1e-3 else xlogy(1 + t, 1 + t) - t)

    exact = quad(term, -9, 9, points=[0], epsabs=1e-13, limit=200)[0]
    assert ceiling_of_judges(sd) == pytest.approx(exact, abs=2e-11, rel=1e-9)


def test_ceiling_of_judges_at_its_ends():
    """sd^2/8 for small sd, a strict order for infinite sd, increasing and smooth at sd = 1."""
    assert ceiling_of_judges(1e-4) == pytest.approx(1e-8 / 8, rel=1e-6)
    assert ceiling_of_judges(np.inf) == pytest.approx(CEILING, rel=1e-12)
    assert ceiling_of_judges(0.0) == 0
    values = [ceiling_of_judges(sd) for sd in np.geomspace(0.01, 1e4, 60)]
    assert (np.diff(values) > 0).all()
    below, above = ceiling_of_judges(1 - 1e-12), ceiling_of_judges(1.0)
    assert above == pytest.approx(below, rel=1e-11)


@pytest.mark.parametrize("sd", [0.5, 2.0, np.inf])
def test_ceiling_of_samples_covers(sd):
    """Over 60 samples of 60 responses the estimate has no bias that its error would not cover."""
    rng = np.random.default_rng(0)
    miss = []
    for _ in range(60):
        r = rng.normal(size=60)
        gap = r[:, None] - r
        found = ceiling_of_samples((gap > 0) if np.isinf(sd) else 1 / (1 + np.exp(-sd * gap)))
        miss.append((found.value - ceiling_of_judges(sd), found.error))
    off, error = np.array(miss).T
    assert abs(off.mean()) < 4 * off.std() / np.sqrt(60) + 2e-3
    assert np.isinf(sd) or 0.7 < error.mean() / off.std() < 1.5


def test_account_of_samples():
    """Pairs and responses sampled from an enumerated world: within five errors of the account, and
    the errors have the size of the spread over repetitions."""
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(6))
    rewards, policy = np.arange(6.0), np.log(rng.dirichlet(np.ones(6)))
    exact, gain = ordered(np.log(p), rewards).account(policy), policy - np.log(p)
    values = []
    for _ in range(100):
        i, j, fresh = rng.choice(6, p=p, size=(3, 400))
        found = account_of_samples(gain[np.maximum(i, j)], gain[np.minimum(i, j)], gain[fresh])
        values.append(found)
        for name in ("u", "v", "margin", "middle", "kl"):
            one = getattr(found, name)
            assert abs(one.value - getattr(exact, name)) < 5 * one.error
        assert abs(found.gap.value) < 5 * found.gap.error
    spread = np.std([one.gap.value for one in values])
    assert spread == pytest.approx(np.mean([one.gap.error for one in values]), rel=0.25)


def test_errors_over_prompts():
    """Pairs of one prompt repeated ten times tell no more than one of each prompt does."""
    rng = np.random.default_rng(0)
    u, v, prompts = rng.normal(size=40), rng.normal(size=40), np.arange(40)
    once = account_of_samples(u, v, u, prompts=prompts)
    ten = account_of_samples(*(np.repeat(z, 10) for z in (u, v)), u, prompts=np.repeat(prompts, 10))
    plain = account_of_samples(u, v, u)
    for name in ("u", "v", "margin", "middle"):
        assert getattr(once, name) == pytest.approx(getattr(ten, name))
        assert getattr(once, name) == pytest.approx(getattr(plain, name))


HALF = np.log([0.5, 0.5])
BAD = {
    "reference: the probabilities of prompt 1 sum to 0.9": lambda: ordered(
        np.log([[0.5, 0.5], [0.5, 0.4]]), [[0, 1], [0, 1]]
    ),
    "reference = 1.1": lambda: ordered([np.log(1.1), -np.inf], [0, 1]),
    "reference = nan": lambda: ordered([np.nan, 0.0], [0, 1]),
    "reference of shape": lambda: ordered(0.0, [0, 1]),
    "rewards of shape": lambda: ordered(HALF, [0, 1, 2]),
    "rewards = nan": lambda: ordered(HALF, [0, np.nan]),
    "rewards = inf": lambda: bradley_terry(HALF, [0, np.inf]),
    "reference is a masked": lambda: ordered(np.ma.array(HALF, mask=[0, 1]), [0, 1]),
    "wins is a masked": lambda: judged(HALF, np.ma.array(np.full((2, 2), 0.5), mask=np.eye(2))),
    "rewards has values of type": lambda: ordered(HALF, ["a", "b"]),
    "n = 1": lambda: best_of(HALF, [0, 1], 1),
    "n = 2.5": lambda: best_of(HALF, [0, 1], 2.5),
    "n = 0.5": lambda: ceiling_of_best(0.5),
    "wins: P": lambda: judged(HALF, [[0.5, 0.9], [0.9, 0.5]]),
    "wins = 1.5": lambda: judged(HALF, [[0.5, 1.5], [-0.5, 0.5]]),
    "wins of shape": lambda: judged(HALF, [0.5, 0.5]),
    "weights of shape": lambda: ordered(HALF, [0, 1], [1, 1]),
    "weights = -1.0": lambda: ordered(HALF, [0, 1], [-1]),
    "weights are all 0": lambda: ordered(HALF, [0, 1], [0]),
    "preferred of shape": lambda: room(HALF, [0.0], HALF),
    "dispreferred has a response": lambda: room([0.0, -np.inf], [0.0, -np.inf], HALF),
    "policy of shape": lambda: ordered(HALF, [0, 1]).account([0.0]),
    "policy: a response": lambda: ordered(HALF, [0, 1]).account([0.0, -np.inf]),
    "sd = -1": lambda: ceiling_of_judges(-1),
    "N of at least 3": lambda: ceiling_of_samples([[0.5, 0.5], [0.5, 0.5]]),
    "must add up to 1": lambda: ceiling_of_samples(np.ones((3, 3))),
    "u = nan": lambda: account_of_samples([0, np.nan], [0, 0], [0, 0]),
    "v has 3 values": lambda: account_of_samples([0, 1], [0, 0, 0], [0, 0]),
    "drawn of shape": lambda: account_of_samples([0, 1], [0, 0], [0]),
    "prompts of shape": lambda: account_of_samples([0, 1], [0, 0], [0, 0], prompts=[1]),
    "prompts: one prompt": lambda: account_of_samples([0, 1], [0, 0], [0, 0], prompts=[1, 1]),
}


@pytest.mark.parametrize("words", BAD)
def test_bad_input(words):
    """Errors name the argument."""
    with np.errstate(divide="ignore"), pytest.raises(ValueError, match=words):
        BAD[words]()
