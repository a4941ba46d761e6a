"""Accounts and ceilings from samples, with standard errors, where nothing can be enumerated."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike
from scipy.special import xlogy

from dpofield.field.core import Array
from dpofield.formulas.parameters import check_interval, real_array

FINITE = sp.Interval.open(-sp.oo, sp.oo)
PROBABILITY = sp.Interval(0, 1)


class Estimate(NamedTuple):
    """A mean with its standard error, in nats."""

    value: float
    error: float


class Sampled(NamedTuple):
    """`Account` of samples. `gap` is `middle + kl`: 0 in the mean for pairs of the reference."""

    u: Estimate
    v: Estimate
    margin: Estimate
    middle: Estimate
    kl: Estimate
    gap: Estimate


def ceiling_of_samples(wins: ArrayLike) -> Estimate:
    """The ceiling of an unknown judge, estimated from judgements of N responses of the reference.

    `wins` (N, N): the probability that the row's response is preferred to the column's (1, 0, or
    between). The responses are independent draws for one prompt; the diagonal is ignored. Bias and
    standard error by the jackknife over responses. Raises `ValueError` for N < 3, wins outside
    [0, 1] or with `P(y, y') + P(y', y)` different from 1.

    >>> order = np.random.default_rng(0).normal(size=200)
    >>> found = ceiling_of_samples(order[:, None] > order)
    >>> bool(abs(found.value - (np.log(2) - 0.5)) < 1e-3)
    True
    """
    table = real_array("wins", np.asanyarray(wins) + 0.0)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or len(table) < 3:
        raise ValueError(f"wins of shape {table.shape}: expected (N, N) with N of at least 3")
    np.fill_diagonal(table, 0.5)
    check_interval("wins", table, PROBABILITY, "a probability")
    if np.abs(table + table.T - 1).max() > 1e-9:
        raise ValueError("wins: P(y, y') and P(y', y) must add up to 1")
    n = len(table)
    total = table.sum(axis=1) - 0.5
    whole = float(np.mean(_phi(total / (n - 1))))
    # Column k: the estimate from all responses but k.
    others = _phi((total[:, None] - table) / (n - 2))
    np.fill_diagonal(others, 0.0)
    parts = others.sum(axis=0) / (n - 1)
    value = n * whole - (n - 1) * float(parts.mean())
    return Estimate(value, float(np.sqrt((n - 1) * parts.var())))


def account_of_samples(
    u: ArrayLike, v: ArrayLike, drawn: ArrayLike, *, prompts: ArrayLike | None = None
) -> Sampled:
    """The account of samples, with standard errors.

    `u`, `v` (N,): log-ratios of pairs that were not trained. `drawn` (M,): `log pi/pi_ref` of
    independent responses of the reference, and not those of the pairs: else `gap` compares a
    number with itself. `prompts` (N,): the prompt of each pair; then standard errors are those of
    means over prompts. Raises `ValueError` naming the argument: other shapes, fewer than two values
    or prompts, values that are not finite.

    >>> found = account_of_samples([0.2, 0.0], [-0.4, -0.2], [-0.1, -0.1])
    >>> print(f"{found.middle.value:.2f}, {found.kl.value:.2f}, {found.gap.value:.2f}")
    -0.10, 0.10, 0.00
    """
    values = {"u": u, "v": v, "drawn": drawn}
    a, b, new = (_column(name, given) for name, given in values.items())
    if a.shape != b.shape:
        raise ValueError(f"v has {len(b)} values, u has {len(a)}")
    groups = None if prompts is None else np.asarray(prompts)
    if groups is not None and groups.shape != a.shape:
        raise ValueError(f"prompts of shape {groups.shape}: expected one per pair, {a.shape}")
    if groups is not None and len(np.unique(groups)) < 2:
        raise ValueError("prompts: one prompt only, so no standard error over prompts")
    middle, kl = _mean((a + b) / 2, groups), _mean(-new, None)
    gap = Estimate(middle.value + kl.value, float(np.hypot(middle.error, kl.error)))
    return Sampled(_mean(a, groups), _mean(b, groups), _mean(a - b, groups), middle, kl, gap)


def _mean(values: Array, groups: Array | None) -> Estimate:
    mean, n = float(values.mean()), len(values)
    if groups is None:
        return Estimate(mean, float(values.std(ddof=1) / np.sqrt(n)))
    _, index = np.unique(groups, return_inverse=True)
    sums = np.bincount(index, values - mean)
    g = len(sums)
    return Estimate(mean, float(np.sqrt(g / (g - 1) * np.sum(sums**2)) / n))


def _column(name: str, given: ArrayLike) -> Array:
    values = real_array(name, given)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"{name} of shape {values.shape}: expected (N,) with N of at least 2")
    check_interval(name, values, FINITE, "a log-ratio is a finite number")
    return values


def _phi(w: Array) -> Array:
    return np.asarray(xlogy(2 * w, 2 * w))
