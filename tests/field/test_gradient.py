"""`field.gradient` agrees with Theorem 1 to float64 precision and rejects bad input."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpofield.field import gradient, magnitude, potential
from dpofield.formulas import CHARTS
from tests.formulas.oracle import dpo_gradient, points, relative_error

REFS = {"ref_w": -1.5, "ref_l": -40.0}


def call(chart, a, b, beta):
    takes = {p.name for p in CHARTS[chart].params}
    return gradient("dpo", chart, a, b, beta=beta, **{k: r for k, r in REFS.items() if k in takes})


def worst(chart, a, b, beta):
    expected = dpo_gradient(chart, a, b, beta, **REFS)
    found = call(chart, a, b, beta)
    return max(relative_error(o, e) for o, e in zip(found, expected, strict=True))


@pytest.mark.parametrize("chart", CHARTS)
def test_whole_domain_against_50_digits(chart):
    """Relative error below 1e-11 for log-ratios to +-700, beta from 1e-3 to 10, every chart."""
    assert max(worst(chart, *point) for point in points(chart)) < 1e-11


@given(st.floats(-10, 10), st.floats(-10, 10), st.floats(1e-3, 1))
def test_everyday_domain_to_thirteen_digits(u, v, beta):
    """Relative error below 1e-13 in the range that training reaches."""
    assert worst("log-ratio", u, v, beta) < 1e-13
    assert worst("ratio", math.exp(u), math.exp(v), beta) < 1e-13


@given(st.floats(-700, 700), st.floats(-700, 700), st.floats(1e-3, 10))
def test_random_points_of_the_whole_domain(u, v, beta):
    """Relative error below 1e-11 at random points."""
    assert worst("log-ratio", u, v, beta) < 1e-11
    assert worst("logit", u, v, beta) < 1e-11
    assert worst("ratio", math.exp(u), math.exp(v), beta) < 1e-11


def test_products_that_underflow_on_the_way_are_kept():
    """sigma(-800) is 0 in float64, but its product with exp(300) is 1e-217 and must not be 0."""
    along_a, _ = gradient("dpo", "ratio", math.exp(-300), math.exp(-700), beta=2.0)
    assert -1e-216 < along_a < -1e-218


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), st.floats(0.01, 5), st.floats(1e-3, 1e3))
def test_magnitude_is_homogeneous_of_degree_minus_one(x1, x2, beta, t):
    """At twice the distance from the origin the gradient is half (THEOREMS['homogeneity'])."""
    near, far = (magnitude("dpo", "ratio", s * x1, s * x2, beta=beta) for s in (1.0, t))
    assert far * t == pytest.approx(float(near), rel=1e-9)


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), st.floats(0.01, 5))
def test_gradient_is_the_slope_of_the_potential(x1, x2, beta):
    """The gradient equals central differences of `potential`."""
    h = 1e-5
    along_a, along_b = gradient("dpo", "ratio", x1, x2, beta=beta)
    f = lambda a, b: float(potential("dpo", "ratio", a, b, beta=beta))  # noqa: E731
    step_a, step_b = h * x1, h * x2
    scale = abs(float(along_a)) * x1 + 1e-9
    assert (f(x1 + step_a, x2) - f(x1 - step_a, x2)) / (2 * h) == pytest.approx(
        float(along_a) * x1, abs=1e-4 * scale + 1e-10
    )
    assert (f(x1, x2 + step_b) - f(x1, x2 - step_b)) / (2 * h) == pytest.approx(
        float(along_b) * x2, abs=1e-4 * scale + 1e-10
    )


def test_broadcasting():
    """A row of a and a column of b give two new arrays over the grid."""
    a, b = np.linspace(0.1, 2, 5), np.linspace(0.1, 2, 4)[:, None]
    along_a, along_b = gradient("dpo", "ratio", a, b, beta=0.5)
    assert along_a.shape == along_b.shape == (4, 5)
    one = gradient("dpo", "ratio", a[2], b[1, 0], beta=0.5)
    assert (along_a[1, 2], along_b[1, 2]) == one
    along_a[...] = 0  # the result is writable


def test_no_warning_at_the_extremes():
    """The extremes of the domain raise no warning, for users who turn warnings into errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gradient("dpo", "log-ratio", [-700.0, 700.0], [700.0, -700.0], beta=10.0)
        gradient("dpo", "ratio", np.exp([-700.0, 700.0]), np.exp([700.0, -700.0]), beta=10.0)


@pytest.mark.parametrize(
    ("chart", "a", "b", "params", "message"),
    [
        ("ratio", 0.0, 1.0, {}, "coordinate a"),
        ("ratio", 1.0, -2.0, {}, "coordinate b"),
        ("ratio", np.nan, 1.0, {}, "coordinate a"),
        ("ratio", 1.0, np.inf, {}, "coordinate b"),
        ("probability", 1.5, 0.5, {}, "coordinate a"),
        ("probability", 0.5, 0.0, {}, "coordinate b"),
        ("log-ratio", -np.inf, 0.0, {}, "coordinate a"),
        ("logit", 0.0, np.nan, {}, "coordinate b"),
        ("ratio", 1.0, 1.0, {"beta": 0.0}, "beta = 0.0"),
        ("ratio", 1.0, 1.0, {"beta": -1.0}, "beta = -1.0"),
        ("ratio", 1.0, 1.0, {"beta": np.nan}, "beta = nan"),
        ("probability", 0.5, 0.5, {"ref_w": 0.1}, "ref_w = 0.1"),
        ("polar", 1.0, 1.0, {}, "no chart 'polar'"),
    ],
)
def test_bad_input_is_refused_by_name(chart, a, b, params, message):
    """The error names the coordinate or parameter, also for arrays."""
    with pytest.raises(ValueError, match=message):
        gradient("dpo", chart, a, b, **params)
    with pytest.raises(ValueError, match=message):
        gradient("dpo", chart, np.array([0.5, a]), b, **params)


def test_unknown_names_list_what_there_is():
    """The error for an unknown name lists the known names."""
    with pytest.raises(ValueError, match="there are dpo"):
        gradient("dop", "ratio", 1.0, 1.0)
    with pytest.raises(TypeError, match=r"takes \['beta'\]"):
        gradient("dpo", "ratio", 1.0, 1.0, bata=0.1)
