"""Edit distance: which pairs learn their preferred response, and what foretells it.

Runs of the plan "edit-distance". The pairs of one run are a *set*. Predictors are known before
DPO; outcomes are the preferred's log-ratio u at the last step, or where the set's mean margin first
is 2 or 5 nats. Sets differ in edit distance, and pairs within a set do not, unless their distance
was left open; so a predictor is held against an outcome within several *scopes*.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu, rankdata

from dpofield.experiments import stats
from dpofield.experiments.columns import per_pair
from dpofield.experiments.stats import Interval

Floats = NDArray[np.float64]

GOAL = "5"
"""The margin, in nats, that all 170 runs reach."""

OUTCOME = f"u_at_margin_{GOAL}"

ANY = "any"
"""The name of a distance that was left open."""

SIMILARITY = ("levenshtein", "gradient_cosine", "alike", "ches", "ches_normalised")
PREDICTORS = (*SIMILARITY, "push_w")

SCOPES = ("between distances", "sets of one distance", "pairs of a set", "pairs, distance open")


def prepare(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with what the chapter speaks of; a row a run.

    `name`, the distance as asked for; `alike`, K_wl / K_ww; `alone`, K_ww - 2 K_wl + K_ll, the
    first growth of a pair's margin by its own terms; `room`, the preferred's part of that; `share`,
    the preferred's part of the mean margin's first growth, other pairs included; `middle` and
    `middle_at_margin_5`, (u + v)/2 after the last step and at the margin `GOAL`.
    """
    made = _names(runs)
    ww, wl, ll = made["kernel_ww"], made["kernel_wl"], made["kernel_ll"]
    alone = ww - 2 * wl + ll
    return made.assign(
        alone=alone,
        room=(ww - wl) / alone,
        share=made["push_w"] / (made["push_w"] - made["push_l"]),
        middle=(made["u"] + made["v"]) / 2,
        **{f"middle_at_margin_{GOAL}": (made[OUTCOME] + made[f"v_at_margin_{GOAL}"]) / 2},
    )


def pairs(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per pair with `name`, `alike`, `middle_at_margin_5`, and `fell`: u < 0 at `GOAL`."""
    made = _names(per_pair(runs))
    fell = (made[OUTCOME] < 0).astype(float)
    return made.assign(
        fell=fell, **{f"middle_at_margin_{GOAL}": (made[OUTCOME] + made[f"v_at_margin_{GOAL}"]) / 2}
    )


def _names(table: pd.DataFrame) -> pd.DataFrame:
    names = [ANY if np.isnan(d) else f"{d:g}" for d in table["edit_distance"].astype(float)]
    return table.assign(name=names, alike=table["kernel_wl"] / table["kernel_ww"])


def plain(table: pd.DataFrame, matched: bool | None = None) -> pd.DataFrame:
    """The rows whose position is left open: likelihoods matched, unmatched, or both (None)."""
    chosen = table["edit_position"].isna()
    if matched is not None:
        chosen &= table["matched"] == matched
    return table[chosen]


def by_group(table: pd.DataFrame, group: str, column: str) -> dict[str, Interval]:
    """Group -> mean of a column over seeds, in the groups' order of appearance."""
    return {
        str(name): stats.of_seeds(rows.groupby("seed")[column].mean())
        for name, rows in table.groupby(group, sort=False)
    }


def gap(runs: pd.DataFrame, group: str, one: str, other: str, column: str) -> Interval:
    """Mean paired difference of a column between two groups, the same seeds in both."""
    a, b = (runs[runs[group] == name].set_index("seed")[column] for name in (one, other))
    return stats.of_seeds(a - b)


def times(runs: pd.DataFrame, one: str, other: str, column: str) -> Interval:
    """How many times as large a positive column is at distance `one` as at `other`."""
    a, b = (runs[runs["name"] == name].set_index("seed")[column] for name in (one, other))
    return Interval(*(float(np.exp(x)) for x in stats.of_seeds(np.log(a) - np.log(b))))


# -- which predictor is better


def prediction(
    runs: pd.DataFrame, of_pairs: pd.DataFrame, scope: str, x: str, y: str = OUTCOME
) -> Interval:
    """Spearman's rank correlation of x with y in a scope, interval over seeds.

    *Between distances*: the set means of a seed's distances, one correlation a seed. *Sets of one
    distance*: across seeds, by ranks within the setting. *Pairs of a set*: one correlation a run.
    *Distance open*: the same in sets of pairs that were drawn without a look at their distance.
    nan where x does not vary.
    """
    if scope == SCOPES[1]:
        ranks = runs.groupby(["matched", "name"])[[x, y]].rank()
        if x == "levenshtein":
            ranks = ranks[runs["name"] == ANY]
        return stats.over_seeds(_rho, runs.loc[ranks.index, "seed"], ranks[x], ranks[y])
    found = _of_seeds(runs, of_pairs, scope, lambda g: _rho(g[x], g[y]))
    return stats.of_seeds(found) if found.notna().any() else Interval(*[float("nan")] * 3)


def better(
    runs: pd.DataFrame, of_pairs: pd.DataFrame, scope: str, x: str, other: str, y: str = OUTCOME
) -> Interval:
    """|rho(x, y)| - |rho(other, y)|, each a mean of seeds: above 0, x tells more than `other`.

    For scopes of one correlation a seed.
    """

    def of(c: str) -> pd.Series:
        return _of_seeds(runs, of_pairs, scope, lambda g: _rho(g[c], g[y]))

    one, two = of(x), of(other)
    return stats.over_seeds(lambda a, b: abs(a.mean()) - abs(b.mean()), one.index, one, two)


def beyond(
    runs: pd.DataFrame, of_pairs: pd.DataFrame, scope: str, x: str, given: str, y: str = OUTCOME
) -> Interval:
    """What x says of y that `given` does not: partial rank correlation, a mean of seeds."""

    def partial(g: pd.DataFrame) -> float:
        xy, xz, yz = _rho(g[x], g[y]), _rho(g[x], g[given]), _rho(g[y], g[given])
        left = (1 - xz**2) * (1 - yz**2)
        return (xy - xz * yz) / float(np.sqrt(left)) if left > 1e-9 else float("nan")

    return stats.of_seeds(_of_seeds(runs, of_pairs, scope, partial))


def told(of_pairs: pd.DataFrame, x: str) -> Interval:
    """Area under the ROC curve of x for `fell` within sets: above 1/2, a high x goes with a fall.

    A set in which all pairs fell, or none, or x does not vary, is left out.
    """

    def area(g: pd.DataFrame) -> float:
        if not np.ptp(g[x]):
            return float("nan")
        yes, no = g.loc[g["fell"] > 0, x], g.loc[g["fell"] == 0, x]
        if not (len(yes) and len(no)):
            return float("nan")
        return float(mannwhitneyu(yes, no).statistic / (len(yes) * len(no)))

    return stats.of_seeds(_of_runs(of_pairs, area))


def _of_seeds(
    runs: pd.DataFrame,
    of_pairs: pd.DataFrame,
    scope: str,
    statistic: Callable[[pd.DataFrame], float],
) -> pd.Series:
    """A statistic a seed: of its sets' means, or averaged over its sets."""
    if scope == SCOPES[0]:
        # Matched and unmatched sets are two rows of distances, not one.
        found = {key: statistic(g) for key, g in runs.groupby(["seed", "matched"])}
        return pd.Series(found).groupby(level=0).mean()
    if scope == SCOPES[1]:
        raise ValueError(f"scope {scope!r} has no correlation a seed: ask prediction for it")
    chosen = of_pairs[of_pairs["name"] == ANY] if scope == SCOPES[3] else of_pairs
    return _of_runs(chosen, statistic)


def _of_runs(of_pairs: pd.DataFrame, statistic: Callable[[pd.DataFrame], float]) -> pd.Series:
    found = {key: statistic(g) for key, g in of_pairs.groupby(["seed", "key"])}
    return pd.Series(found).groupby(level=0).mean()


def _rho(x: object, y: object) -> float:
    a, b = rankdata(np.asarray(x, dtype=float)), rankdata(np.asarray(y, dtype=float))
    return float(np.corrcoef(a, b)[0, 1]) if np.ptp(a) and np.ptp(b) else float("nan")


# -- is there a threshold


class Threshold(NamedTuple):
    """A jump at one distance against a straight line in the logarithm of the distance.

    `rises`: mean paired differences between neighbouring distances. `jump`, `line`: mean squared
    error on a seed that was left out of the fit. `gap`: `jump` - `line`; above 0, the line is
    better, although the jump has one parameter more.
    """

    rises: list[Interval]
    jump: float
    line: float
    gap: Interval

    @property
    def verdict(self) -> str:
        """Whether the outcome jumps, in words."""
        if self.gap.low > 0:
            return "no threshold"
        return "a threshold" if self.gap.high < 0 else "undecided"


def threshold(runs: pd.DataFrame, column: str = OUTCOME) -> Threshold:
    """`Threshold` of a column over the distances that were asked for; one row a distance and seed.

    The jump is put, for each seed left out, where it fits the other seeds best.
    """
    asked = runs[runs["name"] != ANY]
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


# -- how it comes about


class Lag(NamedTuple):
    """Why the preferred is lower where `near` pairs meet a margin than where `far` pairs do, nats.

    `delay`: what the far sets lose between their own meeting with the margin and the later step
    at which the near sets meet it. `rest`: how much lower the near sets are at that same step.
    The two add up to the difference at the margin.
    """

    delay: Interval
    rest: Interval


def lag(runs: pd.DataFrame, near: str, far: str) -> Lag:
    """`Lag` between two distances at the margin `GOAL`, the same seeds in both.

    A run's u is known at the start, at the margins 2, 5 and 10 and at the end, and is joined by
    straight lines.
    """
    a, b = (runs[runs["name"] == name].set_index("seed").sort_index() for name in (near, far))
    when = a[f"steps_to_margin_{GOAL}"]
    there = np.array([_u_at(run, when[seed]) for seed, run in b.iterrows()])
    return Lag(stats.of_seeds(b[OUTCOME] - there), stats.of_seeds(there - a[OUTCOME]))


def _u_at(run: pd.Series, step: float) -> float:
    known = [
        (0.0, 0.0),
        *((run[f"steps_to_margin_{g}"], run[f"u_at_margin_{g}"]) for g in ("2", "5", "10")),
    ]
    steps, u = zip(*[k for k in known if not np.isnan(k[0])], (run["steps"], run["u"]), strict=True)
    return float(np.interp(step, steps, u))


def hinders(at_margin: Interval, lag: Lag) -> str:
    """How similarity hinders the preferred, in words.

    `at_margin`: the rank correlation of edit distance with u at a matched margin.

    >>> hinders(Interval(0.9, 0.8, 1), Lag(Interval(2, 1.5, 2.5), Interval(0.5, 0, 1)))
    'mostly by delay'
    """
    if at_margin.low <= 0:
        return "not seen"
    if lag.delay.low > lag.rest.high:
        return "mostly by delay"
    if lag.rest.low > lag.delay.high:
        return "mostly at equal steps"
    return "by delay and at equal steps"
