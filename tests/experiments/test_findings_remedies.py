"""Remedies: cross-fitting of the rate, paired differences, outcomes, ranks over losses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dpofield.experiments.findings import remedies
from dpofield.experiments.plans import REMEDIES
from dpofield.figures.remedies import MARKED

SEEDS = range(8)


def test_no_seed_is_judged_by_a_choice_it_took_part_in() -> None:
    """The outlier of seed 0 at rate 1 changes the choice for all seeds except seed 0."""
    rows = [
        ("a", lr, seed, lr + (100.0 if seed == 0 and lr == 1 else 0.0))
        for lr in (1.0, 2.0) for seed in SEEDS
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["loss", "lr", "seed", "objective"])
    chosen = remedies.crossfit(table).set_index("seed")["lr"]
    assert chosen[0] == 2
    assert (chosen.drop(0) == 1).all()
    with pytest.raises(ValueError, match="same seeds"):
        remedies.crossfit(table.iloc[1:])


def test_choosing_among_equal_rates_gains_nothing() -> None:
    """For pure noise, cross-fitting is unbiased, and the best rate per seed is biased upwards."""
    rng = np.random.default_rng(0)
    fair, greedy = [], []
    for _ in range(200):
        table = pd.DataFrame(
            [("a", lr, seed, rng.normal()) for lr in (1, 2, 3) for seed in SEEDS],
            columns=["loss", "lr", "seed", "objective"],
        )
        fair.append(remedies.crossfit(table)["objective"].mean())
        greedy.append(table.groupby("seed")["objective"].max().mean())
    assert np.mean(greedy) > 0.5
    assert np.mean(fair) < 0.05


def planted(shift: float) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        [(loss, seed, 50.0 * seed + add + 0.01 * rng.normal())
         for loss, add in (("dpo", 0.0), ("x", shift)) for seed in SEEDS],
        columns=["loss", "seed", "reward"],
    )  # fmt: skip


def test_differences_are_paired() -> None:
    """A shift of all losses of a seed does not make the interval wider."""
    found = remedies.against(planted(0.3), "reward", "x")
    assert found.low < 0.31
    assert found.high > 0.29
    assert found.high - found.low < 0.05
    assert remedies.seeds_above(planted(0.3), "reward", "x") == len(SEEDS)
    assert abs(remedies.against(planted(0.0), "reward", "x").value) < 0.02
    assert abs(remedies.against(planted(0.3), "reward", "dpo").value) == 0


def test_outcomes_of_one_run() -> None:
    """Outcomes of a run with half its mass off the grammar (reward -1); two of four pairs fell."""
    row = {
        "loss": "dpo", "lr": 1e-4, "seed": 0, "u": -1.0, "v": -3.0, "cpu_s": 1.0,
        "prompt_reward_on_grammar_after": [1.0, 3.0], "reward_on_grammar_after": 2.0,
        "prompt_off_grammar_after": [0.5, 0.5], "off_grammar_after": 0.5, "kl_on_grammar": 1.0,
        "kl_off_grammar_bound": 0.5, "pair_u": [-1.0, -2.0, 0.0, 1.0],
    }  # fmt: skip
    (found,) = remedies.outcomes(pd.DataFrame([row]), -1.0).to_dict("records")
    assert found["reward"] == pytest.approx((0.5 * 1 - 0.5 + 0.5 * 3 - 0.5) / 2)
    assert found["objective"] == pytest.approx(found["reward"] - 0.1 * 1.5)
    assert (found["fell"], found["margin"]) == (0.5, 2.0)


def test_reward_at_a_kl() -> None:
    """Values are interpolated between the start and the rates, and nan beyond the largest KL."""
    table = pd.DataFrame({"loss": "a", "lr": [1.0, 2.0], "seed": 0, "kl": [1.0, 2.0],
                          "reward": [2.0, 6.0]})  # fmt: skip
    start = pd.DataFrame({"seed": [0], "reward": [0.0]})
    at = [remedies.at_kl(table, start, "reward", kl)["reward"].item() for kl in (0.5, 1.5, 3.0)]
    assert at[:2] == [1.0, 4.0]
    assert np.isnan(at[2])


def test_ranks_over_losses() -> None:
    """Shifts per seed do not change the rank correlation; a reversed predictor changes its sign."""
    rng = np.random.default_rng(2)
    table = pd.DataFrame(
        [(x, seed, k + 9.0 * seed + 0.1 * rng.normal())
         for k, x in enumerate("abcde") for seed in SEEDS],
        columns=["loss", "seed", "u"],
    )  # fmt: skip
    known = pd.Series(dict(zip("abcde", (1.0, 2.0, 4.0, 8.0, 16.0), strict=True)))
    assert remedies.rank_over_losses(table, "u", known) == pytest.approx((1, 1, 1))
    assert remedies.rank_over_losses(table, "u", -known).value == pytest.approx(-1)


def test_marked_losses_are_trained() -> None:
    assert set(MARKED) < set(REMEDIES)
