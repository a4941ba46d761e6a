"""Checks of the paper's results and of the field in the ratios: chapters 3 to 7."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import torch

from dpofield.field import extinction_time, flow, gradient
from dpofield.formulas import LOSSES, THEOREMS
from dpofield.formulas.printers import numpy_function
from dpofield.formulas.symbols import beta as beta_symbol
from dpofield.formulas.symbols import x1 as x1_symbol
from dpofield.formulas.symbols import x2 as x2_symbol


def theorem_1_against_autograd() -> str:
    """Autograd through the printed torch loss against `field.gradient`, 1000 random points."""
    rng = np.random.default_rng(0)
    x = np.exp(rng.uniform(-4, 4, size=(2, 1000)))
    leaves = [torch.tensor(row, requires_grad=True) for row in x]
    loss = LOSSES["dpo"].torch(*(leaf.log() for leaf in leaves), beta=0.1)
    found = torch.autograd.grad(loss.sum(), leaves)
    closed = closed_form(x[0], x[1], 0.1)
    gap = max(float(np.abs(f.numpy() / c - 1).max()) for f, c in zip(found, closed, strict=True))
    assert gap < 1e-13, f"autograd differs from Theorem 1 by {gap:.0e}"
    return f"largest relative difference {gap:.0e} over {x.shape[1]} points"


def closed_form(x1: np.ndarray, x2: np.ndarray, beta: float) -> tuple[np.ndarray, np.ndarray]:
    """Theorem 1 as its statement prints it, so that a wrong statement cannot pass here."""
    symbols = (x1_symbol, x2_symbol, beta_symbol)
    first, second = (chain.equation.rhs for chain in THEOREMS["theorem-1"].chains)
    along_1, along_2 = numpy_function(symbols, (first, second))(x1, x2, beta)
    return along_1, along_2


def gradient_against_50_digits() -> str:
    """`field.gradient` in log-ratios against mpmath at random points of the whole domain."""
    rng = np.random.default_rng(2)
    u, v = rng.uniform(-700, 700, size=(2, 500))
    beta = np.exp(rng.uniform(np.log(1e-3), np.log(10), size=500))
    worst = 0.0
    with mpmath.workdps(50):
        for point in zip(u, v, beta, strict=True):
            a, b, k = (mpmath.mpf(float(z)) for z in point)
            exact = -k / (1 + mpmath.exp(k * (a - b)))
            found = gradient("dpo", "log-ratio", point[0], point[1], beta=point[2])
            assert found[0] == -found[1]
            if abs(exact) > 1e-300:
                worst = max(worst, float(abs(mpmath.mpf(float(found[0])) / exact - 1)))
    assert worst < 1e-11, f"relative error {worst:.0e}"
    return f"largest relative error {worst:.0e} over {len(u)} points"


def clock_of_extinction() -> str:
    """SciPy's integrator, which knows no closed form, against the integral."""
    gaps = []
    for beta in (0.1, 0.5, 1.0):
        line = flow("dpo", "ratio", beta=beta)
        assert line.stopped == "extinct"
        gaps.append(abs(line.t[-1] - extinction_time(beta)))
    assert max(gaps) < 1e-5
    assert math.isinf(extinction_time(2.0))
    return f"arrival and integral differ by at most {max(gaps):.0e} (beta 0.1, 0.5, 1)"


def faster_rate_chart_by_chart() -> str:
    """The abstract's sentence, read as components, in the ratios and in the log-ratios."""
    line = flow("dpo", "ratio", beta=0.1)
    speed_1, speed_2 = (np.abs(g) for g in gradient("dpo", "ratio", line.a, line.b, beta=0.1))
    assert np.isclose(speed_1[0], speed_2[0])
    assert (speed_2[1:] > speed_1[1:]).all()
    rng = np.random.default_rng(3)
    x1, x2 = rng.uniform(0.01, 2.2, size=(2, 10_000))
    along_1, along_2 = np.abs(gradient("dpo", "ratio", x1, x2, beta=0.1))
    assert ((along_2 > along_1) == (x2 < x1)).all()
    u, v = rng.normal(scale=5, size=(2, 10_000))
    along_u, along_v = gradient("dpo", "log-ratio", u, v, beta=0.1)
    assert (along_u == -along_v).all()
    share = (along_2 > along_1).mean()
    return f"ratios: in {share:.0%} of the square, where x2 < x1; log-ratios: equal at every point"


CHECKS = {
    "theorem 1 against autograd": theorem_1_against_autograd,
    "gradient against 50 digits": gradient_against_50_digits,
    "clock of extinction": clock_of_extinction,
    "faster rate, chart by chart": faster_rate_chart_by_chart,
}
