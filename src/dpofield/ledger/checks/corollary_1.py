"""Checks of the paper's sentence on rates, chart by chart."""

from __future__ import annotations

import numpy as np

from dpofield.field import flow, gradient


def faster_rate_chart_by_chart() -> str:
    """Compare the sizes of the two components, in the ratios and in the log-ratios."""
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
