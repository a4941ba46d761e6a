"""The field in training: known effects in synthetic paths are found, and no other effects."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from dpofield.experiments.columns import PATH
from dpofield.experiments.config import Config
from dpofield.experiments.findings import training_field as paths

BETA = 0.1
STEPS = np.arange(0, 11, 2)


def run(seed: int, u: Any, v: Any, **given: Any) -> dict[str, Any]:
    """A row with the paths u and v, (T, N), also as first-order changes of both kinds.

    `given` replaces other paths, or columns of the pairs at the start.
    """
    u, v = (np.asarray(x, dtype=float) for x in (u, v))
    weight = BETA / (1 + np.exp(BETA * (u - v)))
    found = {
        "step": STEPS[: len(u)], "u": u, "v": v, "loss": np.zeros_like(u),
        "dloss_dx1": -weight * np.exp(-u), "dloss_dx2": weight * np.exp(-v),
        "first_order_u": u, "first_order_v": v, "plain_gradient_u": u, "plain_gradient_v": v,
        "concavity_u": np.zeros_like(u), "concavity_v": np.zeros_like(v),
    }  # fmt: skip
    assert set(found) == set(PATH)
    start = {"kernel_ww": 3.0, "kernel_wl": 1.0, "kernel_ll": 3.0, "push_w": 1.0, "push_l": -1.0}
    row: dict[str, Any] = Config(seed=seed, params={"beta": BETA}).flat() | {"key": str(seed)}
    row |= {f"path_{k}": np.float32(given.get(k, x)).ravel() for k, x in found.items()}
    return row | {f"pair_{k}": np.full(u.shape[1], given.get(k, x)) for k, x in start.items()}


def frame(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(list(rows))


def lines(slope_u: float, slope_v: float, pairs: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Straight paths u and v of pairs with different speeds."""
    t = STEPS[:, None] * np.linspace(0.5, 1.5, pairs)
    return slope_u * t, slope_v * t


def both(**given: Any) -> pd.DataFrame:
    """Two seeds with mean paths u = t/4, v = -t, so that the mean margin at the end is 12.5."""
    return frame(*[run(seed, *lines(0.25, -1.0), **given) for seed in (0, 1)])


def test_theorem_1_is_found_to_rounding_and_an_error_beyond_it() -> None:
    """float32 rounding is within `rounding` 1; an error of 1 % in one derivative is not."""
    runs = frame(*[run(seed, *lines(-3.0, -6.0)) for seed in (0, 1)])
    found = paths.theorem_1(runs)
    assert found.values == 2 * 2 * len(STEPS) * 3
    assert 0 < found.largest < 1e-4
    assert found.rounding < 1
    runs.at[1, "path_dloss_dx2"] = runs.at[1, "path_dloss_dx2"] * np.where(
        np.arange(18) == 7, 1.01, 1
    )
    spoilt = paths.theorem_1(runs)
    assert spoilt.largest == pytest.approx(0.01, rel=1e-3)
    assert spoilt.rounding > 100


def test_quarters_hold_the_pairs_that_were_put_there() -> None:
    """One pair per region: equal shares, and the longest gradient where both ratios are small."""
    signs = np.array([[1, -1, 1, -1], [-1, -1, 1, 1]])
    u, v = (STEPS[:, None] * s / 2 for s in signs)
    moved = paths.speeds(frame(*[run(seed, u, v) for seed in (0, 1)]))
    found = paths.regions(moved)
    assert list(found) == list(paths.Region)
    assert all(r.share == (0.25, 0.25, 0.25) for r in found.values())
    assert max(found, key=lambda name: found[name].magnitude.value) is paths.Region.DOWN
    assert (moved["region"] == "").sum() == 2 * 4  # the start is in no region
    assert moved["speed_logs"].to_numpy() == pytest.approx(
        np.sqrt(0.5)
    )  # a step of 2 takes 1 nat each


def test_speed_is_per_step() -> None:
    """A path with half as many records has the same speed."""
    u, v = lines(0.25, -1.0)
    often = paths.speeds(frame(run(0, u, v)))
    seldom = frame(run(0, u[::2], v[::2]) | {"path_step": np.float32(STEPS[::2])})
    assert paths.speeds(seldom)["speed_logs"].mean() == pytest.approx(often["speed_logs"].mean())


def circle() -> tuple[np.ndarray, np.ndarray]:
    """Paths along the field in the ratios: on the circle through (1, 1), with three speeds."""
    angle = np.pi / 4 - 0.07 * STEPS[:, None] * np.array([0.8, 0.9, 1.0])
    return np.log(np.sqrt(2) * np.cos(angle)), np.log(np.sqrt(2) * np.sin(angle))


@pytest.mark.parametrize(
    ("way", "right", "wrong"),
    [(circle(), "ratios", "log-ratios"), (lines(1.0, -1.0), "log-ratios", "ratios")],
    ids=["circle", "line"],
)
def test_each_chart_is_right_about_its_own_flow(way: Any, right: str, wrong: str) -> None:
    """Pairs that move along the field of a chart agree with its prediction in every interval."""
    runs = frame(*[run(seed, *way) for seed in (0, 1)])
    rates = paths.rates(runs)
    found = paths.verdicts(rates)
    assert found[right].near == (1, 1, 1)
    assert found[wrong].near.value < 1
    assert found["law"].near == (1, 1, 1)  # first-order changes equal the changes here
    explained = paths.explained(rates, BETA)
    assert explained["law"].value == pytest.approx(1, abs=1e-6)
    assert explained[right].value > explained[wrong].value


def test_falling_together_is_the_wrong_sign_for_both_charts() -> None:
    """Both charts predict opposite signs; the three shares of a verdict add up to 1."""
    rates = paths.rates(frame(*[run(seed, *lines(-0.5, -1.0)) for seed in (0, 1)]))
    found = paths.verdicts(rates)
    assert found["ratios"].sign.value == found["log-ratios"].sign.value == 1
    for judged in found.values():
        assert sum(x.value for x in judged) == pytest.approx(1)


def test_a_law_that_predicts_no_change_explains_nothing() -> None:
    """A law with first-order changes of 0 has the share 0."""
    nothing = np.zeros((len(STEPS), 3))
    rates = paths.rates(both(first_order_u=nothing, first_order_v=nothing))
    assert paths.explained(rates, BETA)["law"].value == pytest.approx(0, abs=1e-6)


def test_parts_are_those_that_were_planted() -> None:
    """Own terms give the share 1/2, with cross terms 1/4; the other parts are as planted."""
    u, v = lines(0.25, -1.0)
    planted = {
        "push_w": 1.0, "push_l": -3.0,
        "plain_gradient_u": u + 0.3 * u, "plain_gradient_v": v + 0.3 * u,
        "first_order_u": u + 0.1 * u, "first_order_v": v + 0.1 * u,
        "concavity_u": -0.05 * u, "concavity_v": -0.05 * u,
    }  # fmt: skip
    found = paths.parts(both(**planted), 5.0)
    at = 4.0 * 0.25  # t is 4 where u - v is 5
    assert found["step"].to_numpy() == pytest.approx(4.0)
    assert found["u"].to_numpy() == pytest.approx(at)
    for letter, half in (("u", 2.5), ("v", -2.5)):
        expected = {"own": half, "cross": -1.25, "optimizer": -0.2 * at, "size": -0.1 * at}
        for name, value in expected.items():
            assert found[f"{name}_{letter}"].to_numpy() == pytest.approx(value), name
    assert found["drift_u"].to_numpy() == pytest.approx(1.3 * at - 1.25)
    assert found["concavity_u"].to_numpy() == pytest.approx(-0.05 * at)


def test_parts_add_up_and_drift_is_common() -> None:
    """For random paths, the five parts add up to u and v; drift and cross are equal in both."""
    chance = np.random.default_rng(0)
    rows = []
    for seed in range(3):
        steps = chance.normal(size=(8, len(STEPS), 4)).cumsum(axis=1)
        names = (
            "first_order_u",
            "first_order_v",
            "plain_gradient_u",
            "plain_gradient_v",
            "concavity_u",
            "concavity_v",
        )
        u, v = lines(0.4, -1.0, 4)
        more = dict(zip(names, steps, strict=False))
        rows.append(
            run(seed, u + steps[6] / 9, v + steps[7] / 9, kernel_ll=4.0, push_l=-2.0, **more)
        )
    found = paths.parts(frame(*rows), 4.0)
    for letter in "uv":
        total = sum(found[f"{part}_{letter}"] for part in paths.PARTS)
        assert total.to_numpy() == pytest.approx(found[letter].to_numpy())
    assert found["drift_u"].to_numpy() == pytest.approx(found["drift_v"].to_numpy())
    assert found["cross_u"].to_numpy() == pytest.approx(found["cross_v"].to_numpy())


def test_without_an_effect_there_is_none() -> None:
    """A run that follows the kernel of the start has own terms only."""
    found = paths.parts(frame(*[run(seed, *lines(1.0, -1.0)) for seed in (0, 1)]), 5.0)
    for part in ("cross", "drift", "optimizer", "size"):
        assert np.abs(found[f"{part}_u"]).max() < 1e-5


def test_a_margin_that_is_never_reached_is_missing() -> None:
    """All columns are nan, including the shares of pairs."""
    found = paths.parts(both(), 100.0)
    assert found.drop(columns="seed").isna().all(axis=None)


def test_counts_of_pairs() -> None:
    """In one of two pairs the preferred falls, and it moves farther than the dispreferred."""
    u, v = STEPS[:, None] * np.array([1.0, -2.0]), STEPS[:, None] * np.array([-2.0, -1.0])
    found = paths.parts(frame(run(0, u, v)), 1.0)
    assert (found["dispreferred_farther"][0], found["fell"][0]) == (0.5, 0.5)


def test_differences_are_within_seeds() -> None:
    """Rows are paired by seed, not by position."""
    one = pd.DataFrame({"seed": [0, 1, 2], "u": [0.0, 10.0, 20.0]})
    other = pd.DataFrame({"seed": [2, 0, 1], "u": [19.0, -1.0, 9.0]})
    assert paths.difference(one, other, "u") == (1, 1, 1)


def test_mean_path_and_steps_lie_on_the_lines() -> None:
    """Interpolation of straight paths is exact, also between records."""
    runs = both()
    u, v = paths.mean_path(runs, [0.0, 1.0, 5.0])
    assert u == pytest.approx(np.array([[0, 0.2, 1.0]] * 2))
    assert v == pytest.approx(np.array([[0, -0.8, -4.0]] * 2))
    at_step = paths.at_step(runs, 3.0)
    assert at_step["margin"].to_numpy() == pytest.approx(3.75)


def test_settings_are_those_of_the_plan() -> None:
    """Every run of the plan is in exactly one setting; each has ten seeds in order."""
    from dpofield.experiments.plans import plan

    table = pd.DataFrame([config.flat() for config in plan("training-field")])
    parts = [paths.setting(table, name) for name in paths.SETTINGS]
    assert sum(map(len, parts)) == len(table)
    assert all(list(part["seed"]) == list(range(10)) for part in parts)
