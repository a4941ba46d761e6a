"""The margin of DPO's gradient flow in log-ratios at any time, in closed form."""

from __future__ import annotations

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike
from scipy.special import wrightomega

from dpofield.field.core import Array
from dpofield.formulas.losses import BETA
from dpofield.formulas.parameters import check_interval, real_array


def margin_at(time: ArrayLike, beta: float) -> Array:
    """The margin `u - v` (nats) at `time`, under gradient flow in log-ratios from (0, 0).

    `h = (1/beta) log omega(1 + 2 beta^2 t)` with the Wright omega function, the root of
    `exp(beta h) + beta h = 1 + 2 beta^2 t` (own derivation, `THEOREMS["log-ratio-clock"]`). The
    log-ratios are `h/2` and `-h/2`; flow in the logits of one softmax has the same margin. The
    result has the shape of `time`. `ValueError` for a negative or infinite time and for beta <= 0.

    >>> margin_at([0.0, 1.0, 1e6], beta=1.0).round(4)
    array([ 0.    ,  0.7921, 14.5087])
    """
    BETA.check(beta)
    time = real_array("time", time)
    check_interval("time", time, sp.Interval(0, sp.oo), "the flow starts at time 0")
    with np.errstate(divide="ignore", over="ignore"):  # at time 0; `early` is not used late
        log_elapsed = np.log(2) + 2 * np.log(beta) + np.log(time)
        early = beta * time
    elapsed = np.exp(np.clip(log_elapsed, -700, 700))
    y = np.log(wrightomega(1 + elapsed))
    # A Newton step on expm1(y) + y = elapsed restores the digits that "1 +" loses at small times.
    y -= (np.expm1(y) + y - elapsed) / (np.exp(y) + 1)
    # Far from 1, the clock is its first or last term: y is elapsed / 2, or the logarithm.
    h = np.where(log_elapsed > 700, log_elapsed, y) / beta
    return np.asarray(np.where(log_elapsed < -40, early, h))
