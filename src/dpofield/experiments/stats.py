"""The few statistics that chapters quote. What is resampled is always the seed.

A seed is one independent repetition: new initial weights, new samples, new pairs, new order. Pairs
of one run share a model, so they are not independent, and an interval that took them for so would
be too narrow. Every interval here is a percentile bootstrap interval over seeds, from
`scipy.stats.bootstrap`, with a fixed random state: it says how the statistic would vary if the
seeds had been others, in this world and at this size. With ten seeds it is a little too narrow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]

RESAMPLES = 2000


class Interval(NamedTuple):
    """A statistic of all seeds, and its 95 % percentile bootstrap interval over seeds."""

    value: float
    low: float
    high: float

    def __contains__(self, value: object) -> bool:
        """Whether a number lies between the ends."""
        return isinstance(value, (int, float)) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


def over_seeds(statistic: Callable[..., Any], seeds: ArrayLike, *columns: ArrayLike) -> Interval:
    """`statistic(*columns)` of all rows, with its interval when whole seeds are drawn again.

    `seeds` (n,) says which seed each row is of; `columns` are (n,) each. Rows with a nan in any
    column are left out first. Raises `ValueError` for fewer than two seeds.

    >>> print(over_seeds(lambda x: x.mean(), [0, 0, 1, 2], [1.0, 3.0, 2.0, 2.0]))
    2 [2, 2]
    """
    table = np.column_stack([np.asarray(c, dtype=float) for c in columns])
    kept = ~np.isnan(table).any(axis=1)
    table, labels = table[kept], np.asarray(seeds)[kept]
    groups = [table[labels == seed] for seed in np.unique(labels)]
    if len(groups) < 2:
        raise ValueError(f"{len(groups)} seeds have values: an interval over seeds needs two")

    def drawn(index: NDArray[np.int64]) -> float:
        rows = np.concatenate([groups[int(i)] for i in index])
        return float(statistic(*rows.T))

    found = stats.bootstrap(
        (np.arange(len(groups)),), drawn, vectorized=False, n_resamples=RESAMPLES,
        method="percentile", rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return Interval(float(statistic(*table.T)), float(found.low), float(found.high))


def mean(seeds: ArrayLike, values: ArrayLike) -> Interval:
    """The mean of all rows; for a difference of two settings, give paired differences a seed.

    >>> print(mean([0, 1, 2, 3], [1.0, 2.0, 3.0, 4.0]))
    2.5 [1.5, 3.5]
    """
    return over_seeds(np.mean, seeds, values)


def of_seeds(values: ArrayLike) -> Interval:
    """The mean of one value a seed: the interval of `mean`, hundreds of times as fast.

    For what is already one number a run. A nan is left out. Raises `ValueError` for fewer than two
    values.

    >>> print(of_seeds([1.0, 2.0, 3.0, 4.0]))
    2.5 [1.5, 3.5]
    """
    x = np.asarray(values, dtype=float)
    x = x[~np.isnan(x)]
    if len(x) < 2:
        raise ValueError(f"{len(x)} seeds have values: an interval over seeds needs two")
    found = stats.bootstrap(
        (x,), np.mean, vectorized=True, n_resamples=RESAMPLES, method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return Interval(float(x.mean()), float(found.low), float(found.high))


def share(seeds: ArrayLike, happened: ArrayLike) -> Interval:
    """The share of rows in which something happened."""
    return mean(seeds, np.asarray(happened, dtype=float))


def effect(seeds: ArrayLike, differences: ArrayLike) -> Interval:
    """Standardised effect: the mean of paired differences, one a seed, over their deviation.

    Raises `ValueError` unless every seed has one difference.
    """
    if len(np.unique(np.asarray(seeds))) != len(np.asarray(seeds)):
        raise ValueError("a seed has several differences: average them first")

    def ratio(x: Floats) -> float:
        spread = x.std(ddof=1)
        return float(x.mean() / spread) if spread else float(np.sign(x.mean()) * np.inf)

    return over_seeds(ratio, seeds, differences)


def next_seed(values: ArrayLike, level: float = 0.99) -> Interval:
    """The mean of one value a seed, and Student's prediction interval for one more seed.

    Where a new repetition falls with probability `level`, if seeds are normally distributed. This
    is wider than an interval for the mean, and does not shrink to nothing with more seeds. Raises
    `ValueError` for fewer than two values; a nan is left out.

    >>> print(next_seed([1.0, 2.0, 3.0, 4.0], level=0.5))
    2.5 [1.4, 3.6]
    """
    x = np.asarray(values, dtype=float)
    x = x[~np.isnan(x)]
    if len(x) < 2:
        raise ValueError(f"{len(x)} values: a prediction interval needs two")
    spread = float(x.std(ddof=1) * np.sqrt(1 + 1 / len(x)))
    reach = float(stats.t.ppf((1 + level) / 2, len(x) - 1)) * spread
    return Interval(float(x.mean()), float(x.mean()) - reach, float(x.mean()) + reach)


def spearman(seeds: ArrayLike, x: ArrayLike, y: ArrayLike) -> Interval:
    """Spearman's rank correlation of two columns over all rows.

    >>> print(spearman([0, 0, 1, 1], [1, 2, 3, 4], [1, 2, 3, 4]))
    1 [1, 1]
    """
    return over_seeds(_rho, seeds, x, y)


def partial_spearman(seeds: ArrayLike, x: ArrayLike, y: ArrayLike, given: ArrayLike) -> Interval:
    """Spearman's correlation of x and y once the ranks of `given` are taken out of both.

    The correlation of what a straight line in the ranks of `given` leaves of the ranks of x and
    of y: what x says about y that `given` does not.
    """
    return over_seeds(_partial, seeds, x, y, given)


def stronger(seeds: ArrayLike, x: ArrayLike, other: ArrayLike, y: ArrayLike) -> Interval:
    """|Spearman(x, y)| - |Spearman(other, y)| on the same rows: above 0, x predicts y better."""

    def gap(x: Floats, other: Floats, y: Floats) -> float:
        return abs(_rho(x, y)) - abs(_rho(other, y))

    return over_seeds(gap, seeds, x, other, y)


def auc(seeds: ArrayLike, score: ArrayLike, happened: ArrayLike) -> Interval:
    """Area under the ROC curve: the chance that a row where it happened has the higher score.

    Ties count half. From the Mann-Whitney statistic; nan where all rows or none happened.

    >>> print(auc([0, 0, 1, 1], [0.1, 0.9, 0.2, 0.8], [0, 1, 0, 1]))
    1 [1, 1]
    """
    return over_seeds(_auc, seeds, score, happened)


def _rho(x: Floats, y: Floats) -> float:
    if not (np.ptp(x) and np.ptp(y)):
        return float("nan")  # a constant has no ranks
    return float(stats.spearmanr(x, y).statistic)


def _partial(x: Floats, y: Floats, given: Floats) -> float:
    z = np.column_stack([np.ones(len(given)), stats.rankdata(given)])
    left = []
    for ranks in (stats.rankdata(x), stats.rankdata(y)):
        left.append(ranks - z @ np.linalg.lstsq(z, ranks, rcond=None)[0])
    if min(np.ptp(part) for part in left) < 1e-9:
        return float("nan")  # nothing is left of one of them
    return float(np.corrcoef(*left)[0, 1])


def _auc(score: Floats, happened: Floats) -> float:
    yes, no = score[happened > 0], score[happened == 0]
    if not (len(yes) and len(no)):
        return float("nan")
    return float(stats.mannwhitneyu(yes, no).statistic / (len(yes) * len(no)))
