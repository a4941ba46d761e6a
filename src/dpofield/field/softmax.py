"""One softmax over n responses and one pair: rates of change and the exact path, numerically.

Logits are in nats, with responses on the last axis; `w` and `l` are the indices of the preferred
and the dispreferred response. With `features` (n, d) the logits are `<phi_i, theta>`, with d shared
parameters; without them every response has its own logit. The formulas are
`THEOREMS["softmax-rates"]` to `THEOREMS["smallest-displacement"]`.
"""
# ruff: noqa: E741  (l is the usual name of the dispreferred response)

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike
from scipy.special import log_softmax, logsumexp

from dpofield.field.clock import margin_at
from dpofield.field.core import Array, gradient
from dpofield.formulas.losses import BETA
from dpofield.formulas.parameters import check_interval, real_array

FINITE = sp.Interval.open(-sp.oo, sp.oo)
SINCE_START = sp.Interval.Ropen(0, sp.oo)


@dataclass(frozen=True)
class Path:
    """The exact path of a policy under gradient flow of DPO from its reference.

    `t` (T,): time, learning rate times number of steps. `s` (T,): the distance that the parameters
    have moved, in units of `phi_w - phi_l`; without features, that of each logit (nats).
    `margin` (T,) in nats. `logp` (..., T, n): log-probabilities in nats.
    """

    t: Array
    s: Array
    margin: Array
    logp: Array
    w: int
    l: int

    @property
    def preferred(self) -> Array:
        """Probability of the preferred response, (..., T)."""
        return np.exp(self.logp[..., self.w])

    @property
    def dispreferred(self) -> Array:
        """Probability of the dispreferred response, (..., T)."""
        return np.exp(self.logp[..., self.l])

    @property
    def rest(self) -> Array:
        """Probability of all other responses together, (..., T); 0 if there are none."""
        others = np.delete(self.logp, [self.w, self.l], axis=-1)
        return np.asarray(np.exp(others).sum(axis=-1))


@dataclass(frozen=True)
class Peak:
    """The maximum `rest` of the rest's probability, at `s` (nats) and time `t`."""

    s: float
    t: float
    rest: float


def rates(
    logits: ArrayLike,
    w: int,
    l: int,
    *,
    beta: float = 0.1,
    margin: ArrayLike = 0.0,
    features: ArrayLike | None = None,
) -> Array:
    """`d log pi_i/dt` of every response under gradient flow of DPO, (..., n), nats per time.

    `logits` (..., n) are the policy's current logits, `margin` (...) is its current `u - v` (0 at
    the reference). Any other margin loss has these rates times a common factor. Own derivation,
    `THEOREMS["softmax-rates"]` and, with features, `THEOREMS["shared-features"]`.

    Raises `ValueError` naming the argument: fewer than two responses, logits, margin or features
    that are not finite, indices that are equal or out of range, features for another number of
    responses, beta <= 0.

    >>> rates([0.0, 0.0, 0.0], 0, 1, beta=1.0)
    array([ 0.5, -0.5,  0. ])
    >>> rates([0.0, 0.0, 0.0], 0, 1, beta=1.0, features=[[1.0], [0.0], [3.0]])
    array([-0.16666667, -0.66666667,  0.83333333])
    >>> rates([0.0, 0.0], 1, 1)
    Traceback (most recent call last):
    ...
    ValueError: w = l = 1: a pair is two different responses
    """
    z = _logits(logits, w, l)
    weight = -gradient("dpo", "log-ratio", margin, 0.0, beta=beta)[0]
    if features is None:
        up, down, _ = _exchange(z, w, l)
        high, ahead = np.maximum(z[..., w], z[..., l]), z[..., w] - z[..., l]
        gain = np.exp(high - logsumexp(z, axis=-1)) * np.sign(ahead) * np.expm1(-abs(ahead))
        found = np.array(np.broadcast_to(gain[..., None], z.shape))
        found[..., w], found[..., l] = np.exp(up), -np.exp(down)
        return np.asarray(weight[..., None] * found) + 0.0  # no -0
    moves = np.broadcast_to(_moves(z, w, l, features), z.shape)
    # Relative to the likeliest response, so that its own rate is a sum of small terms only.
    top = z.argmax(axis=-1)[..., None]
    moves = moves - np.take_along_axis(moves, top, axis=-1)
    mean = (np.exp(log_softmax(z, axis=-1)) * moves).sum(axis=-1, keepdims=True)
    return np.asarray(weight[..., None] * (moves - mean))


def split(logits: ArrayLike, w: int, l: int) -> tuple[Array, Array]:
    """The shares of the dispreferred's lost mass that the preferred and the rest gain, (...).

    They sum to 1. If `pi_w > pi_l`, the first exceeds 1 and the second is negative: the rest loses
    mass too. A share beyond float64 is infinite. Own derivation, `THEOREMS["softmax-mass"]`; errors
    as in `rates`.

    >>> split([0.0, 0.0, 0.0], 0, 1)
    (np.float64(1.0), np.float64(0.0))
    """
    z = _logits(logits, w, l)
    up, down, rest = _exchange(z, w, l)
    ahead = z[..., w] - z[..., l]
    with np.errstate(over="ignore"):  # a share beyond float64 is infinite
        lead = np.maximum(ahead, 0.0)  # of the larger of the two probabilities
        to_rest = np.sign(-ahead) * -np.expm1(-abs(ahead)) * np.exp(lead + rest - down)
        return np.exp(ahead + up - down), to_rest


def time_of(margin: ArrayLike, *, beta: float = 0.1, speed: float = 2.0) -> Array:
    """The time at which DPO's flow from the reference has this margin (nats), in its shape.

    The inverse of `clock.margin_at`. `speed` is `|phi_w - phi_l|^2`, 2 for one logit per response.
    `ValueError` for a negative margin, beta <= 0 and speed <= 0. Own derivation,
    `THEOREMS["softmax-path"]`.

    >>> round(float(time_of(10.0, beta=0.1)), 2)
    135.91
    """
    h = real_array("margin", margin)
    check_interval("margin", h, SINCE_START, "the margin grows from 0 at the reference")
    BETA.check(beta)
    check_interval("speed", speed, BETA.interval, "a squared distance of two features is positive")
    with np.errstate(over="ignore"):  # the time of a very large margin is infinite in float64
        return np.asarray((np.expm1(beta * h) + beta * h) / (speed * beta**2))


def path(
    logits_ref: ArrayLike,
    w: int,
    l: int,
    *,
    times: ArrayLike,
    beta: float = 0.1,
    features: ArrayLike | None = None,
) -> Path:
    """The exact path from the reference `logits_ref` (..., n), at `times` (T,).

    Errors as in `rates`; `ValueError` also for negative times, and if the two features are equal,
    as nothing moves then.

    >>> way = path([0.0, 0.0, 0.0], 0, 1, times=[0.0, 1e3, 1e9])
    >>> way.preferred.round(3), way.dispreferred.round(3), way.rest.round(3)
    (array([0.333, 1.   , 1.   ]), array([0.333, 0.   , 0.   ]), array([0.333, 0.   , 0.   ]))
    """
    z, t = _logits(logits_ref, w, l), np.atleast_1d(real_array("times", times))
    moves = _moves(z, w, l, features)
    speed = float(moves[w] - moves[l])
    check_interval("|phi_w - phi_l|^2", speed, BETA.interval, "the two features differ")
    margin = margin_at(t * (speed / 2), beta)  # `margin_at` assumes a squared distance of 2
    s = margin / speed
    logp = log_softmax(z[..., None, :] + s[:, None] * moves, axis=-1)
    return Path(t, s, margin, np.asarray(logp), int(w), int(l))


def peak(logits_ref: ArrayLike, w: int, l: int, *, beta: float = 0.1) -> Peak:
    """The maximum of the rest, from the reference `logits_ref` (n,).

    It is at the start if `pi_w >= pi_l`.
    Own derivation, `THEOREMS["softmax-peak"]`; errors as in `rates`.

    >>> peak(np.log([0.1, 0.4, 0.5]), 0, 1, beta=0.1)
    Peak(s=0.693147180559945..., t=14.366389555451..., rest=0.55555555555555...)
    """
    z = _logits(logits_ref, w, l)
    if z.ndim != 1:
        raise ValueError(f"logits_ref of shape {z.shape}: expected one policy, (n,)")
    s = max(0.0, float(z[l] - z[w]) / 2)
    rest = np.delete(z, [w, l])
    others = float(np.exp(rest - np.logaddexp.reduce([*rest, z[w] + s, z[l] - s])).sum())
    return Peak(s, float(time_of(2 * s, beta=beta)), others)


def _logits(logits: ArrayLike, w: int, l: int) -> Array:
    z = real_array("logits", logits)
    check_interval("logits", z, FINITE, "a logit is a finite number")
    n = z.shape[-1] if z.ndim else 0
    if n < 2:
        raise ValueError(f"logits of shape {z.shape}: a pair needs two responses on the last axis")
    for name, index in (("w", w), ("l", l)):
        if not 0 <= index < n:
            raise ValueError(f"{name} = {index} is not an index of {n} responses (0 to {n - 1})")
    if w == l:
        raise ValueError(f"w = l = {w}: a pair is two different responses")
    return z


def _exchange(z: Array, w: int, l: int) -> tuple[Array, Array, Array]:
    """log(1 - pi_w + pi_l), log(1 + pi_w - pi_l) and log of the rest's probability, (...)."""
    logp = log_softmax(z, axis=-1)
    rest = logsumexp(np.delete(logp, [w, l], axis=-1), axis=-1)  # -inf without other responses
    # The first is 2 pi_l + rest, the second 2 pi_w + rest: sums without cancellation.
    up, down = (np.logaddexp(np.log(2) + logp[..., k], rest) for k in (l, w))
    return up, down, rest


def _moves(z: Array, w: int, l: int, features: ArrayLike | None) -> Array:
    """`<phi_i, phi_w - phi_l>` (n,): the rate of each logit per unit of weight."""
    n = z.shape[-1]
    if features is None:
        moves = np.zeros(n)
        moves[w], moves[l] = 1.0, -1.0
        return moves
    phi = real_array("features", features)
    if phi.ndim != 2 or len(phi) != n:
        raise ValueError(f"features of shape {phi.shape}: expected ({n}, d), one row per response")
    check_interval("features", phi, FINITE, "a feature is a finite number")
    return np.asarray(phi @ (phi[w] - phi[l]))
