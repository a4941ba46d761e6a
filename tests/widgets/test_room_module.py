"""The module of room and price under Node, against `dpofield.field` on the same responses."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from dpofield.field.price import cheapest, least_kl, optimum_path
from dpofield.field.room import best_of, bradley_terry, ordered
from dpofield.widgets import RoomAndPrice
from dpofield.widgets.room_and_price import COUNT, NOISE, REWARDS

SCRIPT = """
import { readFileSync } from "node:fs";
import { pathOf, solve } from "./module.mjs";
const { states, paths } = JSON.parse(readFileSync(0, "utf8"));
const keep = ["u", "v", "kl", "middle", "ceiling", "missing", "least", "efficiency", "margin",
  "probabilities"];
console.log(JSON.stringify({
  found: states.map((state) => {
    const n = solve(state);
    return Object.fromEntries(keep.map((key) => [key, n[key]]));
  }),
  lines: paths.map(([state, policy, reach]) => pathOf(solve(state).world, policy, reach)),
}));
"""
REF = np.log(np.full(COUNT, 1 / COUNT))
WORLDS = [
    ("order", 2.0, 4),
    ("judges", 0.3, 4),
    ("judges", 5.0, 4),
    ("best", 2.0, 3),
    ("best", 2.0, 16),
]


def room_of(pairs, sd, n):
    rewards = np.array(REWARDS)
    return {
        "order": lambda: ordered(REF, rewards),
        "judges": lambda: bradley_terry(REF, sd * rewards),
        "best": lambda: best_of(REF, rewards, n),
    }[pairs]()


def state(world, policy, margin, noise=0.0):
    pairs, sd, n = world
    return {"pairs": pairs, "sd": sd, "n": n, "policy": policy, "margin": margin, "noise": noise}


@pytest.fixture(scope="module")
def solve(under_node):
    def call(states, paths=()):
        return under_node(RoomAndPrice, SCRIPT, {"states": states, "paths": paths})

    return call


def test_numbers_are_those_of_field(solve):
    """The shown account is that of the shown policy, for all pairs, policies and margins."""
    cases = list(product(WORLDS, ("cheapest", "sft", "rlhf"), (0.0, 0.2, 2.0, 6.0), (0.0, 0.7)))
    found = solve([state(*case) for case in cases])["found"]
    for (world, policy, margin, _), one in zip(cases, found, strict=True):
        pairs = room_of(*world)
        account = pairs.account(np.log(one["probabilities"]))
        for key in ("u", "v", "kl", "middle", "margin"):
            assert one[key] == pytest.approx(getattr(account, key), rel=1e-8, abs=1e-9), key
        assert one["ceiling"] == pytest.approx(pairs.ceiling, rel=1e-10)
        assert one["missing"] == pytest.approx(account.kl_w, rel=1e-8, abs=1e-9)
        assert one["least"] == pytest.approx(float(least_kl(max(one["margin"], 0), pairs)),
                                             rel=1e-6, abs=1e-9)  # fmt: skip
        reached = (
            margin
            if policy != "sft"
            else min(margin, pairs.account(REF + np.log(pairs.preferred)).margin)
        )
        assert one["margin"] == pytest.approx(reached, rel=1e-9, abs=1e-9)
        assert one["efficiency"] <= 1 + 1e-6


def test_policies_are_what_they_are_called(solve):
    """The cheapest policy is that of `field.price`, SFT ends at q_w, and the optimum has the
    account of `optimum_path` at its margin."""
    for world in WORLDS:
        pairs = room_of(*world)
        low, end, best = solve([state(world, "cheapest", 1.5), state(world, "sft", 100.0),
                                state(world, "rlhf", 1.5)])["found"]  # fmt: skip
        expected = np.exp(cheapest(1.5, pairs)[0])
        np.testing.assert_allclose(low["probabilities"], expected, rtol=1e-6)
        np.testing.assert_allclose(end["probabilities"], (np.exp(REF) * pairs.preferred)[0],
                                   rtol=1e-9, atol=1e-15)  # fmt: skip
        unit = optimum_path(pairs, REWARDS, 1.0)  # the margin is linear in 1/beta
        path = optimum_path(pairs, REWARDS, unit.margin / 1.5)
        assert best["u"] == pytest.approx(float(path.u[0]), rel=1e-8)


def test_nothing_lies_beyond_the_border(solve):
    """20,000 random policies per world: none has a larger mean u than the border at its margin, and
    the border itself is made of policies."""
    rng = np.random.default_rng(0)
    lines = solve([], [(state(world, "cheapest", 0.0), "border", 12.0) for world in WORLDS])[
        "lines"
    ]
    for world, line in zip(WORLDS, lines, strict=True):
        pairs, border = room_of(*world), np.array(line)
        gain = rng.normal(size=(20_000, COUNT)) * rng.choice([0.1, 1.0, 3.0], size=(20_000, 1))
        gain += np.linspace(-1, 1, COUNT) * rng.choice([0, 1, 3, 8], size=(20_000, 1))
        gain -= np.log(np.exp(gain).mean(axis=1, keepdims=True))
        up, down = (pairs.mass[0] * ratio[0] for ratio in (pairs.preferred, pairs.dispreferred))
        u, margin = gain @ up, gain @ (up - down)
        inside = (margin > 0) & (margin < 12)
        # The border is concave in the margin, so its chords lie below it, by less than a bend.
        bend = np.abs(np.diff(border[:, 0], 2)).max()
        top = np.interp(margin[inside], border[:, 0] - border[:, 1], border[:, 0])
        assert (u[inside] <= top + bend).all()
        assert (border[:, 0] <= pairs.ceiling + 1e-9).all()
        assert border[:, 0].max() > pairs.ceiling - 2 * bend


def test_noise_moves_no_margin():
    """The direction of the noise has no part in the margin of any pairs."""
    for world in WORLDS:
        pairs = room_of(*world)
        assert float(np.sum(pairs.mass * pairs.score * np.array(NOISE))) == pytest.approx(
            0, abs=1e-12
        )
