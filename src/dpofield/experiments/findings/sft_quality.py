"""How the SFT level changes DPO, from the runs of the plan "sft-quality".

There are two outcomes. *Pace*: the number of steps after which the mean margin u - v is 2 nats.
*Path*: the preferred response's log-ratio u at that step. Frames have one row per run or per pair.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dpofield.experiments import stats
from dpofield.experiments.columns import per_pair
from dpofield.experiments.findings.where_the_mass_goes import with_off_grammar
from dpofield.experiments.margins import MARGINS
from dpofield.experiments.stats import Interval

Floats = NDArray[np.float64]

SOURCES = {"grammar": "off-policy", "model": "on-policy"}
"""Source of a run's pairs -> its label."""

SETTING = ["source", "sft_steps"]

GOAL = 2
"""A margin in nats that every run reaches, so that comparisons include all runs."""

START = ("ref_logp_w", "ref_logp_l", "ref_logp_gap")
OWN = {"pace": "own_growth", "path": "own_share"}
PUSH = {"pace": "margin_growth", "path": "preferred_share"}
OUTCOME = {"pace": "speed", "path": f"u_at_margin_{GOAL}"}
"""The columns that predict pace and path, and the column of each outcome."""


class Scope(StrEnum):
    """The units between which predictor and outcome are correlated; the value is the label."""

    LEVELS_OFF_POLICY = "levels, off-policy"
    LEVELS_ON_POLICY = "levels, on-policy"
    SEEDS = "seeds of a setting"
    PAIRS = "pairs of a run"


_LEVELS = {Scope.LEVELS_OFF_POLICY: "grammar", Scope.LEVELS_ON_POLICY: "model"}


def prepare(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with the quantities of the chapter, one row per run.

    - Start: `ref_logp_gap`, log(pi_l / pi_w), log ratio of the field's two components in the
      probability chart.
    - Kernel, terms of a pair by itself: `own_growth`, K_ww - 2 K_wl + K_ll, the initial growth of
      its margin; `own_share`, the preferred response's share of this growth; `kernel_ratio`,
      K_wl / K_ww.
    - First step on all pairs: `margin_growth` of the mean margin; `preferred_share`, the preferred
      response's share of this growth.
    - Outcome: `margin` after the last step; `speed`, minus the number of steps to the margin
      `GOAL`; `reward_on_grammar_gain`; `reward_before`, `reward_after` and `reward_gain`, where
      texts off the grammar have the lowest reward of all responses; `kl`, a lower bound.
    """
    made = _start(runs)
    made["preferred_share"] = made["push_w"] / made["margin_growth"]
    made["margin"] = made["u"] - made["v"]
    made["speed"] = -made[f"steps_to_margin_{GOAL}"]
    for when in ("before", "after"):
        on_grammar, off = made[f"reward_on_grammar_{when}"], made[f"off_grammar_{when}"]
        made[f"reward_{when}"] = with_off_grammar(on_grammar, off)
    for reward in ("reward", "reward_on_grammar"):
        made[f"{reward}_gain"] = made[f"{reward}_after"] - made[f"{reward}_before"]
    made["kl"] = made["kl_on_grammar"] + made["kl_off_grammar_bound"]
    return made


def pairs(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per pair with the predictors of `prepare`, and `speed` for the pair's own margin.

    `preferred_share` is the first push on the pair's preferred response over the initial growth of
    the run's mean margin. Pairs that never reach the margin have the lowest speed, minus infinity.
    """
    made = _start(per_pair(runs))
    growth = made.groupby("key")["margin_growth"].transform("mean")
    made["preferred_share"] = made["push_w"] / growth
    made["speed"] = -made[f"own_steps_to_margin_{GOAL}"].fillna(np.inf)
    return made


def _start(table: pd.DataFrame) -> pd.DataFrame:
    ww, wl, ll = table["kernel_ww"], table["kernel_wl"], table["kernel_ll"]
    return table.assign(
        ref_logp_gap=table["ref_logp_l"] - table["ref_logp_w"],
        own_growth=ww - 2 * wl + ll,
        own_share=(ww - wl) / (ww - 2 * wl + ll),
        kernel_ratio=wl / ww,
        margin_growth=table["push_w"] - table["push_l"],
    )


def by_level(runs: pd.DataFrame, column: str) -> pd.DataFrame:
    """source, sft_steps, value, low, high: the mean of a column over the seeds of each setting.

    The mean is nan if a seed has no value, because the mean of the other seeds would be biased.
    """
    rows = []
    for (source, level), group in runs.groupby(SETTING):
        whole = not group[column].isna().any()
        found = stats.of_seeds(group[column]) if whole else stats.UNKNOWN
        rows.append((source, level, *found))
    return pd.DataFrame(rows, columns=[*SETTING, "value", "low", "high"])


def _of(runs: pd.DataFrame, column: str, source: str, level: int) -> pd.Series:
    chosen = runs[(runs["source"] == source) & (runs["sft_steps"] == level)]
    return chosen.set_index("seed")[column]


def moved(
    runs: pd.DataFrame, column: str, low: int, high: int, source: str = "grammar"
) -> Interval:
    """Mean difference of a column, SFT level `high` minus level `low`, paired by seed."""
    return stats.of_seeds(_of(runs, column, source, high) - _of(runs, column, source, low))


def times(
    runs: pd.DataFrame, column: str, low: int, high: int, source: str = "grammar"
) -> Interval:
    """Geometric mean of the ratio of a positive column, level `high` over `low`, paired by seed."""
    return stats.geometric(_of(runs, column, source, high) / _of(runs, column, source, low))


def on_over_off(runs: pd.DataFrame, column: str, level: int) -> Interval:
    """Mean difference of a column at one level, on-policy minus off-policy, paired by seed."""
    gaps = _of(runs, column, "model", level) - _of(runs, column, "grammar", level)
    return stats.of_seeds(gaps)


def explained(runs: pd.DataFrame, column: str) -> Interval:
    """Eta squared: the share of a column's variance over runs that lies between the settings.

    Its expected value without any effect is `by_chance`, not 0. Runs without a value are left out.
    """
    setting = runs.groupby(SETTING).ngroup()
    return stats.over_seeds(stats.eta_squared, runs["seed"], setting, runs[column])


def by_chance(runs: pd.DataFrame) -> float:
    """Expected eta squared for k settings that do not differ, with n runs: (k - 1) / (n - 1)."""
    return (int(runs.groupby(SETTING).ngroups) - 1) / (len(runs) - 1)


def predictions(runs: pd.DataFrame) -> pd.DataFrame:
    """How well pace and path are predicted before DPO: outcome, scope, x, value, low, high.

    Values are Spearman's rank correlations in each `Scope`: across SFT levels, one correlation per
    seed and source of pairs; across the seeds of a setting, by ranks within the setting; across the
    pairs of a run, one correlation per run. `runs` is the table from `prepare`, without untrained
    models.
    """
    of_pairs, rows = pairs(runs), []
    for outcome, y in OUTCOME.items():
        for x in (*START, OWN[outcome], PUSH[outcome]):
            for scope in Scope:
                found = prediction(runs, of_pairs, scope, x, y)
                rows.append((outcome, scope, x, *found))
    return pd.DataFrame(rows, columns=["outcome", "scope", "x", "value", "low", "high"])


def prediction(
    runs: pd.DataFrame, of_pairs: pd.DataFrame, scope: Scope, x: str, y: str
) -> Interval:
    """The interval of one row of `predictions`."""
    if scope is Scope.SEEDS:
        return stats.rho_across_seeds(runs, SETTING, x, y)
    return stats.of_seeds(_within(runs, of_pairs, scope, x, y))


def stronger(
    runs: pd.DataFrame, of_pairs: pd.DataFrame, scope: Scope, x: str, other: str, y: str
) -> Interval:
    """|rho(x, y)| - |rho(other, y)| in a scope; positive if x predicts y better than `other` does.

    Raises `ValueError` for `Scope.SEEDS`, which has no correlation per seed.
    """
    return stats.stronger(*(_within(runs, of_pairs, scope, c, y) for c in (x, other)))


def _within(runs: pd.DataFrame, of_pairs: pd.DataFrame, scope: Scope, x: str, y: str) -> pd.Series:
    """Spearman's correlation per seed: across levels, or averaged over the runs of the seed."""
    if scope is Scope.PAIRS:
        return stats.within(of_pairs, ["key"], stats.rho, x, y)
    if scope not in _LEVELS:
        raise ValueError(f"scope {scope.name} has no correlation per seed: take prediction")
    return stats.within(runs[runs["source"] == _LEVELS[scope]], [], stats.rho, x, y)


def paths(runs: pd.DataFrame) -> dict[tuple[str, int], Floats]:
    """(source, level) -> (P, 2): mean margin and mean u of its runs, at P points.

    The points are the start, the margins that all seeds reach, and the last step.
    """
    found = {}
    for setting, group in runs.groupby(SETTING):
        reached = [
            (float(goal), float(group[f"u_at_margin_{goal}"].mean()))
            for goal in MARGINS
            if group[f"steps_to_margin_{goal}"].notna().all()
        ]
        end = (float(group["margin"].mean()), float(group["u"].mean()))
        found[setting] = np.array([(0.0, 0.0), *reached, end])
    return found


class Verdict(StrEnum):
    """Which outcomes depend on the SFT level; the value is the label."""

    PACE = "the pace and not the path"
    BOTH = "the pace and the path"
    PATH = "the path and not the pace"
    NEITHER = "neither the pace nor the path"


def verdict(pace: Interval, by_steps: Interval, by_margin: Interval, chance: float) -> Verdict:
    """Which outcomes depend on the SFT level.

    `pace`: steps to the same margin, ratio of the highest to the lowest level. `by_steps`,
    `by_margin`: share of the variance of the preferred response's change that lies between levels,
    at the same number of steps and at the same margin. `chance`: see `by_chance`.

    >>> verdict(Interval(9, 8, 10), Interval(0.8, 0.7, 0.9), Interval(0.1, 0.05, 0.3), 0.08).value
    'the pace and not the path'
    """
    slower = 1 not in pace
    path = by_margin.low > chance and by_margin.value > by_steps.value / 2
    if slower:
        return Verdict.BOTH if path else Verdict.PACE
    return Verdict.PATH if path else Verdict.NEITHER
