"""The law of motion against random vectors, rates and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from dpofield.formulas import THEOREMS
from dpofield.formulas.theorems import law_of_motion as motion

SEEDS = st.integers(0, 10**6)


def changes(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """(K_ww, K_wl, K_ll) of two random gradients, and their changes along g_w - g_l."""
    g_w, noise = rng.normal(size=(2, size))
    g_l = rng.uniform(-2, 2) * g_w + rng.choice([0.1, 1.0]) * noise
    step = g_w - g_l
    return np.array([g_w @ g_w, g_w @ g_l, g_l @ g_l]), np.array([g_w @ step, g_l @ step])


@given(SEEDS, st.integers(1, 6))
def test_regions_on_random_gradients(seed: int, size: int) -> None:
    """Each equivalence of the theorem, and its two consequences, in any dimension."""
    (ww, wl, ll), (d_w, d_l) = changes(np.random.default_rng(seed), size)
    assert (d_w < 0) == (wl > ww)
    assert (d_l > 0) == (wl > ll)
    assert not (d_w < 0 < d_l)
    assert d_w > d_l
    assert (abs(d_l) > abs(d_w)) == (ll > ww)
    if d_w < 0:
        assert d_l < d_w


def test_every_region_is_reached() -> None:
    """The random gradients of the test above reach every region."""
    rng = np.random.default_rng(0)
    found = [changes(rng, 3)[1] for _ in range(500)]
    both_fall = sum(w < 0 for w, _ in found)
    both_rise = sum(low > 0 for _, low in found)
    assert min(both_fall, both_rise, 500 - both_fall - both_rise) > 20


@pytest.mark.parametrize("chain", range(2, 4))
def test_stated_steps_are_the_law(chain: int) -> None:
    """The closed forms on the page agree with the law, at one example."""
    right = THEOREMS["law-of-motion"].equations[chain].rhs
    at = {motion.eta: 1, motion.W: 1, motion.K_ww: 4, motion.K_wl: 1, motion.K_ll: 9}
    assert right.subs(at) == (3, -8)[chain - 2]


def test_a_margin_may_fall_in_a_batch() -> None:
    """An example of two pairs in which a batch step lowers the margin of the first pair."""
    g = {"1w": 1.0, "1l": 0.0, "2w": -3.0, "2l": 0.0}
    step = 0.5 * (g["1w"] - g["1l"] + g["2w"] - g["2l"])
    assert (g["1w"] - g["1l"]) * step < 0
    assert (g["1w"] - g["1l"] + g["2w"] - g["2l"]) * step > 0


@given(SEEDS)
def test_softmax_kernel_by_its_definition(seed: int) -> None:
    """The vectors e_a - pi give the three rates and the difference of squared gradient lengths."""
    rng = np.random.default_rng(seed)
    pi = rng.dirichlet(np.ones(int(rng.integers(3, 9))))
    g = np.eye(len(pi)) - pi
    K = g @ g.T
    w, l, o = 0, 1, 2  # noqa: E741 - the usual letters
    assert K[w, w] - K[w, l] == pytest.approx(1 - pi[w] + pi[l])
    assert K[w, l] - K[l, l] == pytest.approx(-(1 + pi[w] - pi[l]))
    assert K[o, w] - K[o, l] == pytest.approx(pi[l] - pi[w])
    assert K[w, w] - K[l, l] == pytest.approx(2 * (pi[l] - pi[w]))


def test_curvature_by_differences() -> None:
    """The curvature equals a second difference of log-softmax along a line."""
    rng = np.random.default_rng(1)
    z, d = rng.normal(size=(2, 7))

    def logprob(t: float) -> float:
        return float(z[2] + t * d[2] - np.log(np.exp(z + t * d).sum()))

    pi, h = np.exp(z) / np.exp(z).sum(), 1e-4
    second = (logprob(h) - 2 * logprob(0) + logprob(-h)) / h**2
    assert second == pytest.approx(-(pi @ d**2 - (pi @ d) ** 2), rel=1e-5)


def test_last_layer_kernel_as_matrices() -> None:
    """The double sum equals the inner product of two gradients with respect to U."""
    rng = np.random.default_rng(2)
    U = rng.normal(size=(5, 3))

    def parts(length: int) -> tuple[np.ndarray, np.ndarray]:
        h, tokens = rng.normal(size=(length, 3)), rng.integers(0, 5, size=length)
        pi = np.exp(h @ U.T)
        return np.eye(5)[tokens] - pi / pi.sum(axis=1, keepdims=True), h

    (e_w, h_w), (e_l, h_l) = parts(4), parts(2)
    direct = np.sum((e_w.T @ h_w) * (e_l.T @ h_l))
    assert np.sum((e_w @ e_l.T) * (h_w @ h_l.T)) == pytest.approx(direct)
    assert np.sum(h_w @ h_l.T) == pytest.approx(h_w.sum(axis=0) @ h_l.sum(axis=0))


def test_momentum_unrolled_is_what_a_loop_gives() -> None:
    """The weights of past gradients agree with a loop over the recursion."""
    mu, past = 0.7, [2.0, -1.0, 0.5]
    buffer = 0.0
    for gradient in past:
        buffer = mu * buffer + gradient
    right = THEOREMS["law-metric"].equations[0].rhs
    names = {s.name: s for s in right.free_symbols}
    values = {names["mu"]: mu, names["b_0"]: 0}
    values |= {names[f"G_{i}"]: g for i, g in enumerate(past, 1)}
    assert float(right.subs(values)) == pytest.approx(buffer)
    assert isinstance(right, sp.Expr)
