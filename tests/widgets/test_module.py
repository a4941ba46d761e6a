"""The field explorer's module under Node: its numbers are those of `dpofield.field`."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from dpofield.field import (
    coordinates,
    extinction_time,
    flow,
    gradient,
    invariant,
    logratios,
    potential,
)
from dpofield.formulas import CHARTS
from dpofield.widgets import FieldExplorer
from dpofield.widgets.field_formulas import SHOWN

BETAS = (0.01, 0.1, 0.5, 1.0, 2.0, 3.0)
UV = tuple(product((-30.0, -3.0, -0.7, -1e-3, 0.0, 0.4, 0.6), repeat=2))

SCRIPT = """
import { readFileSync } from "node:fs";
import { CHARTS, extinctionTime, flow, numbers } from "./module.mjs";
const { chart: name, points, range, loss } = JSON.parse(readFileSync(0, "utf8"));
const chart = CHARTS[name].under(loss);
const plain = (value) => (Number.isFinite(value) ? value : String(value));
console.log(JSON.stringify(points.map(([a, b, beta]) => {
  if (!range) {
    return [...chart.gradient(a, b, beta), chart.loss(a, b, beta), chart.invariant(a, b)[0],
      ...chart.toLogratios(a, b), ...chart.fromLogratios(...chart.toLogratios(a, b)),
      numbers(chart, beta, a, b, { stopped: "edge" }).paper];
  }
  const line = flow(chart, beta, a, b, range);
  return [line.stopped, plain(extinctionTime(chart, beta, line)), ...line.points.at(-1)];
})));
"""


@pytest.fixture(scope="module")
def run(under_node):
    """Call the module with points of a chart."""

    def call(chart, points, window=None, loss="dpo"):
        job = {"chart": chart, "points": points, "range": window, "loss": loss}
        return under_node(FieldExplorer, SCRIPT, job)

    return call


def grid(chart):
    """Points of the chart from a grid of log-ratios, with every beta."""
    points = [tuple(map(float, coordinates(chart, u, v))) for u, v in UV]
    return [(a, b, beta) for (a, b), beta in product(points, BETAS) if np.isfinite([a, b]).all()]


@pytest.mark.parametrize("chart", CHARTS)
@pytest.mark.parametrize("loss", SHOWN)
def test_numbers_are_those_of_field(run, chart, loss):
    """Gradient, loss, conserved quantity and the charts' maps, to 1e-11."""
    points = grid(chart)
    found = np.array(run(chart, points, loss=loss))
    a, b, beta = np.array(points).T
    expected = [
        *gradient(loss, chart, a, b, beta=beta),
        potential(loss, chart, a, b, beta=beta),
        invariant(chart, a, b),
    ]
    np.testing.assert_allclose(found[:, :4].T, expected, rtol=1e-11, atol=1e-13)
    uv = np.array([logratios(chart, *p[:2]) for p in points])
    np.testing.assert_allclose(found[:, 4:6], uv, rtol=1e-11, atol=1e-13)
    # the logit of a pair with nearly all the mass is ill-conditioned
    np.testing.assert_allclose(found[:, 6:8], np.stack([a, b], 1), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found[:, 8], np.exp(uv[:, 1] - uv[:, 0]), rtol=1e-11)


@pytest.mark.parametrize("beta", [0.01, 0.1, 0.5, 1.0, 1.5, 1.9, 1.99])
def test_extinction_time_from_the_reference(run, beta):
    """The clock against the theorem's integral, to 1e-6, also near beta = 2. In probabilities with
    references of 1/4 the flow is 16 times as fast."""
    [[stopped, time, a, _]] = run("ratio", [(1.0, 1.0, beta)], [0, 2.2])
    assert stopped == "extinct"
    assert time == pytest.approx(extinction_time(beta), rel=1e-6)
    assert a == pytest.approx(math.sqrt(2), rel=1e-8)
    [[_, time, _, _]] = run("probability", [(0.25, 0.25, beta)], [0, 1])
    assert 16 * time == pytest.approx(extinction_time(beta), rel=1e-6)


@pytest.mark.parametrize("start", [(0.02, 2.0), (2.0, 0.05), (1.5, 0.7), (0.1, 0.1), (5.0, 9.0)])
@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_flow_from_anywhere(run, start, beta):
    """Time and end of the flow line against SciPy's integrator."""
    [[stopped, time, a, _]] = run("ratio", [(*start, beta)], [0, 2.2])
    line = flow("dpo", "ratio", start, beta=beta, length=100)
    assert stopped == line.stopped == "extinct"
    assert time == pytest.approx(line.t[-1], rel=1e-6)
    assert a == pytest.approx(math.hypot(*start), rel=1e-7)


def test_no_extinction_where_there_is_none(run):
    """From beta = 2 on the flow never reaches the edge; log-ratios and logits have no edge; in
    probabilities the flow stops where the two probabilities would exceed 1 in sum."""
    for beta in (2.0, 2.5, 3.0):
        assert run("ratio", [(1.0, 1.0, beta)], [0, 2.2])[0][:2] == ["extinct", "Infinity"]
        assert extinction_time(beta) == math.inf
    for chart in ("log-ratio", "logit"):
        assert run(chart, [(0.0, 0.0, 0.5)], [-4, 4])[0][:2] == ["long", "Infinity"]
    stopped, time, a, b = run("probability", [(0.1, 0.85, 0.5)], [0, 1])[0]
    assert (stopped, time) == ("edge", "NaN")
    assert a + b == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("chart", ["ratio", "log-ratio"])
def test_rest(run, chart):
    """The flow comes to rest at the target margin: IPO at 1 / (2 beta), cDPO where the smoothed
    gradient changes sign, hinge at 1 / beta, where its gradient becomes 0."""
    start, window = ((1.0, 1.0), [0, 2.2]) if chart == "ratio" else ((0.0, 0.0), [-4, 4])
    step = 2 * (window[1] - window[0]) / 250
    for loss, margin in (("ipo", 0.5), ("hinge", 1.0), ("cdpo", math.log(4))):
        [[stopped, time, a, b]] = run(chart, [(*start, 1.0)], window, loss)
        assert (stopped, time) == ("rest", "Infinity"), loss
        u, v = logratios(chart, a, b)
        slope = 1 / a + 1 / b if chart == "ratio" else 2
        assert u - v == pytest.approx(margin, abs=step * slope), loss
