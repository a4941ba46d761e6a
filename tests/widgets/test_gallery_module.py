"""The loss gallery's module under Node: for every loss, the numbers of `dpofield.field`."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from dpofield.field import gradient, potential
from dpofield.formulas import LOSSES
from dpofield.widgets import LossGallery
from dpofield.widgets.loss_gallery import EXAMPLE

SCRIPT = """
import { readFileSync } from "node:fs";
import { BY_NAME, descent, exists, over } from "./module.mjs";
const { jobs, pair, window } = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(jobs.map(({ name, params, points }) => {
  const at = over(BY_NAME[name], params, pair);
  return points.map((point) => {
    if (!window) return at(...point).map((n) => Number.isFinite(n) ? n : String(n));
    const { points: line, rests } = descent(at, pair, point, window);
    return [rests, ...line.at(-1)];
  });
})));
"""
POINTS = list(product((-30.0, -7.0, -0.3, 0.0, 0.4, 5.0), (-30.0, -2.0, 0.0, 0.1, 3.0)))


def changed(loss):
    """Parameters in range that differ from their defaults."""
    for p in loss.params:
        high = float(p.interval.end) if p.interval.end.is_finite else math.inf
        yield p.name, 0.7 * p.default + (0.05 if p.default < 0.9 * high else 0.0)


@pytest.mark.parametrize("which", ["defaults", "changed"])
def test_numbers_are_those_of_field(under_node, which):
    """Loss and both partial derivatives to 1e-9, for all losses, also far from the start."""
    params = {n: dict(changed(loss)) if which == "changed" else {} for n, loss in LOSSES.items()}
    jobs = [{"name": n, "params": params[n], "points": POINTS} for n in LOSSES]
    found = under_node(LossGallery, SCRIPT, {"jobs": jobs, "pair": EXAMPLE, "window": None})
    u, v = np.array(POINTS).T
    for values, (name, loss) in zip(found, LOSSES.items(), strict=True):
        given = params[name] | {p.name: EXAMPLE[p.name] for p in loss.inputs}
        expected = (
            potential(name, "log-ratio", u, v, **given),
            *gradient(name, "log-ratio", u, v, **given),
        )
        got = np.array(values, dtype=float).T
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12, err_msg=name)


def test_every_loss_is_shown_in_one_group(under_node):
    """A loss added to the book appears in the gallery automatically."""
    script = """
    import { readFileSync } from "node:fs";
    import { BY_NAME } from "./module.mjs";
    readFileSync(0);
    console.log(JSON.stringify(Object.values(BY_NAME).map((l) => [l.name, l.group])));
    """
    found = under_node(LossGallery, script, None)
    assert sorted(name for name, _ in found) == sorted(LOSSES)
    assert len({group for _, group in found}) == 3


def test_flow_lines_go_where_the_loss_goes(under_node):
    """From (0, 0): DPO keeps u + v; IPO rests where the margin is 1/(2 beta); SFT moves u alone."""
    jobs = [
        {"name": "dpo", "params": {}, "points": [[0.0, 0.0], [3.0, 1.0]]},
        {"name": "ipo", "params": {}, "points": [[0.0, 0.0], [8.0, -6.0]]},
        {"name": "sft", "params": {}, "points": [[0.0, 1.0]]},
    ]
    dpo, ipo, sft = under_node(LossGallery, SCRIPT, {"jobs": jobs, "pair": EXAMPLE, "window": 10.0})
    for (rests, u, v), total in zip(dpo, (0.0, 4.0), strict=True):
        assert not rests
        assert u + v == pytest.approx(total, abs=1e-9)
        assert max(abs(u), abs(v)) > 9.8
    for rests, u, v in ipo:
        assert rests
        assert u - v == pytest.approx(1 / (2 * LOSSES["ipo"].defaults["beta"]), abs=0.2)
    assert sft[0][2] == 1.0
    assert sft[0][1] > 9.8
