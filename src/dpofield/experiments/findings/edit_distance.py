"""Edit distance: for which pairs the preferred response rises, and which quantities predict it.

These are the runs of the plan "edit-distance". The pairs of one run are a *set*. Predictors are
measured before DPO. Outcomes are the preferred response's log-ratio u after the last step, or where
the set's mean margin first reaches 2 or 5 nats. The edit distance differs between sets. Within a
set it is constant, unless the configuration allows any distance. Correlations of predictor and
outcome are therefore computed in several *scopes*.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dpofield.experiments import stats
from dpofield.experiments.columns import per_pair
from dpofield.experiments.margins import MARGINS
from dpofield.experiments.stats import Interval

Floats = NDArray[np.float64]

GOAL = 5
"""A margin in nats that all 170 runs reach."""

OUTCOME = f"u_at_margin_{GOAL}"

ANY = "any"
"""The name for sets with any edit distance."""


PREDICTORS = {
    "levenshtein": "edit distance",
    "gradient_cosine": "gradient cosine",
    "kernel_ratio": "$K_{wl}/K_{ww}$",
    "ches": "CHES",
    "ches_normalised": "CHES, by length",
    "push_w": "batch push",
}
"""Column that may predict the outcome of a pair or set -> its label."""


class Scope(StrEnum):
    """The units between which predictor and outcome are correlated; the value is the label."""

    DISTANCES = "between distances"
    SETS = "sets of one distance"
    PAIRS = "pairs of a set"
    OPEN_DISTANCE = "pairs, distance open"


def prepare(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with the quantities of the chapter, one row per run.

    `asked`: edit distance in the configuration, as text. `kernel_ratio`: K_wl / K_ww. `own_growth`:
    K_ww - 2 K_wl + K_ll, the initial growth of a pair's margin from its own terms.
    `preferred_share`: the preferred response's share of the initial growth of the mean margin, with
    the terms from other pairs.
    """
    ww, wl, ll = runs["kernel_ww"], runs["kernel_wl"], runs["kernel_ll"]
    return _named(runs).assign(
        own_growth=ww - 2 * wl + ll,
        preferred_share=runs["push_w"] / (runs["push_w"] - runs["push_l"]),
    )


def pairs(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per pair: `asked`, `kernel_ratio`, `midpoint_at_margin_5`, `fell` (u < 0 at 5)."""
    made = _named(per_pair(runs))
    middle = (made[OUTCOME] + made[f"v_at_margin_{GOAL}"]) / 2
    return made.assign(
        fell=(made[OUTCOME] < 0).astype(float), **{f"midpoint_at_margin_{GOAL}": middle}
    )


def _named(table: pd.DataFrame) -> pd.DataFrame:
    asked = [ANY if np.isnan(d) else f"{d:g}" for d in table["edit_distance"].astype(float)]
    return table.assign(asked=asked, kernel_ratio=table["kernel_wl"] / table["kernel_ww"])


def plain(table: pd.DataFrame, matched: bool | None = None) -> pd.DataFrame:
    """The rows with any edit position; with matched or unmatched likelihoods, or both (None)."""
    chosen = table["edit_position"].isna()
    if matched is not None:
        chosen &= table["matched"] == matched
    return table[chosen]


def by_group(table: pd.DataFrame, group: str, column: str) -> dict[str, Interval]:
    """Group -> mean of a column over seeds, in order of first appearance."""
    return {
        str(name): stats.of_seeds(rows.groupby("seed")[column].mean())
        for name, rows in table.groupby(group, sort=False)
    }


def gap(runs: pd.DataFrame, group: str, one: str, other: str, column: str) -> Interval:
    """Mean difference of a column between two groups, paired by seed."""
    a, b = (runs[runs[group] == name].set_index("seed")[column] for name in (one, other))
    return stats.of_seeds(a - b)


def times(runs: pd.DataFrame, one: str, other: str, column: str) -> Interval:
    """Geometric mean of the ratio of a positive column, distance `one` over distance `other`."""
    a, b = (runs[runs["asked"] == asked].set_index("seed")[column] for asked in (one, other))
    return stats.geometric(a / b)


# -- which predictor is better


def prediction(
    runs: pd.DataFrame, of_pairs: pd.DataFrame, scope: Scope, x: str, y: str = OUTCOME
) -> Interval:
    """Spearman's correlation of x and y in a scope; nan if x is constant.

    `DISTANCES`: between the set means of one seed. `SETS`: across seeds, by ranks within the
    setting. `PAIRS`: between the pairs of one run. `OPEN_DISTANCE`: the same, only for sets with
    any edit distance.
    """
    if scope is Scope.SETS:
        varied = runs[runs["asked"] == ANY] if x == "levenshtein" else runs
        return stats.rho_across_seeds(varied, ["matched", "asked"], x, y)
    found = _within(runs, of_pairs, scope, stats.rho, x, y)
    return stats.of_seeds(found) if found.notna().any() else stats.UNKNOWN


def stronger(
    runs: pd.DataFrame, of_pairs: pd.DataFrame, scope: Scope, x: str, other: str, y: str = OUTCOME
) -> Interval:
    """|rho(x, y)| - |rho(other, y)| with rho averaged over seeds; positive if x predicts better.

    Raises `ValueError` for `Scope.SETS`, which has no correlation per seed.
    """
    one, two = (_within(runs, of_pairs, scope, stats.rho, c, y) for c in (x, other))
    return stats.stronger(one, two)


def beyond(
    runs: pd.DataFrame, of_pairs: pd.DataFrame, scope: Scope, x: str, given: str, y: str = OUTCOME
) -> Interval:
    """Partial rank correlation of x and y given `given`, averaged over seeds.

    Raises `ValueError` for `Scope.SETS`, which has no correlation per seed.
    """
    return stats.of_seeds(_within(runs, of_pairs, scope, stats.partial_rho, x, y, given))


def auc(of_pairs: pd.DataFrame, x: str) -> Interval:
    """Area under the ROC curve of x for `fell`, within sets; above 1/2 if a high x predicts a fall.

    Sets in which all pairs or no pairs fell are left out.
    """
    return stats.of_seeds(stats.within(of_pairs, ["key"], stats.auc, x, "fell"))


def _within(
    runs: pd.DataFrame,
    of_pairs: pd.DataFrame,
    scope: Scope,
    statistic: Callable[..., float],
    *columns: str,
) -> pd.Series:
    """A statistic per seed: between the means of its sets, or averaged over its sets."""
    if scope is Scope.SETS:
        raise ValueError(f"scope {scope.name} has no correlation per seed: take prediction")
    if scope is Scope.DISTANCES:
        # Matched and unmatched sets each cover all distances.
        return stats.within(runs, ["matched"], statistic, *columns)
    chosen = of_pairs[of_pairs["asked"] == ANY] if scope is Scope.OPEN_DISTANCE else of_pairs
    return stats.within(chosen, ["key"], statistic, *columns)


# -- is there a threshold


class Jump(StrEnum):
    """Whether an outcome has a jump at some distance; the value is the label."""

    NONE = "no threshold"
    FOUND = "a threshold"
    UNDECIDED = "undecided"


class Threshold(NamedTuple):
    """A jump at one distance against a straight line in the logarithm of the distance.

    `rises`: mean differences between neighbouring distances, paired by seed. `jump`, `line`: mean
    squared error of each fit on a left-out seed. `gap`: `jump` - `line`; positive if the line is
    better, although the jump has one more parameter.
    """

    rises: list[Interval]
    jump: float
    line: float
    gap: Interval

    @property
    def verdict(self) -> Jump:
        """Whether the outcome has a jump."""
        if self.gap.low > 0:
            return Jump.NONE
        return Jump.FOUND if self.gap.high < 0 else Jump.UNDECIDED


def threshold(runs: pd.DataFrame, column: str = OUTCOME) -> Threshold:
    """`Threshold` of a column over the fixed distances; `runs` has one row per distance and seed.

    For each left-out seed, the position of the jump is fitted to the other seeds.
    """
    asked = runs[runs["asked"] != ANY]
    table = asked.pivot(index="seed", columns="edit_distance", values=column)
    x, values = np.log(np.asarray(table.columns, dtype=float)), table.to_numpy(dtype=float)
    rises = [stats.of_seeds(step) for step in np.diff(values, axis=1).T]
    errors = np.array(
        [
            [((y - fit(x, np.delete(values, i, axis=0).mean(axis=0))) ** 2).mean()
             for fit in (_jump, _line)]
            for i, y in enumerate(values)
        ]
    )  # fmt: skip
    jump, line = errors.mean(axis=0)
    return Threshold(rises, float(jump), float(line), stats.of_seeds(errors[:, 0] - errors[:, 1]))


def _line(x: Floats, y: Floats) -> Floats:
    return np.asarray(np.polyval(np.polyfit(x, y, 1), x))


def _jump(x: Floats, y: Floats) -> Floats:
    fits = [
        np.concatenate([np.full(cut, y[:cut].mean()), np.full(len(y) - cut, y[cut:].mean())])
        for cut in range(1, len(x))
    ]
    return min(fits, key=lambda fit: float(((y - fit) ** 2).sum()))


# -- how similarity hinders the preferred response


class Lag(NamedTuple):
    """Two parts of the difference in u between far and near sets at the same margin, in nats.

    `delay`: fall of the far sets from the step at which they reach the margin to the later step at
    which the near sets reach it. `rest`: far sets minus near sets at that later step. The two parts
    add up to the difference at the margin.
    """

    delay: Interval
    rest: Interval


def lag(runs: pd.DataFrame, near: str, far: str) -> Lag:
    """`Lag` between two distances at the margin `GOAL`, paired by seed.

    A run's u is recorded at the start, at the margins 2, 5 and 10, and at the end. Between these
    points it is interpolated linearly.
    """
    a, b = (runs[runs["asked"] == asked].set_index("seed").sort_index() for asked in (near, far))
    when = a[f"steps_to_margin_{GOAL}"]
    later = np.array([_u_at(run, when[seed]) for seed, run in b.iterrows()])
    return Lag(stats.of_seeds(b[OUTCOME] - later), stats.of_seeds(later - a[OUTCOME]))


def _u_at(run: pd.Series, step: float) -> float:
    known = [
        (0.0, 0.0),
        *((run[f"steps_to_margin_{g}"], run[f"u_at_margin_{g}"]) for g in MARGINS),
    ]
    steps, u = zip(*[k for k in known if not np.isnan(k[0])], (run["steps"], run["u"]), strict=True)
    return float(np.interp(step, steps, u))


class Way(StrEnum):
    """How similarity hinders the preferred response; the value is the label."""

    NONE = "not seen"
    DELAY = "mostly by delay"
    EQUAL_STEPS = "mostly at equal steps"
    BOTH = "by delay and at equal steps"


def hinders(at_margin: Interval, lag: Lag) -> Way:
    """How similarity hinders the preferred response.

    `at_margin`: rank correlation of edit distance with u at a given margin.

    >>> hinders(Interval(0.9, 0.8, 1), Lag(Interval(2, 1.5, 2.5), Interval(0.5, 0, 1))).value
    'mostly by delay'
    """
    if at_margin.low <= 0:
        return Way.NONE
    if lag.delay.low > lag.rest.high:
        return Way.DELAY
    if lag.rest.low > lag.delay.high:
        return Way.EQUAL_STEPS
    return Way.BOTH
