"""Statistics against scipy called by hand, and intervals that know that seeds are the unit."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from dpofield.experiments import stats

SEEDS = np.repeat(np.arange(10), 20)


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=len(SEEDS))


def test_values_are_those_of_all_rows() -> None:
    """The statistic itself is no bootstrap mean, and nan rows are left out."""
    x, y = noise(0), noise(0) + noise(1)
    assert stats.spearman(SEEDS, x, y).value == scipy_stats.spearmanr(x, y).statistic
    assert stats.mean(SEEDS, x).value == pytest.approx(x.mean())
    holes = np.where(np.arange(len(x)) % 3 == 0, np.nan, x)
    assert stats.mean(SEEDS, holes).value == pytest.approx(np.nanmean(holes))


def test_the_interval_of_a_mean() -> None:
    """One value a seed: close to the normal-theory interval, a little narrower; and it is fixed."""
    values = np.random.default_rng(3).normal(5, 2, size=30)
    found = stats.mean(np.arange(30), values)
    exact = scipy_stats.t.interval(0.95, 29, values.mean(), values.std(ddof=1) / np.sqrt(30))
    assert found.low == pytest.approx(exact[0], abs=0.25)
    assert found.high == pytest.approx(exact[1], abs=0.25)
    assert stats.mean(np.arange(30), values) == found


def test_one_value_a_seed_is_a_short_way_to_the_same_interval() -> None:
    """`of_seeds` draws the same seeds as `mean`, leaves nan out, and refuses a single seed."""
    values = np.random.default_rng(5).normal(2, 1, size=10)
    assert stats.of_seeds(values) == pytest.approx(stats.mean(np.arange(10), values))
    holes = np.append(values, np.nan)
    assert stats.of_seeds(holes) == stats.of_seeds(values)
    with pytest.raises(ValueError, match="1 seeds have values"):
        stats.of_seeds([1.0, np.nan])


def test_a_seed_is_one_repetition() -> None:
    """Rows of a seed that say the same are no more evidence than one of them."""
    values = np.random.default_rng(4).normal(size=10)
    assert stats.mean(SEEDS, np.repeat(values, 20)) == pytest.approx(
        stats.mean(np.arange(10), values)
    )


def test_intervals_cover() -> None:
    """Of 60 intervals for a known mean, most hold it: 95 % in theory, a little less in fact."""
    held = 0
    for number in range(60):
        values = np.random.default_rng(number).normal(size=12)
        found = stats.mean(np.arange(12), values)
        held += found.low <= 0 <= found.high
    assert 48 <= held <= 60


def test_which_of_two_predicts_better() -> None:
    """One is y with noise, the other with more: the interval is above 0, and turned round below."""
    y = noise(0)
    good, poor = y + 0.3 * noise(1), -(y + 2 * noise(2))
    assert stats.stronger(SEEDS, good, poor, y).low > 0
    assert stats.stronger(SEEDS, poor, good, y).high < 0
    assert stats.stronger(SEEDS, good, -good, y) == (0, 0, 0)


def test_partial_correlation_takes_the_common_cause_out() -> None:
    """Two effects of one cause are correlated, and not once the cause is given."""
    cause = noise(0)
    x, y = cause + 0.3 * noise(1), cause + 0.3 * noise(2)
    assert stats.spearman(SEEDS, x, y).low > 0.7
    found = stats.partial_spearman(SEEDS, x, y, cause)
    assert abs(found.value) < 0.2
    ranks = [scipy_stats.rankdata(a) for a in (x, y, cause)]
    r = np.corrcoef(ranks)
    formula = (r[0, 1] - r[0, 2] * r[1, 2]) / np.sqrt((1 - r[0, 2] ** 2) * (1 - r[1, 2] ** 2))
    assert found.value == pytest.approx(formula)


def test_area_under_the_curve() -> None:
    """The share of (yes, no) couples that the score puts in order, ties half."""
    score, happened = np.round(noise(0), 1), noise(0) + noise(1) > 0
    yes, no = score[happened], score[~happened]
    couples = np.sign(yes[:, None] - no[None, :])
    found = stats.auc(SEEDS, score, happened)
    assert found.value == pytest.approx((couples.mean() + 1) / 2)
    assert found.low > 0.5


def test_effects() -> None:
    """Mean difference over its deviation, and one difference a seed."""
    values = np.random.default_rng(0).normal(1, 0.5, size=10)
    found = stats.effect(np.arange(10), values)
    assert found.value == pytest.approx(values.mean() / values.std(ddof=1))
    assert found.low > 0
    with pytest.raises(ValueError, match="a seed has several differences: average them first"):
        stats.effect(SEEDS, noise(0))
    assert stats.share([0, 1, 2, 3], [True, False, True, True]).value == 0.75


def test_one_seed_is_no_evidence() -> None:
    """An interval is refused."""
    with pytest.raises(ValueError, match="1 seeds have values: an interval over seeds needs two"):
        stats.mean([3, 3, 3], [1.0, 2.0, 3.0])
