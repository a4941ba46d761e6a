"""A check of the time at which the dispreferred ratio reaches 0."""

from __future__ import annotations

import math

from dpofield.field import extinction_time, flow


def clock_of_extinction() -> str:
    """Compare the arrival of the integrated flow with the integral."""
    gaps = []
    for beta in (0.1, 0.5, 1.0):
        line = flow("dpo", "ratio", beta=beta)
        assert line.stopped == "extinct"
        gaps.append(abs(line.t[-1] - extinction_time(beta)))
    assert max(gaps) < 1e-5
    assert math.isinf(extinction_time(2.0))
    return f"arrival and integral differ by at most {max(gaps):.0e} (beta 0.1, 0.5, 1)"
