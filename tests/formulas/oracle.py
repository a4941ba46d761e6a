"""The reference for the gradients: Theorem 1 in its textbook form, at 50 digits in mpmath.

This module imports nothing from `dpofield`, so that it cannot repeat an error there.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import mpmath
from mpmath import mpf

DIGITS = 50


def weight(u: Any, v: Any, beta: Any) -> Any:
    """beta * sigma(-beta (u - v)): the common factor of every chart."""
    return beta / (1 + mpmath.exp(beta * (u - v)))


def dpo_loss(u: Any, v: Any, beta: Any) -> Any:
    return mpmath.log1p(mpmath.exp(-beta * (u - v)))


def dpo_gradient(chart: str, a: float, b: float, beta: float, ref_w: float, ref_l: float) -> Any:
    """(dL/da, dL/db) in each chart; the float inputs count as exact numbers."""
    with mpmath.workdps(DIGITS):
        a, b, beta, ref_w, ref_l = (mpf(z) for z in (a, b, beta, ref_w, ref_l))
        if chart == "ratio":
            total = a**beta + b**beta
            return -beta * b**beta / (a * total), beta * b ** (beta - 1) / total
        if chart == "probability":
            w = weight(mpmath.log(a) - ref_w, mpmath.log(b) - ref_l, beta)
            return -w / a, w / b
        if chart == "log-ratio":
            w = weight(a, b, beta)
            return -w, w
        w = weight(a - ref_w, b - ref_l, beta)  # logits: the normaliser cancels in u - v
        return -w, w


def relative_error(ours: Any, exact: Any) -> float:
    """|ours - exact| / |exact|; below 1e-300 float64 loses digits, so there 0 counts as exact."""
    with mpmath.workdps(DIGITS):
        if abs(exact) < mpf("1e-300"):
            return 0.0 if abs(ours) < 1e-299 else float("inf")
        return float(abs(mpf(float(ours)) - exact) / abs(exact))


def points(chart: str) -> list[tuple[float, float, float]]:
    """(a, b, beta) over the whole domain of a chart: log-ratios to +-700, beta from 1e-3 to 10."""
    ends = (-700.0, -300.0, -20.0, -1.0, -1e-3, 0.0, 0.3, 10.0, 400.0, 700.0)
    betas = (1e-3, 0.1, 1.0, 2.0, 10.0)
    if chart == "ratio":
        ends = tuple(float(mpmath.exp(e)) for e in ends)
    if chart == "probability":
        ends = tuple(float(mpmath.exp(e)) for e in ends if e <= 0)
        return [p for p in product(ends, ends, betas) if p[0] + p[1] <= 1]
    return list(product(ends, ends, betas))
