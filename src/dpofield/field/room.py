"""The room of a preference set: how far its mean log-ratios can rise, and where a policy stands.

`q_w` is the distribution of preferred responses to a prompt, `q_l` that of dispreferred ones. A
`Room` holds both over a finite set of responses, as ratios to the reference. All results are means
over prompts, in nats per response. The formulas are `THEOREMS["accounting"]` and
`THEOREMS["ceiling"]`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike
from scipy.special import expit, logsumexp, ndtr, xlogy

from dpofield.field.core import Array
from dpofield.field.sampled import FINITE, PROBABILITY
from dpofield.field.sampled import account_of_samples as account_of_samples  # also found here
from dpofield.field.sampled import ceiling_of_samples as ceiling_of_samples
from dpofield.formulas.parameters import check_interval, real_array

CEILING = float(np.log(2) - 0.5)
"""The ceiling of two independent responses of the reference, labelled by a strict order."""
_ROUNDING = 1e-6  # of a sum of probabilities: log-probabilities may come from a float32 model


class Account(NamedTuple):
    """Where a policy stands: exact means, in nats.

    `u`, `v`: mean log-ratios of preferred and dispreferred responses. `margin` is `u - v`, `middle`
    is `(u + v)/2`. `kl` is KL(ref || pi), `kl_w` is KL(q_w || pi) and `kl_l` is KL(q_l || pi).
    """

    u: float
    v: float
    margin: float
    middle: float
    kl: float
    kl_w: float
    kl_l: float


@dataclass(frozen=True)
class Room:
    """The distributions of a preference set over finitely many responses.

    `reference` (prompts, n): log-probabilities, `-inf` for a response that a prompt does not have.
    `preferred` and `dispreferred` (prompts, n): the ratios `q_w/ref` and `q_l/ref`. `weights`
    (prompts,): the prompts' shares. Make one by `room`, `judged`, `ordered`, `bradley_terry` or
    `best_of`, which check their input.
    """

    reference: Array
    preferred: Array
    dispreferred: Array
    weights: Array

    @property
    def mass(self) -> Array:
        """Probability of each prompt and response under the reference, (prompts, n); sums to 1."""
        return np.asarray(self.weights[:, None] * np.exp(self.reference))

    @property
    def score(self) -> Array:
        """`(q_w - q_l)/(2 ref)`, (prompts, n); its mean under the reference is 0."""
        return (self.preferred - self.dispreferred) / 2

    @property
    def ceiling(self) -> float:
        """KL(q_w || ref): the mean u of any policy is at most this, and it is this at `q_w`."""
        return self._divergence(self.preferred)

    @property
    def ceiling_dispreferred(self) -> float:
        """KL(q_l || ref): the same bound for the mean v."""
        return self._divergence(self.dispreferred)

    @property
    def ceiling_middle(self) -> float:
        """KL(q || ref) of `q = (q_w + q_l)/2`: the same bound for the mean of (u + v)/2.

        It is 0 if both responses are drawn from the reference.
        """
        return self._divergence((self.preferred + self.dispreferred) / 2)

    def _divergence(self, ratio: Array) -> float:
        return float(np.sum(self.mass * _excess_divergence(ratio - 1)))

    def account(self, policy: ArrayLike) -> Account:
        """The account of a policy, given by its log-probabilities, in the reference's shape.

        Raises `ValueError` for another shape, probabilities that do not sum to 1, and a response
        that the reference gives and the policy does not.

        >>> pairs = ordered(np.log([0.5, 0.5]), [1.0, 0.0])
        >>> found = pairs.account(np.log([0.75, 0.25]))
        >>> print(f"u = {found.u:.4f}, KL(q_w || ref) - KL(q_w || pi) = "
        ...       f"{pairs.ceiling - found.kl_w:.4f}")
        u = 0.1308, KL(q_w || ref) - KL(q_w || pi) = 0.1308
        """
        logp = normalised("policy", policy)
        if logp.shape != self.reference.shape:
            raise ValueError(
                f"policy of shape {logp.shape}: the reference has {self.reference.shape}"
            )
        there = np.isfinite(self.reference)
        if not np.isfinite(logp[there]).all():
            raise ValueError("policy: a response of the reference has probability 0, so its "
                             "log-ratio is minus infinity")  # fmt: skip
        gain = np.subtract(logp, self.reference, where=there, out=np.zeros(logp.shape))
        mass = self.mass
        u = float(np.sum(mass * self.preferred * gain))
        v = float(np.sum(mass * self.dispreferred * gain))
        return Account(
            u=u,
            v=v,
            margin=float(np.sum(2 * mass * self.score * gain)),
            middle=(u + v) / 2,
            kl=-float(np.sum(mass * gain)),
            kl_w=self._from(self.preferred, gain),
            kl_l=self._from(self.dispreferred, gain),
        )

    def _from(self, ratio: Array, gain: Array) -> float:
        """KL(q || pi) of `q = ratio * ref`, without the accounting."""
        with np.errstate(divide="ignore"):
            apart = np.where(ratio > 0, np.log(ratio), 0.0) - gain
        return float(np.sum(self.mass * ratio * apart))


def room(
    reference: ArrayLike,
    preferred: ArrayLike,
    dispreferred: ArrayLike,
    weights: ArrayLike | None = None,
) -> Room:
    """The room of any preference set, by enumeration: three arrays of log-probabilities.

    Each is (n,) for one prompt or (prompts, n); `weights` (prompts,) are the prompts' shares, equal
    by default. Raises `ValueError` naming the argument: other shapes, probabilities that do not sum
    to 1, weights that are negative or all 0, and a response that the reference never gives.

    >>> one = room(np.log([0.5, 0.5]), np.log([0.75, 0.25]), np.log([0.25, 0.75]))
    >>> round(one.ceiling, 6)
    0.130812
    """
    ref, shares = _base(reference, weights)
    ratios = []
    for name, given in (("preferred", preferred), ("dispreferred", dispreferred)):
        logq = normalised(name, given)
        if logq.shape != ref.shape:
            raise ValueError(f"{name} of shape {logq.shape}: the reference has {ref.shape}")
        if bool((np.isfinite(logq) & ~np.isfinite(ref)).any()):
            raise ValueError(
                f"{name} has a response that the reference never gives: its ceiling is infinite"
            )
        there = np.isfinite(ref)
        ratios.append(np.exp(np.subtract(logq, ref, where=there, out=np.full(ref.shape, -np.inf))))
    return Room(ref, ratios[0], ratios[1], shares)


def judged(reference: ArrayLike, wins: ArrayLike, weights: ArrayLike | None = None) -> Room:
    """Pairs of two independent responses of the reference, labelled by any judge.

    `reference` (n,) or (prompts, n): log-probabilities. `wins` (..., n, n): the probability that
    the row's response is preferred to the column's. Two equal responses count as a pair: with its
    own copy a response wins half. Raises `ValueError` as `room`, and for wins outside [0, 1] or
    with `P(y, y') + P(y', y)` different from 1.

    >>> cycle = np.array([[0.5, 1.0, 0.0], [0.0, 0.5, 1.0], [1.0, 0.0, 0.5]])
    >>> judged(np.log([1 / 3] * 3), cycle).ceiling  # each wins half: nothing to learn
    0.0
    """
    ref, shares = _base(reference, weights)
    table = real_array("wins", np.asanyarray(wins) + 0.0)
    table = table[None] if table.ndim == 2 else table
    if table.shape != (*ref.shape, ref.shape[1]):
        raise ValueError(f"wins of shape {table.shape}: expected {(*ref.shape, ref.shape[1])}")
    check_interval("wins", table, PROBABILITY, "a probability")
    if np.abs(table + table.swapaxes(1, 2) - 1).max() > 1e-9:
        raise ValueError("wins: P(y, y') and P(y', y) must add up to 1, and P(y, y) is 1/2")
    return _drawn(ref, np.einsum("pij,pj->pi", table, np.exp(ref)), shares)


def ordered(reference: ArrayLike, rewards: ArrayLike, weights: ArrayLike | None = None) -> Room:
    """Pairs of two independent responses of the reference: the higher reward is preferred.

    Equal rewards are a tie, decided by a fair coin. Shapes and errors as in `judged`.

    >>> round(ordered(np.log(np.full(1000, 1e-3)), np.arange(1000)).ceiling, 6)
    0.193146
    """
    return best_of(reference, rewards, 2, weights)


def bradley_terry(
    reference: ArrayLike, rewards: ArrayLike, weights: ArrayLike | None = None
) -> Room:
    """Pairs of two independent responses of the reference, labelled by a Bradley-Terry judge.

    The judge prefers y to y' with probability s(r(y) - r(y')). Shapes and errors as in `judged`.

    >>> round(bradley_terry(np.log([0.5, 0.5]), [1.0, 0.0]).ceiling, 4)
    0.0269
    """
    ref, shares = _base(reference, weights)
    r = rewards_of(rewards, ref)
    with np.errstate(over="ignore"):  # an infinite gap decides every pair, as it should
        return judged(ref, expit(r[:, :, None] - r[:, None, :]), shares)


def best_of(
    reference: ArrayLike, rewards: ArrayLike, n: int, weights: ArrayLike | None = None
) -> Room:
    """The best and the worst of n independent responses of the reference, by reward.

    Among equally good ones the draw is fair. Shapes and errors as in `judged`; `ValueError` also
    for n < 2.

    >>> four = best_of(np.log(np.full(1000, 1e-3)), np.arange(1000), 4)
    >>> round(four.ceiling, 4), round(ceiling_of_best(4), 4)
    (0.6363, 0.6363)
    """
    if not isinstance(n, int | np.integer) or n < 2:
        raise ValueError(f"n = {n!r}: the best and the worst are chosen among 2 or more responses")
    ref, shares = _base(reference, weights)
    r = rewards_of(rewards, ref)
    best, worst = np.zeros(ref.shape), np.zeros(ref.shape)
    for row, (p, rank) in enumerate(zip(np.exp(ref), r, strict=True)):
        values, group = np.unique(rank, return_inverse=True)
        own = np.bincount(group, p, minlength=len(values)).astype(np.float64)
        below = np.concatenate([[0.0], np.cumsum(own)[:-1]])
        above = np.concatenate([np.cumsum(own[::-1])[::-1][1:], [0.0]])
        best[row] = _power_slope(below, own, n)[group]
        worst[row] = _power_slope(above, own, n)[group]
    return Room(ref, best, worst, shares)


def _power_slope(start: Array, step: Array, n: int) -> Array:
    """`((start + step)^n - start^n)/step`, without cancellation; `n start^(n-1)` at step 0."""
    end = start + step
    some = step > 0
    part = np.divide(step, end, out=np.zeros(end.shape), where=some)
    with np.errstate(divide="ignore"):  # a start of 0
        grown = -(end**n) * np.expm1(n * np.log1p(-part))
    return np.asarray(np.divide(grown, step, out=n * start ** (n - 1.0), where=some))


def ceiling_of_best(n: float) -> float:
    """The ceiling of the best of n responses in a strict order: log n - (n-1)/n, in nats.

    `ValueError` for n < 1. With n = 2 it is `CEILING`.

    >>> [round(ceiling_of_best(n), 3) for n in (1, 2, 4, 8)]
    [0.0, 0.193, 0.636, 1.204]
    """
    check_interval("n", n, sp.Interval.Ropen(1, sp.oo), "the best of at least one response")
    return float(np.log(n) - (n - 1) / n)


def ceiling_of_judges(sd: float) -> float:
    """The ceiling of Bradley-Terry judges if the reward is normal with standard deviation `sd`.

    Pairs of two independent responses of the reference; in nats, right to 1e-12. It rises from
    `sd**2/8` to `CEILING`. `ValueError` for a negative sd; infinity is a strict order.

    >>> [round(ceiling_of_judges(sd), 3) for sd in (0.5, 1, 3, 10)]
    [0.026, 0.071, 0.159, 0.189]
    """
    if sd == np.inf:
        return CEILING
    check_interval("sd", sd, sp.Interval.Ropen(0, sp.oo), "a standard deviation")
    z = np.arange(-13.0, 13.0, 0.125)
    normal = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) * 0.125
    # The trapezoidal rule is exact to rounding for smooth functions that vanish at both ends. The
    # judge is the smoother of the two for small sd, the reward for large sd.
    if sd < 1:
        excess = np.tanh(sd * (z[:, None] - z) / 2) @ normal  # 2 w - 1
    else:
        noise = np.arange(-45.0, 45.0, 0.25)
        logistic = 0.25 / (4 * np.cosh(noise / 2) ** 2)
        excess = (2 * ndtr(z[:, None] + noise / sd) - 1) @ logistic
    return float(np.sum(normal * _excess_divergence(excess)))


def _excess_divergence(t: Array) -> Array:
    """`a log a` less its tangent at 1, at `a = 1 + t`: never negative.

    Both have the same mean where that of t is 0; this one keeps its digits for small t.
    """
    small = np.abs(t) < 0.02
    powers = sum((-1) ** k * t**k / (k * (k - 1)) for k in range(2, 12))
    return np.asarray(np.where(small, powers, xlogy(1 + t, 1 + t) - t))


def _drawn(ref: Array, w: Array, shares: Array) -> Room:
    """Pairs of the reference, by the probability w of being preferred to a random response."""
    return Room(ref, 2 * w, 2 * (1 - w), shares)


def _base(reference: ArrayLike, weights: ArrayLike | None) -> tuple[Array, Array]:
    ref = normalised("reference", reference)
    shares = np.ones(len(ref)) if weights is None else real_array("weights", weights)
    if shares.shape != (len(ref),):
        raise ValueError(f"weights of shape {shares.shape}: expected ({len(ref)},), one per prompt")
    check_interval("weights", shares, sp.Interval.Ropen(0, sp.oo), "shares of the prompts")
    if not shares.sum() > 0:
        raise ValueError("weights are all 0: some prompt needs a share")
    return ref, shares / shares.sum()


def normalised(name: str, given: ArrayLike) -> Array:
    """Log-probabilities as (prompts, n), free of rounding in their sum, or `ValueError`."""
    logp = real_array(name, given)
    logp = logp[None] if logp.ndim == 1 else logp
    if logp.ndim != 2 or logp.shape[1] < 1:
        raise ValueError(f"{name} of shape {logp.shape}: expected (n,) or (prompts, n)")
    check_interval(name, np.exp(logp), PROBABILITY, "log-probabilities are not above 0")
    total = np.exp(logp).sum(axis=1)
    far = np.abs(total - 1)
    if far.max() > _ROUNDING:
        raise ValueError(
            f"{name}: the probabilities of prompt {int(far.argmax())} sum to "
            f"{total[far.argmax()]:.6g}, not 1; add one entry for all other responses"
        )
    return np.asarray(logp - logsumexp(logp, axis=1, keepdims=True))


def rewards_of(given: ArrayLike, ref: Array) -> Array:
    """Rewards in the shape of `ref`, 0 where a prompt has no response, or `ValueError`."""
    r = real_array("rewards", given)
    r = r[None] if r.ndim == 1 else r
    if r.shape != ref.shape:
        raise ValueError(f"rewards of shape {r.shape}: the reference has {ref.shape}")
    check_interval("rewards", r[np.isfinite(ref)], FINITE, "a reward is a finite number")
    return np.where(np.isfinite(ref), r, 0.0)
