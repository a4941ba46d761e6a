"""Checks of the precision of the printed gradient."""

from __future__ import annotations

import mpmath
import numpy as np

from dpofield.field import gradient


def gradient_against_50_digits() -> str:
    """Compare `field.gradient` in log-ratios with mpmath at random points of the domain."""
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
