"""SFT levels: pace and path are separated, and correlations are found in the right scope."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dpofield.experiments.config import Config
from dpofield.experiments.findings import sft_quality as sft
from dpofield.experiments.findings.sft_quality import Scope, Verdict
from dpofield.experiments.stats import Interval
from tests.experiments.made_runs import pair, run, table

LEVELS, SEEDS = (25, 100, 400), range(8)


def grid(**columns: object) -> pd.DataFrame:
    """One row per (source, level, seed); a column is a function of level, seed and noise."""
    chance = np.random.default_rng(0)
    rows = []
    for source in sft.SOURCES:
        for level in LEVELS:
            for seed in SEEDS:
                row: dict[str, object] = {"source": source, "sft_steps": level, "seed": seed}
                row |= {n: f(level, seed, chance.normal()) for n, f in columns.items()}  # type: ignore[operator]
                rows.append(row)
    return pd.DataFrame(rows)


def test_a_planted_factor_and_a_planted_shift() -> None:
    """Seeds are paired: a shift of all levels of a seed does not make the interval wider."""
    runs = grid(
        steps=lambda level, seed, _: level * (1 + seed),
        u=lambda level, seed, e: np.log(level) + 100 * seed + 0.01 * e,
    )
    assert sft.times(runs, "steps", 25, 400) == pytest.approx((16, 16, 16))
    found = sft.moved(runs, "u", 25, 400, "model")
    assert found.low < np.log(16) < found.high
    assert found.high - found.low < 0.1
    assert abs(sft.on_over_off(runs, "u", 100).value) < 0.02


def test_a_level_with_a_lost_seed_has_no_mean() -> None:
    """The mean is nan if a seed has no value: a mean of the fast seeds only would be biased."""
    runs = grid(reached=lambda level, seed, _: np.nan if level == 400 and seed == 3 else 5.0)
    found = sft.by_level(runs, "reached").set_index(sft.SETTING)["value"]
    assert found["grammar", 100] == 5
    assert np.isnan(found["grammar", 400])
    assert np.isnan(found["model", 400])


def test_explained_variance() -> None:
    """Eta squared for a full, no and partial effect of the level, and its value by chance."""
    runs = grid(
        all=lambda level, seed, _: level,
        none=lambda level, seed, e: e,
        half=lambda level, seed, e: np.log(level) + e,
    )
    off = runs[runs["source"] == "grammar"]
    assert sft.explained(off, "all").value == pytest.approx(1)
    assert sft.explained(off, "none").value < 3 * sft.by_chance(off)
    assert sft.by_chance(off) < sft.explained(off, "half").value < 1
    assert sft.by_chance(off) == pytest.approx(2 / 23)


def test_a_cause_across_levels_is_none_within_them() -> None:
    """x depends on the level off-policy only; y depends on the level, and on z within it."""
    runs = grid(
        x=lambda level, seed, e: e,
        z=lambda level, seed, e: e,
        y=lambda level, seed, _: -float(level),
    )
    runs.loc[runs["source"] == "grammar", "x"] += runs["sft_steps"]
    runs["y"] += 0.1 * runs["z"]
    levels_off, levels_on, seeds, _ = (
        sft.prediction(runs, runs, s, "x", "y") if s is not Scope.PAIRS else None for s in Scope
    )
    assert levels_off == (-1, -1, -1)
    assert 0 in levels_on
    assert 0 in seeds
    assert sft.prediction(runs, runs, Scope.SEEDS, "z", "y").value > 0.99


def made(level: int, seed: int, chance: np.random.Generator) -> dict[str, object]:
    """A run in which u and the pace of a pair depend on its push only."""
    lw, ll = chance.normal(-8, 1, size=(2, 12))
    ww, ll2, wl = (chance.uniform(a, b, 12) for a, b in ((90, 110), (90, 110), (0, 20)))
    push_w = chance.normal(1, 0.5, 12)
    rows = [
        pair(
            "soup at the harbour :", f"w{i}", f"l{i}", ref_logp_w=lw[i], ref_logp_l=ll[i],
            kernel_ww=ww[i], kernel_wl=wl[i], kernel_ll=ll2[i], push_w=push_w[i], push_l=-1.0,
            u_at_margin_2=push_w[i] ** 3,
            own_steps_to_margin_2=np.nan if i == 0 else 10 / push_w[i],
        )
        for i in range(12)
    ]  # fmt: skip
    config = Config(sft_steps=level, sft_seed=seed, pairs_seed=seed, seed=seed)
    return run(config, rows)


@pytest.fixture(scope="module")
def some() -> pd.DataFrame:
    """Two levels, six seeds, off-policy."""
    chance = np.random.default_rng(2)
    rows = table([made(level, seed, chance) for level in (25, 100) for seed in range(6)])
    rows["steps_to_margin_2"], rows["u"], rows["v"] = 10.0, -1.0, -5.0
    for name in ("reward_on_grammar", "off_grammar"):
        rows[f"{name}_before"], rows[f"{name}_after"] = 0.1, 0.2
    rows["kl_on_grammar"], rows["kl_off_grammar_bound"] = 1.0, 0.5
    return rows


def test_pairs_of_a_run(some: pd.DataFrame) -> None:
    """The planted push predicts u; the start and the pair's own kernel do not."""
    runs, of_pairs = sft.prepare(some), sft.pairs(some)
    last = Scope.PAIRS
    assert sft.prediction(
        runs, of_pairs, last, "preferred_share", "u_at_margin_2"
    ).value == pytest.approx(1)
    assert abs(sft.prediction(runs, of_pairs, last, "ref_logp_w", "u_at_margin_2").value) < 0.25
    assert abs(sft.prediction(runs, of_pairs, last, "own_share", "u_at_margin_2").value) < 0.25
    assert (
        sft.stronger(runs, of_pairs, last, "preferred_share", "ref_logp_w", "u_at_margin_2").low
        > 0.5
    )
    assert (
        sft.stronger(runs, of_pairs, last, "ref_logp_w", "preferred_share", "u_at_margin_2").high
        < -0.5
    )


def test_a_pair_that_never_gets_there_is_the_slowest(some: pd.DataFrame) -> None:
    """A pair that never reaches the margin has the lowest speed and is not left out."""
    of_pairs = sft.pairs(some)
    slow = of_pairs.groupby("key")["speed"].transform("min") == of_pairs["speed"]
    assert (of_pairs.loc[slow, "preferred"] == "w0").all()
    assert slow.sum() == len(some)


def test_shares_of_pairs_add_up_to_that_of_the_run(some: pd.DataFrame) -> None:
    """The mean of the pairs' `preferred_share` is that of the run."""
    runs, of_pairs = sft.prepare(some), sft.pairs(some)
    means = of_pairs.groupby("key")["preferred_share"].mean()
    assert means.to_numpy() == pytest.approx(
        runs.set_index("key")["preferred_share"][means.index].to_numpy()
    )
    assert runs["margin"].eq(4).all()
    assert runs["kl"].eq(1.5).all()
    assert (runs["reward_after"] < runs["reward_before"]).all()  # more is off the grammar


def test_paths_stop_where_a_seed_is_lost(some: pd.DataFrame) -> None:
    """The mean path has no point at a margin that one seed does not reach."""
    runs = sft.prepare(some)
    runs["steps_to_margin_5"] = np.where(runs["seed"] == 1, np.nan, 20.0)
    runs["steps_to_margin_10"], runs["u_at_margin_5"], runs["u_at_margin_10"] = np.nan, -0.5, np.nan
    way = sft.paths(runs)["grammar", 25]
    assert way[:, 0].tolist() == [0, 2, 4]
    assert way[-1, 1] == -1


@pytest.mark.parametrize(
    ("pace", "by_margin", "expected"),
    [
        (Interval(9, 8, 10), Interval(0.1, 0.04, 0.3), Verdict.PACE),
        (Interval(9, 8, 10), Interval(0.7, 0.6, 0.8), Verdict.BOTH),
        (Interval(1, 0.9, 1.1), Interval(0.7, 0.6, 0.8), Verdict.PATH),
        (Interval(1, 0.9, 1.1), Interval(0.1, 0.04, 0.3), Verdict.NEITHER),
    ],
)
def test_verdicts(pace: Interval, by_margin: Interval, expected: Verdict) -> None:
    """Each combination of pace and path has its verdict."""
    assert sft.verdict(pace, Interval(0.8, 0.7, 0.9), by_margin, 0.08) is expected
