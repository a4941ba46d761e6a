"""Edit distance: known effects in synthetic tables are found, and no other effects."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dpofield.experiments.config import Config
from dpofield.experiments.findings import edit_distance as edits
from dpofield.experiments.findings.edit_distance import Scope, Way
from dpofield.experiments.stats import Interval
from tests.experiments.made_runs import pair, run, table

DISTANCES = (1, 2, 3, 4, 6, 8, None)


def made(rise: float, push: float, seeds: int = 5) -> pd.DataFrame:
    """Sets whose mean u rises with the log of distance; within a set, u rises with `push_w`."""
    rows = []
    for seed in range(seeds):
        chance = np.random.default_rng(seed)
        for distance in DISTANCES:
            d = distance or 6.5
            level, shoves = rise * np.log(d) + 0.2 * chance.normal(), chance.normal(size=24)
            pairs = [
                pair("p", "a", "b", levenshtein=distance or float(chance.integers(2, 12)),
                     kernel_ww=1.0, kernel_ll=1.0, kernel_wl=0.9 - 0.1 * d + 0.05 * chance.normal(),
                     gradient_cosine=0.9 - 0.1 * d + 0.05 * chance.normal(),
                     ches=-d + chance.normal(), ches_normalised=-d + chance.normal(),
                     push_w=shove, push_l=-1.0, u_at_margin_5=(u := level + push * shove
                     + chance.normal()), v_at_margin_5=u - 5, u=0.0, v=-9.0)
                for shove in shoves
            ]  # fmt: skip
            config = Config(edit_distance=distance, seed=seed, sft_seed=seed, pairs_seed=seed)
            rows.append(run(config, pairs))
    return table(rows)


@pytest.fixture(scope="module")
def planted() -> tuple[pd.DataFrame, pd.DataFrame]:
    runs = made(rise=2.0, push=2.0)
    return edits.prepare(runs), edits.pairs(runs)


def test_correlations_between_distances_and_within_sets_differ(planted) -> None:
    """Cosine and distance predict the means of sets; within sets, only the push predicts u."""
    runs, pairs = planted
    assert edits.prediction(runs, pairs, Scope.DISTANCES, "levenshtein").low > 0.7
    assert edits.prediction(runs, pairs, Scope.DISTANCES, "gradient_cosine").high < -0.7
    assert abs(edits.prediction(runs, pairs, Scope.PAIRS, "gradient_cosine").value) < 0.2
    assert edits.prediction(runs, pairs, Scope.PAIRS, "push_w").low > 0.7
    assert edits.stronger(runs, pairs, Scope.PAIRS, "push_w", "gradient_cosine").low > 0.5
    assert 0 in edits.stronger(runs, pairs, Scope.DISTANCES, "gradient_cosine", "levenshtein")
    assert edits.auc(pairs, "push_w").high < 0.3 < edits.auc(pairs, "gradient_cosine").low


def test_no_effect_is_not_found() -> None:
    """Without a planted effect, correlations are small between sets and within sets."""
    runs = made(rise=0.0, push=0.0, seeds=8)
    frame, pairs = edits.prepare(runs), edits.pairs(runs)
    assert abs(edits.prediction(frame, pairs, Scope.DISTANCES, "levenshtein").value) < 0.5
    for x in ("gradient_cosine", "push_w"):
        assert abs(edits.prediction(frame, pairs, Scope.PAIRS, x).value) < 0.2
        assert abs(edits.beyond(frame, pairs, Scope.OPEN_DISTANCE, x, "levenshtein").value) < 0.25


def test_units_do_not_matter(planted) -> None:
    """A monotone change of a predictor does not change its rank correlation."""
    runs, pairs = planted
    stretched = pairs.assign(push_w=np.exp(pairs["push_w"]))
    a, b = (edits.prediction(runs, p, Scope.PAIRS, "push_w") for p in (pairs, stretched))
    assert a == pytest.approx(b)


def test_a_distance_held_fixed_has_no_correlation(planted) -> None:
    """Distance varies only within open sets, so both scopes agree; `SETS` raises."""
    runs, pairs = planted
    inside, free = (
        edits.prediction(runs, pairs, s, "levenshtein") for s in (Scope.PAIRS, Scope.OPEN_DISTANCE)
    )
    assert inside == pytest.approx(free)
    asked = pairs[pairs["asked"] != edits.ANY]
    assert np.isnan(edits.prediction(runs, asked, Scope.PAIRS, "levenshtein").value)
    with pytest.raises(ValueError, match="SETS has no correlation per seed: take prediction"):
        edits.stronger(runs, pairs, Scope.SETS, "gradient_cosine", "ches")


@pytest.mark.parametrize(
    ("shape", "verdict"),
    [(lambda d: 2 * np.log(d), edits.Jump.NONE), (lambda d: 4.0 * (d > 3), edits.Jump.FOUND)],
)
def test_a_jump_and_a_rise_have_different_verdicts(shape, verdict) -> None:
    chance = np.random.default_rng(1)
    rows = [
        {
            "seed": s,
            "asked": f"{d}",
            "edit_distance": d,
            "u_at_margin_5": shape(d) + 0.1 * chance.normal(),
        }
        for s in range(6)
        for d in (1, 2, 3, 4, 6, 8)
    ]
    found = edits.threshold(pd.DataFrame(rows))
    assert found.verdict == verdict
    assert found.gap.value == pytest.approx(found.jump - found.line)


@pytest.mark.parametrize(("lower", "expected"), [(0.0, Way.DELAY), (9.0, Way.EQUAL_STEPS)])
def test_delay_and_lower_path_are_separated(lower: float, expected: Way) -> None:
    """All sets fall 0.1 nats per step; near sets need twice the steps, and are `lower`."""
    rows = []
    for seed in range(4):
        for name, pace, extra in (("1", 2.0, lower), ("8", 1.0, 0.0)):
            at = {f"steps_to_margin_{g}": pace * g * 4 for g in (2, 5)}
            u = {f"u_at_margin_{g}": -0.1 * at[f"steps_to_margin_{g}"] - extra for g in (2, 5)}
            end = {"steps": 80, "u": -8.0 - extra}
            never = {"steps_to_margin_10": np.nan, "u_at_margin_10": np.nan}
            rows.append({"seed": seed, "asked": name} | end | never | at | u)
    frame = pd.DataFrame(rows)
    found = edits.lag(frame, "1", "8")
    assert found.delay.value == pytest.approx(2.0)
    assert found.rest.value == pytest.approx(lower)
    assert edits.hinders(Interval(0.9, 0.8, 1.0), found) == expected
    assert edits.hinders(Interval(0.0, -0.1, 0.1), found) is Way.NONE
    assert edits.times(frame, "1", "8", "steps_to_margin_5").value == pytest.approx(2)
