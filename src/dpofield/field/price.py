"""The price of a margin: the least KL(ref || pi) at which a policy can have it.

Everything is a mean over prompts, in nats per response. Without a `Room`, pairs are two independent
responses of the reference in a strict order, none of them with a noticeable probability
(`THEOREMS["price-of-a-margin"]`, `THEOREMS["optimum-falls"]`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import logsumexp

from dpofield.field.core import Array
from dpofield.field.room import CEILING, Room, rewards_of
from dpofield.formulas.parameters import check_interval, real_array

_ORDER = np.arange(1, 41)
_NEAR = 0.6  # below this c the series are used; they converge like c^2
_LAST = 1 - np.log(2)  # the divergence at margin 1, where the straight line begins
_MEANING = "a margin is finite and not negative: exchange the two responses of each pair"
_LARGEST = 1e300  # nats
_TINY = 1e-12  # below this size of c t, the price is a parabola to 1e-12
_DEEP = 1000.0  # exp(-depth) is 0 in float64, so everything is linear in the depth


class Course(NamedTuple):
    """The means along a path of policies, each (T,), in nats; `kl` is KL(ref || pi)."""

    margin: Array
    u: Array
    v: Array
    kl: Array


def least_kl(margin: ArrayLike, pairs: Room | None = None) -> Array:
    """The least KL(ref || pi) at a mean margin, in its shape.

    No policy has the margin at a smaller one. About 3/8 margin^2 for small margins; from margin 1
    on, without `pairs`, `margin/2 - CEILING`. Relative error below 1e-10. Raises `ValueError` for a
    margin that is negative or above 1e300, and for pairs without any difference between preferred
    and dispreferred responses.

    >>> [round(float(kl), 5) for kl in least_kl([0.0, 0.1, 1.0, 9.0])]
    [0.0, 0.00374, 0.30685, 4.30685]
    """
    h = real_array("margin", margin)
    _check_size("margin", h, _MEANING)
    if pairs is None:
        return _strict_kl(h)
    return _each(h, lambda one: _least(pairs, one))


def margin_for(kl: ArrayLike, pairs: Room | None = None) -> Array:
    """The largest mean margin at KL(ref || pi) = `kl`, in its shape: the inverse of `least_kl`.

    Raises `ValueError` for a kl that is negative or above 1e300, and for pairs without any
    difference.

    >>> [round(float(h), 12) for h in margin_for(least_kl([0.0, 1e-9, 0.5, 40.0]))]
    [0.0, 1e-09, 0.5, 40.0]
    """
    k = real_array("kl", kl)
    _check_size("kl", k, "a divergence is finite and not negative")
    if pairs is None:
        return _strict_margin(k)
    return _each(k, lambda one: _largest_margin(pairs, one))


def cheapest(margin: float, pairs: Room) -> Array:
    """The policy that has the margin at the least KL: log-probabilities, (prompts, n).

    It is `ref (1 + c t)`, with one c >= 0 for all prompts; t is `pairs.score`. Errors as in
    `least_kl`.

    >>> from dpofield.field.room import ordered
    >>> pairs = ordered(np.log([0.25] * 4), [0, 1, 2, 3])
    >>> np.exp(cheapest(0.5, pairs)).round(3)
    array([[0.115, 0.205, 0.295, 0.385]])
    """
    _check_size("margin", margin, _MEANING)
    if margin == 0:
        return pairs.reference.copy()
    return np.asarray(pairs.reference + _gains(pairs, _depth(pairs, float(margin), _margin_of)))


def efficiency(margin: ArrayLike, kl: ArrayLike, pairs: Room | None = None) -> Array:
    """The least KL at a run's margin divided by the run's own KL(ref || pi), broadcasting.

    Margin and KL are those of unseen pairs and responses. It is 1 for the cheapest policies and
    smaller for all others; 0 for a margin that is not positive. `ValueError` for a margin that is
    not finite and a kl that is not positive.

    >>> efficiency([1.27, 0.52], [1.203, 0.153]).round(2)
    array([0.37, 0.63])
    """
    h, k = np.broadcast_arrays(real_array("margin", margin), real_array("kl", kl))
    check_interval("margin", h, sp.Interval.open(-sp.oo, sp.oo), "a margin is a finite number")
    check_interval("kl", k, sp.Interval.open(0, sp.oo), "a run that has moved has a KL above 0")
    return np.asarray(least_kl(np.maximum(h, 0.0), pairs) / k)


def optimum(pairs: Room, rewards: ArrayLike, beta: float) -> Array:
    """The RLHF optimum `ref exp(r/beta)/Z`: log-probabilities, (prompts, n).

    Maximises the mean reward minus beta KL(pi || ref). Raises `ValueError` for beta <= 0 and for
    rewards that are not finite or have another shape than the reference.

    >>> from dpofield.field.room import ordered
    >>> pairs = ordered(np.log([0.5, 0.5]), [1.0, 0.0])
    >>> np.exp(optimum(pairs, [1.0, 0.0], beta=1.0)).round(3)
    array([[0.731, 0.269]])
    """
    check_interval("beta", beta, sp.Interval.open(0, sp.oo), "strength of the KL penalty")
    r = rewards_of(rewards, pairs.reference)
    top = np.where(np.isfinite(pairs.reference), r, -np.inf).max(axis=1, keepdims=True)
    with np.errstate(over="ignore"):  # a probability below 1e-308 is 0
        tilted = pairs.reference + (r - top) / beta
    return np.asarray(tilted - logsumexp(tilted, axis=1, keepdims=True))


def optimum_path(pairs: Room, rewards: ArrayLike, betas: ArrayLike) -> Course:
    """The accounts of the RLHF optimum at each of `betas` (T,). Errors as in `optimum`."""
    found = [pairs.account(optimum(pairs, rewards, float(beta))) for beta in np.atleast_1d(betas)]
    columns = ([getattr(one, name) for one in found] for name in Course._fields)
    return Course(*(np.array(column) for column in columns))


def gaussian_optimum(margin: ArrayLike) -> Course:
    """The RLHF optimum of a normal reward, at a mean margin, in its shape.

    Pairs are two independent responses of the reference, the higher reward preferred. The margin is
    `2 s/(beta sqrt(pi))` for the standard deviation s. `ValueError` for a margin that is negative
    or above 1e150.

    >>> [round(float(value), 4) for value in gaussian_optimum(4 / np.pi)]
    [1.2732, 0.0, -1.2732, 0.6366]
    """
    h = real_array("margin", margin)
    _check_size("margin", h, _MEANING, 1e150)
    kl = np.pi * h**2 / 8
    return Course(h, h / 2 - kl, -h / 2 - kl, kl)


def _check_size(name: str, value: ArrayLike, meaning: str, largest: float = _LARGEST) -> None:
    check_interval(name, value, sp.Interval.Ropen(0, sp.oo), meaning)
    if np.any(np.asarray(value) > largest):
        raise ValueError(f"{name} = {np.max(value)} is above {largest:g} nats, the largest here")


# -- a strict order: the curve m(c), KL(c) of the theorem, c = tanh x --


def _near(c: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Margin and KL at small c, as power series, and both derivatives in c."""
    even = c[..., None] ** (2 * _ORDER - 2)
    margin = c * (2 * even / ((2 * _ORDER - 1) * (2 * _ORDER + 1))).sum(axis=-1)
    kl = c**2 * (even / (2 * _ORDER * (2 * _ORDER + 1))).sum(axis=-1)
    slope = (2 * even / (2 * _ORDER + 1)).sum(axis=-1)
    return (margin, kl), (slope, slope * c / 2)


def _far(x: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """What margin and KL lack to their values at c = 1, at large x, and both derivatives in x."""
    e = np.exp(-2 * x)
    margin = 2 * e * (2 * x - 1 + e) / (1 - e) ** 2
    kl = 2 * x * e / (1 - e) - np.log1p(e)
    slope = -2 * (x / np.tanh(x) - 1) / np.sinh(x) ** 2
    return (margin, kl), (slope, slope * np.tanh(x) / 2)


def _strict(target: Array, which: int) -> tuple[Array, Array]:
    """Margin and KL of the cheapest policy, given one of them (0 or 1), below the straight line.

    Newton's method in logarithms, in which both ends of the curve are nearly straight.
    """
    end = (1.0, _LAST)[which]
    known = np.clip(target, 1e-300, end * (1 - 1e-16))
    c = np.minimum((1.5 * known, np.sqrt(6 * known))[which], _NEAR)
    x = np.full(known.shape, np.arctanh(_NEAR))
    for _ in range(40):
        values, slopes = _near(c)
        power = slopes[which] * c / values[which]
        c = np.minimum(c * np.exp(-np.log(values[which] / known) / power), _NEAR)
        values, slopes = _far(x)
        step = np.log(values[which] / (end - known)) * values[which] / slopes[which]
        x = np.clip(x - step, np.arctanh(_NEAR), 300.0)
    (near, _), (far, _) = _near(c), _far(x)
    found = [
        np.where(c < _NEAR, one, last - other)
        for one, other, last in zip(near, far, (1.0, _LAST), strict=True)
    ]
    return found[0], found[1]


def _strict_kl(margin: Array) -> Array:
    curve = np.where(margin > 0, _strict(margin, 0)[1], 0.0)
    return np.asarray(np.where(margin < 1, curve, margin / 2 - CEILING))


def _strict_margin(kl: Array) -> Array:
    curve = np.where(kl < _TINY**2, np.sqrt(8 * kl / 3), _strict(kl, 1)[0])
    return np.asarray(np.where(kl < _LAST, curve, 2 * (kl + CEILING)))


# -- finitely many responses: ref (1 + c t), c = (1 - exp(-depth)) / max(-t) --


def _each(values: Array, function: Callable[[float], float]) -> Array:
    return np.asarray(
        np.vectorize(lambda one: function(one) if one else 0.0, otypes=[float])(values)
    )


def _scaled(pairs: Room) -> Array:
    """The scores over that of the worst response: -1 there; `ValueError` if all scores are 0."""
    score = np.where(pairs.mass > 0, pairs.score, 0.0)
    worst = -float(score.min())
    if worst < 1e-12:
        raise ValueError("preferred and dispreferred responses have the same distribution, so no "
                         "policy has a margin")  # fmt: skip
    scaled = score / worst
    return np.asarray(np.where(scaled < -1 + 1e-15, -1.0, scaled))


def _curvature(pairs: Room) -> tuple[float, float]:
    """The mean square of the scores, and the largest size of a score."""
    _scaled(pairs)  # refuses pairs without any difference
    mass, score = pairs.mass, pairs.score
    return float(np.sum(mass * score**2)), float(np.abs(score[mass > 0]).max())


def _least(pairs: Room, margin: float) -> float:
    second, size = _curvature(pairs)
    if margin / (2 * second) * size < _TINY:
        return margin**2 / (8 * second)
    return _kl_of(pairs, _depth(pairs, margin, _margin_of))


def _largest_margin(pairs: Room, kl: float) -> float:
    second, size = _curvature(pairs)
    c = float(np.sqrt(2 * kl / second))
    if c * size < _TINY:
        return 2 * c * second
    return _margin_of(pairs, _depth(pairs, kl, _kl_of))


def _gains(pairs: Room, depth: float) -> Array:
    """`log pi/pi_ref` of the cheapest policy, (prompts, n); the worst response has `-depth`."""
    scaled = _scaled(pairs)
    step = -np.expm1(-depth) * scaled
    gains = np.log1p(step, where=scaled > -1, out=np.full(step.shape, -depth))
    return np.asarray(gains)


def _margin_of(pairs: Room, depth: float) -> float:
    return float(np.sum(2 * pairs.mass * pairs.score * _gains(pairs, depth)))


def _kl_of(pairs: Room, depth: float) -> float:
    """-E log(1 + ct), as -E(log(1 + ct) - ct), which keeps its digits for small c."""
    step = -np.expm1(-depth) * _scaled(pairs)
    s = step / (2 + step)
    tail = sum(s ** (2 * k) / (2 * k + 1) for k in range(1, 14))
    with np.errstate(invalid="ignore"):
        near = -2 * s**2 / (1 - s) + 2 * s * tail
    rest = np.where(np.abs(step) < 0.3, near, _gains(pairs, depth) - step)
    return -float(np.sum(pairs.mass * rest))


def _depth(pairs: Room, target: float, function: Callable[[Room, float], float]) -> float:
    """The depth at which an increasing function of it has the value `target` > 0."""

    def short(log_depth: float) -> float:
        found = function(pairs, float(np.exp(log_depth)))
        return float(np.log(max(found, 1e-300)) - np.log(target))

    deep, deeper = function(pairs, _DEEP), function(pairs, 2 * _DEEP)
    if target >= deep:
        return _DEEP + (target - deep) / (deeper - deep) * _DEEP
    low, high = np.log(_TINY) - 300, np.log(_DEEP)
    return float(np.exp(brentq(short, low, high, xtol=1e-15, rtol=1e-15)))
