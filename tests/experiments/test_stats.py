"""Statistics against direct calls of scipy, and intervals that resample seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats

from dpofield.experiments import stats

SEEDS = np.repeat(np.arange(10), 20)


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=len(SEEDS))


def test_values_are_those_of_all_rows() -> None:
    """The value is the statistic of all rows, not a bootstrap mean; nan rows are left out."""
    x, y = noise(0), noise(0) + noise(1)
    assert stats.over_seeds(stats.rho, SEEDS, x, y).value == stats.rho(x, y)
    assert stats.mean(SEEDS, x).value == pytest.approx(x.mean())
    holes = np.where(np.arange(len(x)) % 3 == 0, np.nan, x)
    assert stats.mean(SEEDS, holes).value == pytest.approx(np.nanmean(holes))


def test_the_interval_of_a_mean() -> None:
    """The interval of a mean is near Student's interval, and equal in every call."""
    values = np.random.default_rng(3).normal(5, 2, size=30)
    found = stats.mean(np.arange(30), values)
    exact = scipy_stats.t.interval(0.95, 29, values.mean(), values.std(ddof=1) / np.sqrt(30))
    assert found.low == pytest.approx(exact[0], abs=0.25)
    assert found.high == pytest.approx(exact[1], abs=0.25)
    assert stats.mean(np.arange(30), values) == found


def test_of_seeds_is_a_fast_way_to_the_same_interval() -> None:
    """`of_seeds` gives the interval of `mean`, leaves nan out, and raises for a single seed."""
    values = np.random.default_rng(5).normal(2, 1, size=10)
    assert stats.of_seeds(values) == pytest.approx(stats.mean(np.arange(10), values))
    holes = np.append(values, np.nan)
    assert stats.of_seeds(holes) == stats.of_seeds(values)
    with pytest.raises(ValueError, match="1 seeds have values"):
        stats.of_seeds([1.0, np.nan])


def test_a_seed_is_one_repetition() -> None:
    """Copies of a row within a seed do not make the interval narrower."""
    values = np.random.default_rng(4).normal(size=10)
    assert stats.mean(SEEDS, np.repeat(values, 20)) == pytest.approx(
        stats.mean(np.arange(10), values)
    )


def test_intervals_cover() -> None:
    """Most of 60 intervals contain the known mean: about 95 %, and slightly fewer for 12 seeds."""
    held = 0
    for number in range(60):
        values = np.random.default_rng(number).normal(size=12)
        found = stats.mean(np.arange(12), values)
        held += found.low <= 0 <= found.high
    assert 48 <= held <= 60


def frame(**columns: np.ndarray) -> pd.DataFrame:
    """Two runs per seed, ten rows each."""
    run = np.tile(np.repeat([0, 1], 10), 10)
    return pd.DataFrame({"seed": SEEDS, "run": run, **columns})


def test_within_averages_over_the_groups_of_a_seed() -> None:
    """`within` is the mean per seed of one correlation per run; runs without one are left out."""
    rows = frame(x=noise(0), y=noise(0) + noise(1))
    rows.loc[(rows["seed"] == 3) & (rows["run"] == 1), "x"] = 7.0
    found = stats.within(rows, ["run"], stats.rho, "x", "y")
    assert list(found.index) == list(range(10))
    for seed in range(10):
        runs = [g for _, g in rows[rows["seed"] == seed].groupby("run")][: 1 if seed == 3 else 2]
        expected = [scipy_stats.spearmanr(g["x"], g["y"]).statistic for g in runs]
        assert found[seed] == pytest.approx(np.mean(expected))
    whole = stats.within(rows, [], stats.rho, "x", "y")
    own = rows[rows["seed"] == 0]
    assert whole[0] == pytest.approx(scipy_stats.spearmanr(own["x"], own["y"]).statistic)


def test_rows_that_lie_apart_between_groups_make_no_correlation_within() -> None:
    """A shift between runs has no effect on the correlation within runs."""
    rows = frame(x=noise(0), y=noise(1))
    rows[["x", "y"]] += 100 * rows[["run"]].to_numpy()
    assert stats.rho(rows["x"], rows["y"]) > 0.5
    assert abs(stats.within(rows, ["run"], stats.rho, "x", "y").mean()) < 0.15


def test_rank_correlation() -> None:
    """`rho` agrees with scipy for ties and infinite values, and is nan for constant columns."""
    x = np.round(noise(0), 1)
    y = np.where(noise(1) > 1.5, -np.inf, x + noise(1))
    assert stats.rho(x, y) == pytest.approx(scipy_stats.spearmanr(x, y).statistic)
    assert np.isnan(stats.rho(x, np.full(len(x), 2.0)))
    assert np.isnan(stats.rho([1.0, np.nan, 2.0], [1.0, 2.0, 3.0]))


def test_rank_correlation_across_seeds() -> None:
    """Only ranks within a setting matter; a shift of all seeds of a setting has no effect."""
    chance = np.random.default_rng(7)
    rows = pd.DataFrame(
        [(s, seed, 100.0 * s, 100.0 * s) for s in range(4) for seed in range(12)],
        columns=["setting", "seed", "x", "y"],
    )
    x, e = chance.normal(size=(2, len(rows)))
    rows["x"] += x
    none = stats.rho_across_seeds(rows.assign(y=rows["y"] + e), ["setting"], "x", "y")
    assert 0 in none
    planted = rows.assign(y=rows["y"] + x + e)
    found = stats.rho_across_seeds(planted, ["setting"], "x", "y")
    each = [scipy_stats.spearmanr(g["x"], g["y"]).statistic for _, g in planted.groupby("setting")]
    assert found.value == pytest.approx(np.mean(each))
    assert 0 < found.low < found.value < found.high
    stretched = planted.assign(y=np.exp(planted["y"] / 100))
    again = stats.rho_across_seeds(stretched.sample(frac=1, random_state=0), ["setting"], "x", "y")
    assert again == pytest.approx(found)
    mixed = planted.assign(
        seed=chance.permuted(planted["seed"].to_numpy().reshape(4, 12), axis=1).ravel()
    )
    assert stats.rho_across_seeds(mixed, ["setting"], "x", "y").value == pytest.approx(found.value)


def test_which_of_two_predicts_better() -> None:
    """The predictor with less noise is stronger; with exchanged arguments the sign changes."""
    y = noise(0)
    rows = frame(y=y, good=y + 0.3 * noise(1), poor=-(y + 2 * noise(2)))
    good, poor = (stats.within(rows, ["run"], stats.rho, c, "y") for c in ("good", "poor"))
    assert stats.stronger(good, poor).low > 0
    assert stats.stronger(poor, good).high < 0
    assert stats.stronger(good, -good) == (0, 0, 0)
    # Large correlations with different signs per seed have a small mean.
    flips = pd.Series(np.where(np.arange(10) % 2, 0.8, -0.8), index=good.index)
    assert stats.stronger(good, flips).value == pytest.approx(abs(good.mean()))
    assert stats.of_seeds(stats.oriented(good) - stats.oriented(poor)).value == pytest.approx(
        stats.stronger(good, poor).value
    )


def test_partial_correlation_takes_the_common_cause_out() -> None:
    """Two effects of one cause are correlated, but not given the cause."""
    cause = noise(0)
    x, y = cause + 0.3 * noise(1), cause + 0.3 * noise(2)
    assert stats.rho(x, y) > 0.7
    found = stats.partial_rho(x, y, cause)
    assert abs(found) < 0.2
    z = np.column_stack([np.ones(len(cause)), scipy_stats.rankdata(cause)])
    left = [
        ranks - z @ np.linalg.lstsq(z, ranks, rcond=None)[0]
        for ranks in (scipy_stats.rankdata(x), scipy_stats.rankdata(y))
    ]
    assert found == pytest.approx(np.corrcoef(*left)[0, 1])
    assert np.isnan(stats.partial_rho(x, y, 3 * x))  # 3x has the ranks of x


def test_area_under_the_curve() -> None:
    """AUC is the share of (yes, no) couples in the order of the score; ties count half."""
    score, happened = np.round(noise(0), 1), noise(0) + noise(1) > 0
    yes, no = score[happened], score[~happened]
    couples = np.sign(yes[:, None] - no[None, :])
    assert stats.auc(score, happened) == pytest.approx((couples.mean() + 1) / 2)
    assert stats.auc(np.ones(len(score)), happened) == 0.5
    assert np.isnan(stats.auc(score, np.ones(len(score))))


def test_explained_variance() -> None:
    """Eta squared is 1 for groups, (k - 1) / (n - 1) for noise, and independent of units."""
    groups = np.repeat([25, 100, 400], 8)
    y = np.log(groups) + np.random.default_rng(2).normal(size=24)
    assert stats.eta_squared(groups, groups) == pytest.approx(1)
    assert stats.eta_squared(groups, y) == pytest.approx(stats.eta_squared(groups, 7 - 3 * y))
    chance = np.random.default_rng(1)
    dealt = [stats.eta_squared(groups, chance.normal(size=24)) for _ in range(2000)]
    assert np.mean(dealt) == pytest.approx(2 / 23, abs=0.01)


def test_geometric_means() -> None:
    """The geometric mean and its interval are those of the logarithms, for any unit."""
    ratios = np.exp(np.random.default_rng(6).normal(1, 0.5, size=10))
    found, logs = stats.geometric(ratios), stats.of_seeds(np.log(ratios))
    assert tuple(np.log(found)) == pytest.approx(tuple(logs))
    assert stats.geometric(3 * ratios).value == pytest.approx(3 * found.value)


def test_one_seed_is_no_evidence() -> None:
    """An interval over one seed raises."""
    with pytest.raises(ValueError, match="1 seeds have values: an interval over seeds needs two"):
        stats.mean([3, 3, 3], [1.0, 2.0, 3.0])
