"""What the level of SFT decides: where the runs of the plan "sft-quality" start and end.

Two questions are kept apart. *Pace*: after how many steps the mean margin u - v is 2 nats. *Path*:
where the preferred response is by then. Frames have one row a run or one row a pair.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from dpofield.experiments import stats
from dpofield.experiments.columns import per_pair
from dpofield.experiments.findings.mass import worst_reward
from dpofield.experiments.stats import Interval

Floats = NDArray[np.float64]

SOURCES = {"grammar": "off-policy", "model": "on-policy"}
"""Where the pairs of a run come from, as the plan and as the text call it."""

SETTING = ["source", "sft_steps"]

GOAL = "2"
"""The margin in nats that every run reaches, so that none is left out of a comparison."""

START = ("ref_logp_w", "ref_logp_l", "gap")
OWN = {"pace": "alone", "path": "room"}
PUSH = {"pace": "growth", "path": "share"}
OUTCOME = {"pace": "speed", "path": f"u_at_margin_{GOAL}"}

SCOPES = ("levels, off-policy", "levels, on-policy", "seeds of a setting", "pairs of a run")
"""Within what a predictor is held against an outcome: from what SFT moves to what it does not."""


def prepare(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with what chapters speak of; sums and products of recorded columns, a row a run.

    Start: `gap`, log(pi_l / pi_w), the quotient of the field's components by the probabilities.
    Kernel, each pair alone: `alone`, K_ww - 2 K_wl + K_ll, the first growth of its margin; `room`,
    the preferred's part of it; `alike`, K_wl / K_ww. First push of all pairs: `growth` of the mean
    margin, and `share`, the preferred's part. Outcome: `margin` after the last step, `speed`,
    minus the steps to the margin `GOAL`, `gain` of the true reward given the grammar, `told`, the
    reward with what is off the grammar counted at the lowest there is, and `kl_all`.
    """
    made = _start(runs)
    made["share"] = made["push_w"] / made["growth"]
    made["margin"] = made["u"] - made["v"]
    made["speed"] = -made[f"steps_to_margin_{GOAL}"]
    made["gain"] = made["reward_on_grammar_after"] - made["reward_on_grammar_before"]
    for when in ("before", "after"):
        off = made[f"off_grammar_{when}"]
        made[f"told_{when}"] = (1 - off) * made[f"reward_on_grammar_{when}"] + off * worst_reward()
    made["told_gain"] = made["told_after"] - made["told_before"]
    made["kl_all"] = made["kl_on_grammar"] + made["kl_off_grammar_bound"]
    return made


def pairs(runs: pd.DataFrame) -> pd.DataFrame:
    """One row a pair with the predictors of `prepare`, and `speed` by the pair's own margin.

    `share` is the first push on the pair's preferred response over the growth of the run's mean
    margin. A pair that never reached the margin counts as the slowest.
    """
    made = _start(per_pair(runs))
    made["share"] = made["push_w"] / made.groupby("key")["growth"].transform("mean")
    made["speed"] = -made[f"own_steps_to_margin_{GOAL}"].fillna(np.inf)
    return made


def _start(table: pd.DataFrame) -> pd.DataFrame:
    ww, wl, ll = table["kernel_ww"], table["kernel_wl"], table["kernel_ll"]
    return table.assign(
        gap=table["ref_logp_l"] - table["ref_logp_w"],
        alone=ww - 2 * wl + ll,
        room=(ww - wl) / (ww - 2 * wl + ll),
        alike=wl / ww,
        growth=table["push_w"] - table["push_l"],
    )


def by_level(runs: pd.DataFrame, column: str) -> pd.DataFrame:
    """source, sft_steps, value, low, high: the mean of a column over the seeds of each setting.

    nan where a seed has none, since the mean of the seeds that got there is another quantity.
    """
    rows = []
    for (source, level), group in runs.groupby(SETTING):
        whole = not group[column].isna().any()
        found = stats.of_seeds(group[column]) if whole else Interval(*[float("nan")] * 3)
        rows.append((source, level, *found))
    return pd.DataFrame(rows, columns=[*SETTING, "value", "low", "high"])


def _of(runs: pd.DataFrame, column: str, source: str, level: int) -> pd.Series:
    chosen = runs[(runs["source"] == source) & (runs["sft_steps"] == level)]
    return chosen.set_index("seed")[column]


def moved(
    runs: pd.DataFrame, column: str, low: int, high: int, source: str = "grammar"
) -> Interval:
    """How much more a column is at SFT level `high` than at `low`: mean paired difference."""
    return stats.of_seeds(_of(runs, column, source, high) - _of(runs, column, source, low))


def times(
    runs: pd.DataFrame, column: str, low: int, high: int, source: str = "grammar"
) -> Interval:
    """How many times as much a positive column is at level `high` as at `low`: geometric mean."""
    logs = np.log(_of(runs, column, source, high)) - np.log(_of(runs, column, source, low))
    return Interval(*(float(np.exp(x)) for x in stats.of_seeds(logs)))


def on_over_off(runs: pd.DataFrame, column: str, level: int) -> Interval:
    """On-policy minus off-policy at one level, the same starting models: mean paired difference."""
    gaps = _of(runs, column, "model", level) - _of(runs, column, "grammar", level)
    return stats.of_seeds(gaps)


def explained(runs: pd.DataFrame, column: str) -> Interval:
    """Eta squared: the part of a column's variance over runs that lies between the settings.

    Not zero without any effect: see `by_chance`. A run without a value is left out.
    """
    return stats.over_seeds(_eta, runs["seed"], runs.groupby(SETTING).ngroup(), runs[column])


def _eta(setting: Floats, y: Floats) -> float:
    _, index = np.unique(setting, return_inverse=True)
    means = np.bincount(index, y) / np.bincount(index)
    return float(((means[index] - y.mean()) ** 2).sum() / ((y - y.mean()) ** 2).sum())


def by_chance(runs: pd.DataFrame) -> float:
    """What eta squared is on average if settings do not differ: (k - 1) / (n - 1)."""
    return (int(runs.groupby(SETTING).ngroups) - 1) / (len(runs) - 1)


def predictions(runs: pd.DataFrame) -> pd.DataFrame:
    """How well what is known before DPO tells pace and path: outcome, scope, x, value, low, high.

    Spearman's rank correlation in four scopes. *Levels*: across SFT levels, one correlation a seed,
    for each source of pairs. *Seeds of a setting*: across the seeds that share a setting, ranks
    within it. *Pairs of a run*: across the pairs that share a model, one correlation a run. The
    intervals are over seeds. `runs` as from `prepare`, untrained models left out by the caller.
    """
    of_pairs, rows = pairs(runs), []
    for outcome, y in OUTCOME.items():
        for x in (*START, OWN[outcome], PUSH[outcome]):
            for scope in SCOPES:
                found = prediction(runs, of_pairs, scope, x, y)
                rows.append((outcome, scope, x, *found))
    return pd.DataFrame(rows, columns=["outcome", "scope", "x", "value", "low", "high"])


def prediction(runs: pd.DataFrame, of_pairs: pd.DataFrame, scope: str, x: str, y: str) -> Interval:
    """One entry of `predictions`."""
    if scope == SCOPES[2]:
        ranks = runs.groupby(SETTING)[[x, y]].rank()
        return stats.over_seeds(_correlation, runs["seed"], ranks[x], ranks[y])
    return stats.of_seeds(_by_seed(runs, of_pairs, scope, x, y))


def better(
    runs: pd.DataFrame, of_pairs: pd.DataFrame, scope: str, x: str, other: str, y: str
) -> Interval:
    """|rho(x, y)| - |rho(other, y)| in a scope of one correlation a seed: above 0, x tells more."""
    one, two = (_by_seed(runs, of_pairs, scope, c, y) for c in (x, other))
    return stats.over_seeds(lambda a, b: abs(a.mean()) - abs(b.mean()), one.index, one, two)


def _by_seed(runs: pd.DataFrame, of_pairs: pd.DataFrame, scope: str, x: str, y: str) -> pd.Series:
    """Spearman's correlation a seed: across levels, or averaged over the runs of the seed."""
    if scope == SCOPES[3]:
        of_run = _in_groups(of_pairs, "key", x, y)
        return of_run.groupby(of_pairs.groupby("key")["seed"].first()).mean()
    source = next(s for s, name in SOURCES.items() if scope.endswith(name))
    return _in_groups(runs[runs["source"] == source], "seed", x, y)


def _in_groups(table: pd.DataFrame, group: str, x: str, y: str) -> pd.Series:
    """Spearman's correlation in each group."""
    return pd.Series(
        {
            name: _correlation(rankdata(rows[x]), rankdata(rows[y]))
            for name, rows in table.groupby(group)
        }
    )


def _correlation(a: Floats, b: Floats) -> float:
    return float(np.corrcoef(a, b)[0, 1]) if np.ptp(a) and np.ptp(b) else float("nan")


def paths(runs: pd.DataFrame) -> dict[tuple[str, int], Floats]:
    """(source, level) -> (P, 2): mean margin and mean u of its runs, from the start to the end.

    At the start, at those margins that all seeds reached, and after the last step.
    """
    found = {}
    for setting, group in runs.groupby(SETTING):
        there = [
            (float(goal), float(group[f"u_at_margin_{goal}"].mean()))
            for goal in ("2", "5", "10")
            if group[f"steps_to_margin_{goal}"].notna().all()
        ]
        end = (float(group["margin"].mean()), float(group["u"].mean()))
        found[setting] = np.array([(0.0, 0.0), *there, end])
    return found


def verdict(pace: Interval, by_steps: Interval, by_margin: Interval, chance: float) -> str:
    """What SFT decides, in words.

    `pace`: how many times as many steps the highest level takes to the same margin as the lowest;
    `by_steps`, `by_margin`: what part of the variance of the preferred's change lies between levels
    at the same number of steps and at the same margin, where `chance` alone would give as much.

    >>> verdict(Interval(9, 8, 10), Interval(0.8, 0.7, 0.9), Interval(0.1, 0.05, 0.3), 0.08)
    'the pace and not the path'
    """
    slower = 1 not in pace
    path = by_margin.low > chance and by_margin.value > by_steps.value / 2
    words: dict[tuple[bool, bool], str] = {
        (True, False): "the pace and not the path",
        (True, True): "the pace and the path",
        (False, True): "the path and not the pace",
        (False, False): "neither the pace nor the path",
    }
    return words[slower, path]
