"""The closed form of the margin agrees with the flow, at every scale of time."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpofield.field import coordinates, extinction_time, flow, logratios, margin_at
from dpofield.formulas import CHARTS


@given(st.floats(-12, 300), st.floats(-3, 1.5))
def test_margin_solves_its_relation(log_time, log_beta):
    """exp(y) + y - 1 = 2 beta^2 t at 40 digits, from times of 1e-12 to 1e300."""
    time, beta = 10.0**log_time, 10.0**log_beta
    with mpmath.workdps(40):
        y = mpmath.mpf(float(margin_at(time, beta))) * mpmath.mpf(beta)
        elapsed = 2 * mpmath.mpf(beta) ** 2 * mpmath.mpf(time)
        miss = (mpmath.expm1(y) + y - elapsed) / ((mpmath.exp(y) + 1) * y)  # relative, in y
        assert abs(miss) < 1e-14


@pytest.mark.parametrize("chart", ["log-ratio", "logit"])
@pytest.mark.parametrize("beta", [0.1, 1.0, 3.0])
def test_margin_is_the_flows(chart, beta):
    """The closed form agrees with the integrated flow, in log-ratios and in logits."""
    line = flow("dpo", chart, coordinates(chart, 0.0, 0.0), beta=beta, time=500.0, length=99.0)
    assert line.stopped == "time"
    u, v = logratios(chart, line.a, line.b)
    np.testing.assert_allclose(u - v, margin_at(line.t, beta), atol=1e-7)


def test_no_cap_and_no_extinction():
    """After the extinction time of the ratio chart, the margin is finite and still grows."""
    end = extinction_time(0.1)
    margins = margin_at([end, 10 * end, 1e6, 1e300], 0.1)
    assert np.all(np.diff(margins) > 1)
    assert np.exp(-margins[0] / 2) > 0.5


def test_margin_against_log_time():
    """h - (1/beta) log(2 beta^2 t) tends to 0; beta h/log t tends to 1, slowly."""
    for beta in (0.1, 2.0):
        gap = margin_at(1e12, beta) - np.log(2 * beta**2 * 1e12) / beta
        assert abs(gap) < 1e-6
        slow, later = (margin_at(t, beta) * beta / np.log(t) for t in (1e50, 1e300))
        assert abs(later - 1) < abs(slow - 1) < 0.04


@pytest.mark.parametrize("bad", [{"time": -1.0}, {"time": np.inf}, {"beta": 0.0}])
def test_bad_input(bad):
    """Errors name the argument."""
    with pytest.raises(ValueError, match=next(iter(bad))):
        margin_at(**({"time": 1.0, "beta": 0.1} | bad))


@pytest.mark.parametrize("chart", CHARTS)
@given(st.floats(-3, 0.6), st.floats(-3, 0.6))
def test_coordinates_and_back(chart, u, v):
    """`logratios` inverts `coordinates` in every chart."""
    back = logratios(chart, *coordinates(chart, u, v))
    assert [float(c) for c in back] == pytest.approx([u, v], abs=1e-12)


def test_no_such_policy():
    """Two probabilities with a sum above 1 have no logits: the result is NaN."""
    assert np.isnan(coordinates("logit", 2.0, 2.0)).all()
    assert coordinates("probability", 2.0, 2.0)[0] > 1
    with pytest.raises(TypeError, match="ratio chart"):
        coordinates("ratio", 0.0, 0.0, ref_w=-1.0)
