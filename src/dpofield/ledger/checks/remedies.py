"""Checks on recorded runs of thirteen losses: the objective, and the preferred responses."""

from __future__ import annotations

from functools import lru_cache

import pandas as pd

from dpofield.experiments.findings import remedies
from dpofield.experiments.tables import recorded


@lru_cache
def _runs() -> pd.DataFrame:
    return recorded("remedies")


@lru_cache
def _chosen(off_reward: float | None = None) -> pd.DataFrame:
    """One row per loss and seed, at the learning rate that is best on the other seeds."""
    return remedies.crossfit(remedies.outcomes(_runs(), off_reward))


def ahead() -> str:
    """Chi-squared and RPO have a higher objective than DPO, all at cross-fitted rates."""
    found = {x: remedies.against(_chosen(), "objective", x) for x in ("chi2", "rpo")}
    assert found["chi2"].low > 0.2, f"{found['chi2']}"
    assert found["rpo"].low > 0, f"{found['rpo']}"
    wins = {x: remedies.seeds_above(_chosen(), "objective", x) for x in found}
    return "; ".join(f"{x}: {f} above DPO, in {wins[x]} of 10 seeds" for x, f in found.items())


def preferred() -> str:
    """DPOP: fewer preferred responses fall, and no gain; chi-squared: as many fall, and a gain."""
    fell, gain = (
        {x: remedies.against(_chosen(), column, x) for x in ("dpop", "chi2")}
        for column in ("fell", "objective")
    )
    assert fell["dpop"].high < -0.2, f"{fell['dpop']}"
    assert gain["dpop"].high < 0, f"{gain['dpop']}"
    assert abs(fell["chi2"].value) < 0.05, f"{fell['chi2']}"
    assert gain["chi2"].low > 0
    return (
        f"less DPO, share that fell and objective: DPOP {fell['dpop']} and {gain['dpop']}, "
        f"chi-squared {fell['chi2']} and {gain['chi2']}"
    )


def price() -> str:
    """If texts off the grammar have reward 0, the mean, most of the gain disappears."""
    found = {x: remedies.against(_chosen(0.0), "objective", x) for x in ("chi2", "rpo", "orpo")}
    assert found["chi2"].value < 0.2, f"{found['chi2']}"
    assert 0 in found["rpo"], f"{found['rpo']}"
    assert found["orpo"].high < 0, f"{found['orpo']}"
    return "; ".join(f"{x}: {f} above DPO" for x, f in found.items())


def tilt() -> str:
    """Rank correlation over losses between the tilt at the start and the share that fell."""
    table = remedies.outcomes(_runs())
    one = table[table["lr"] == 1e-4]
    slope = remedies.tilt_at_start(_runs())
    found = remedies.rank_over_losses(one, "fell", slope)
    assert found.high < -0.2, f"{found}"
    means = one.groupby("loss")["fell"].mean()
    equal = means[slope.index[(slope - 1).abs() < 1e-9]]
    assert len(equal) == 8
    assert equal.max() - equal.min() > 0.5
    return (
        f"rank correlation {found}; among the {len(equal)} losses of tilt 1 the share that fell "
        f"is {equal.min():.2f} to {equal.max():.2f}"
    )
