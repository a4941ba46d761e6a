"""Flow lines conserve their invariants and have the right times."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpofield.field import extinction_time, flow
from dpofield.formulas import CHARTS, Loss
from dpofield.formulas.symbols import u, v

STARTS = {"ratio": (1.0, 1.0), "probability": (0.3, 0.2), "log-ratio": (0.0, 0.0), "logit": (0, 0)}


@pytest.mark.parametrize("chart", CHARTS)
@pytest.mark.parametrize("beta", [0.1, 1.0, 2.5])
def test_invariant_is_conserved(chart, beta):
    """Flow lines are circles in ratios and probabilities, diagonals in log-ratios and logits."""
    line = flow("dpo", chart, STARTS[chart], beta=beta, length=0.9)
    assert np.ptp(line.invariant) < 1e-8
    assert np.all(np.diff(line.t) > 0)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.2, 5), st.floats(0.2, 5), st.floats(0.05, 1.5))
def test_circles_from_any_start(x1, x2, beta):
    """The preferred ratio ends at the radius of its circle, for any start and beta."""
    line = flow("dpo", "ratio", (x1, x2), beta=beta, length=50)
    assert line.stopped == "extinct"
    assert line.a[-1] == pytest.approx(math.hypot(x1, x2), rel=1e-6)


@pytest.mark.parametrize("beta", [0.1, 0.5, 1.0, 1.2])
def test_clock_of_extinction(beta):
    """The integrated extinction time equals the closed-form integral."""
    line = flow("dpo", "ratio", beta=beta)
    assert line.stopped == "extinct"
    assert line.t[-1] == pytest.approx(extinction_time(beta), abs=1e-5)
    assert line.a[-1] == pytest.approx(math.sqrt(2), abs=1e-6)


def test_extinction_in_closed_form_and_never():
    """T(1) = 1 + pi/4; T is infinite for beta >= 2 and grows as beta approaches 2."""
    assert extinction_time(1.0) == pytest.approx(1 + math.pi / 4, rel=1e-12)
    assert extinction_time(2.0) == extinction_time(3.0) == math.inf
    assert extinction_time(1.99) > extinction_time(1.9) > extinction_time(1.8)


def test_log_ratio_margin_grows_like_log_time():
    """In log-ratios the margin has no cap: d(margin)/d(log t) tends to 1/beta."""
    beta = 0.5
    line = flow("dpo", "log-ratio", (0, 0), beta=beta, length=60, points=2000)
    margin = line.a - line.b
    late = line.t > line.t[-1] * 0.5
    slope = np.polyfit(np.log(line.t[late]), margin[late], 1)[0]
    assert slope == pytest.approx(1 / beta, rel=1e-3)


def test_stops_at_the_time_asked_for():
    """The flow stops at exactly `time`, and its margin there satisfies the exact solution.

    With m the margin, m' = 2 beta/(1 + exp(beta m)), so m + (exp(beta m) - 1)/beta = 2 beta t.
    """
    line = flow("dpo", "log-ratio", (0, 0), beta=0.7, time=3.0)
    assert line.stopped == "time"
    assert line.t[-1] == pytest.approx(3.0, abs=1e-9)
    m = line.a[-1] - line.b[-1]
    assert m + (math.exp(0.7 * m) - 1) / 0.7 == pytest.approx(2 * 0.7 * 3.0, rel=1e-9)


@pytest.mark.parametrize(
    ("chart", "start"), [("ratio", (1.0, 1.0)), ("probability", (0.25, 0.25)), ("logit", (0, 0))]
)
def test_flow_rests_where_the_gradient_vanishes(chart, start):
    """The flow of a squared loss stops at the target margin instead of failing."""
    square = Loss("square", "a square", (u - v - 1) ** 2, (), "own")
    line = flow(square, chart, start, points=50)
    assert line.stopped == "rest"
    margin = line.a - line.b if chart == "logit" else np.log(line.a / line.b)
    assert margin[-1] == pytest.approx(1.0, abs=1e-7)
    assert np.ptp(line.invariant) < 1e-8


def test_flow_from_a_place_of_rest():
    """If the gradient is 0 at the start, the flow stays there without a division by 0."""
    square = Loss("square", "a square", (u - v) ** 2, (), "own")
    line = flow(square, "ratio", points=7)
    assert line.stopped == "rest"
    assert line.a.shape == line.t.shape == (7,)
    assert set(line.a) == {1.0}
    assert set(line.t) == {0.0}


@pytest.mark.parametrize("bad", [{"time": 0.0}, {"length": -1.0}, {"beta": 0.0}])
def test_bad_input(bad):
    """Errors name the argument."""
    with pytest.raises(ValueError, match=next(iter(bad))):
        flow("dpo", "ratio", **bad)


def test_a_valley_that_is_too_stiff_is_an_error_and_no_endless_loop():
    """NCA's preferred response stops at log(2)/beta, while the dispreferred moves ever more slowly.

    A moderate length gives a line; a large length raises an error instead of a hang."""
    line = flow("nca", "log-ratio", (0.0, 0.0), beta=0.1, length=20.0)
    assert line.a[-1] < np.log(2) / 0.1
    with pytest.raises(RuntimeError, match=r"'nca' .* too stiff at length .*length="):
        flow("nca", "log-ratio", (0.0, 0.0), beta=0.1, length=500.0)
