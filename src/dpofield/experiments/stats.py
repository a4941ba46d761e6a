"""The statistics that chapters and checks quote, with bootstrap intervals over seeds.

Each seed is an independent repetition, with new initial weights, samples, pairs and order. Pairs of
one run share a model, so they are not independent, and an interval over pairs would be too narrow.
Therefore whole seeds are resampled. Unless stated otherwise, an interval is a percentile bootstrap
interval from `scipy.stats.bootstrap`, with a fixed random state. It estimates how the statistic
varies over other seeds, for the same world and model size. With ten seeds it is slightly too
narrow.

`rho`, `partial_rho`, `auc` and `eta_squared` map arrays to a number. `within` computes such a
number per seed, and `of_seeds` the mean of these numbers with its interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

if TYPE_CHECKING:
    import pandas as pd  # slow to import, and needed for annotations only

Floats = NDArray[np.float64]

RESAMPLES = 2000


class Interval(NamedTuple):
    """A statistic over all seeds, and its 95 % percentile bootstrap interval."""

    value: float
    low: float
    high: float

    def __contains__(self, value: object) -> bool:
        """Whether a number lies in the interval, ends included."""
        return isinstance(value, (int, float)) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


UNKNOWN = Interval(*[float("nan")] * 3)
"""The interval of a statistic that has no value."""


def over_seeds(statistic: Callable[..., Any], seeds: ArrayLike, *columns: ArrayLike) -> Interval:
    """`statistic(*columns)` of all rows, and its interval with whole seeds resampled.

    `seeds` (n,) has the seed of each row; `columns` are (n,) each. Rows with nan in any column are
    dropped first. Raises `ValueError` for fewer than two seeds.

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
    """The mean of all rows; to compare two settings, pass one paired difference per seed.

    >>> print(mean([0, 1, 2, 3], [1.0, 2.0, 3.0, 4.0]))
    2.5 [1.5, 3.5]
    """
    return over_seeds(np.mean, seeds, values)


def of_seeds(values: ArrayLike) -> Interval:
    """The mean of one value per seed; the interval of `mean`, hundreds of times faster.

    Values that are nan are dropped. Raises `ValueError` for fewer than two other values.

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


def next_seed(values: ArrayLike, level: float = 0.99) -> Interval:
    """The mean of one value per seed, and Student's prediction interval for one more seed.

    The value of a new seed lies in it with probability `level`, if the values are normally
    distributed. It is wider than an interval for the mean, and its width does not tend to 0 with
    more seeds. Values that are nan are dropped. Raises `ValueError` for fewer than two other
    values.

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


def geometric(values: ArrayLike) -> Interval:
    """The geometric mean of one positive number per seed, such as a ratio of two settings.

    >>> print(geometric([2.0, 8.0]))
    4 [2, 8]
    """
    logs = of_seeds(np.log(np.asarray(values, dtype=float)))
    return Interval(*(float(np.exp(x)) for x in logs))


def within(
    table: pd.DataFrame,
    groups: Sequence[str],
    statistic: Callable[..., float],
    *columns: str,
) -> pd.Series:
    """`statistic` of the columns within each seed and group, averaged over the groups of a seed.

    `groups` are columns of the table; without any, each seed is one group. Groups with the value
    nan are dropped.
    """
    rows = table.groupby(["seed", *groups])[list(columns)]
    found = rows.apply(lambda g: statistic(*(g[c].to_numpy(dtype=float) for c in columns)))
    means: pd.Series = found.groupby(level="seed").mean()
    return means


def rho(x: ArrayLike, y: ArrayLike) -> float:
    """Spearman's rank correlation; nan if x or y is constant.

    >>> rho([1, 2, 3], [1, 10, 100])
    1.0
    """
    a, b = stats.rankdata(x), stats.rankdata(y)
    varies = np.ptp(a) > 0 and np.ptp(b) > 0
    return float(np.corrcoef(a, b)[0, 1]) if varies else float("nan")


def rho_across_seeds(table: pd.DataFrame, setting: Sequence[str], x: str, y: str) -> Interval:
    """Spearman's correlation across the seeds of a setting, pooled over all settings.

    x and y are replaced by their ranks within the setting, and `rho` of these ranks is computed in
    every resample. `table` has one row per seed and setting; `setting` are the columns that
    identify a setting.
    """
    ranks = table.groupby(list(setting))[[x, y]].rank()
    return over_seeds(rho, table["seed"], ranks[x], ranks[y])


def partial_rho(x: ArrayLike, y: ArrayLike, given: ArrayLike) -> float:
    """Spearman's correlation of x and y, with the ranks of `given` regressed out of both.

    The result is nan if `given` determines the ranks of x or y.
    """
    xy, xz, yz = rho(x, y), rho(x, given), rho(y, given)
    left = (1 - xz**2) * (1 - yz**2)
    return (xy - xz * yz) / float(np.sqrt(left)) if left > 1e-9 else float("nan")


def oriented(correlations: pd.Series) -> pd.Series:
    """One correlation per seed, multiplied by the sign of their mean."""
    return correlations * np.sign(correlations.mean())


def stronger(one: pd.Series, other: pd.Series) -> Interval:
    """|mean of `one`| - |mean of `other`|, one value per seed; positive if `one` is stronger."""
    return over_seeds(lambda a, b: abs(a.mean()) - abs(b.mean()), one.index, one, other)


def auc(score: ArrayLike, happened: ArrayLike) -> float:
    """Area under the ROC curve of `score` for the event `happened`.

    This is the probability that a random row with the event has a higher score than a random row
    without it; ties count half. The result is nan if all rows or no rows have the event.

    >>> auc([0.1, 0.9, 0.2, 0.8], [0, 1, 0, 1])
    1.0
    """
    s, h = np.asarray(score, dtype=float), np.asarray(happened, dtype=float)
    yes, no = s[h > 0], s[h == 0]
    if not (len(yes) and len(no)):
        return float("nan")
    return float(stats.mannwhitneyu(yes, no).statistic / (len(yes) * len(no)))


def eta_squared(group: ArrayLike, y: ArrayLike) -> float:
    """Eta squared: the share of the variance of y that lies between groups.

    Without any effect, its expected value is not 0 but (groups - 1) / (rows - 1).
    """
    values = np.asarray(y, dtype=float)
    _, index = np.unique(np.asarray(group), return_inverse=True)
    means = np.bincount(index, values) / np.bincount(index)
    spread = ((means[index] - values.mean()) ** 2).sum()
    return float(spread / ((values - values.mean()) ** 2).sum())
