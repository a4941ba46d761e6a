"""Values of a run at a given margin, so that runs can be compared at equal margins.

A faster run has a larger margin at the same step, so runs are also compared at equal margins. The
step at which a margin is first reached, and values at this step, are interpolated linearly between
records.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

MARGINS = (2, 5, 10)
"""The margins u - v, in nats, at which runs are compared."""


def reached(step: ArrayLike, margin: ArrayLike, goal: float) -> float:
    """The interpolated step at which `margin` (T,) first reaches `goal`; nan if it never does.

    >>> reached([0, 4, 8], [0.0, 1.0, 3.0], goal=2.0)
    6.0
    """
    step, margin = np.asarray(step, dtype=float), np.asarray(margin, dtype=float)
    above = margin >= goal
    if not above.any():
        return float("nan")
    i = int(above.argmax())
    if i == 0:
        return float(step[0])
    share = (goal - margin[i - 1]) / (margin[i] - margin[i - 1])
    return float(step[i - 1] + share * (step[i] - step[i - 1]))


def at(step: ArrayLike, values: ArrayLike, when: float) -> Floats:
    """`values` (T, N) interpolated linearly at the real-valued step `when`: (N,).

    All values are nan if `when` is nan.

    >>> at([0, 4], [[0.0, 0.0], [1.0, -2.0]], when=2.0)
    array([ 0.5, -1. ])
    """
    values = np.asarray(values, dtype=float)
    if np.isnan(when):
        return np.full(values.shape[1], np.nan)
    return np.array([np.interp(when, np.asarray(step, dtype=float), line) for line in values.T])
