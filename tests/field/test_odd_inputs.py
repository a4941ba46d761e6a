"""Odd inputs of a whole library: a right number or an error that names the argument, no third."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dpofield.field import extinction_time, flow, gradient
from dpofield.field.caps import cap, conserved_by
from dpofield.field.clock import margin_at
from dpofield.field.core import coordinates, invariant, logratios, potential
from dpofield.field.softmax import rates, split, time_of
from dpofield.formulas import LOSSES

EXPONENT = {"reverse_kl": 2, "forward_kl": 3, "chi2": 1}  # I(x) is a power of x


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([1e-3, 1e-6, 1e-10, 1e-30, 1e-100]), st.sampled_from([0.1, 1.0, 1.9]))
def test_flow_has_no_scale(scale, beta):
    """DPO's field is homogeneous: from (s, s) the circle is s times that from (1, 1), and the time
    s squared times; both are positive and the invariant is kept."""
    one, small = (flow("dpo", "ratio", (s, s), beta=beta) for s in (1.0, scale))
    assert small.stopped == one.stopped == "extinct"
    assert small.a[-1] == pytest.approx(scale * math.sqrt(2), rel=1e-8)
    assert small.t[-1] == pytest.approx(scale**2 * one.t[-1], rel=1e-7)
    assert (np.diff(small.t) > 0).all()
    assert (small.b > 0).all()


@pytest.mark.parametrize(("beta", "stopped"), [(1.9, "extinct"), (2.0, "edge"), (5.0, "edge")])
def test_extinction_needs_finite_time(beta, stopped):
    """The flow reports an extinction exactly when its time is finite."""
    assert flow("dpo", "ratio", beta=beta).stopped == stopped
    assert math.isfinite(extinction_time(beta)) == (stopped == "extinct")


def test_flow_stays_among_the_policies():
    """In probabilities the line ends where the two sum to 1."""
    line = flow("dpo", "probability", (0.1, 0.85), beta=0.5)
    assert line.stopped == "boundary"
    assert line.a[-1] + line.b[-1] == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("name", EXPONENT)
@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e-9, 1.0, 1e110, 1e160, 1e300])
def test_caps_have_no_scale(name, scale):
    """I(x) = x^k / k gives the cap 2^(1/k) times the start, however small or large it is."""
    assert cap(name, scale, scale) == pytest.approx(scale * 2 ** (1 / EXPONENT[name]), rel=1e-12)


def test_a_cap_beyond_float64_is_an_error():
    """Neither inf, which would mean that there is no cap, nor a number."""
    for name, x, alpha in (("reverse_kl", 1.7e308, 0.5), ("alpha", 1.0, 2.9999)):
        with pytest.raises(OverflowError, match="beyond float64"):
            cap(name, x, x, alpha=alpha)


LOGITS = [
    [40, 0, 0],
    [30, 0, 0],
    [0, 40, 0],
    [1000, 0, 0],
    [0, 1000, 0],
    [0, 0, 1000],
    [2, 1],
    [0, 800],
]


@pytest.mark.parametrize("logits", LOGITS)
def test_softmax_rates_and_shares_at_any_gap(logits):
    """Against mpmath: the preferred never falls, even where float64 rounds its probability to 1."""
    with mpmath.workdps(1000):
        weights = [mpmath.exp(z) for z in logits]
        pi = [x / sum(weights) for x in weights]
        moves = [1, -1, *[0] * (len(pi) - 2)]
        mean = pi[0] - pi[1]
        exact = [(m - mean) / 20 for m in moves]
        share = pi[0] * exact[0] / (-pi[1] * exact[1])
        found = rates(logits, 0, 1)
        assert found[0] > 0 or exact[0] < 1e-300
        for ours, e in zip(found, exact, strict=True):
            assert ours == pytest.approx(float(e), rel=1e-12, abs=1e-300)
        to_w, to_rest = split(logits, 0, 1)
        assert to_w == pytest.approx(float(share), rel=1e-10)
        assert to_rest == pytest.approx(float(1 - share), rel=1e-10, abs=1e-300)


@given(st.floats(-300, 300), st.floats(-150, 150))
def test_clock_at_any_scale(log_time, log_beta):
    """expm1(y) + y = 2 beta^2 t for y = beta h, by mpmath, for any time and beta."""
    time, beta = math.exp(log_time), math.exp(log_beta)
    y = mpmath.mpf(beta) * mpmath.mpf(float(margin_at(time, beta)))
    with mpmath.workdps(60):
        exact = 2 * mpmath.mpf(beta) ** 2 * mpmath.mpf(time)
        # The error of y that the residual means, relative to y.
        error = (mpmath.expm1(y) + y - exact) / (mpmath.exp(y) + 1)
        assert abs(error) <= 1e-13 * y


FAR = [-800.0, -100.0, 0.0, 100.0, 800.0]


@pytest.mark.parametrize("name", ["forward_kl", "alpha_div", "chi2", "js", "dpo"])
@pytest.mark.parametrize("u", FAR)
@pytest.mark.parametrize("v", FAR)
def test_gradients_far_out(name, u, v):
    """At +-800 nats each partial has its sign, or is a limit (0, infinite), but never nan; torch in
    float32 agrees wherever float32 can hold the value."""
    along = gradient(name, "log-ratio", u, v)
    assert along[0] <= 0 <= along[1]
    leaves = [torch.tensor(x, dtype=torch.float32, requires_grad=True) for x in (u, v)]
    LOSSES[name].torch(*leaves).backward()
    for leaf, exact in zip(leaves, along, strict=True):
        assert not torch.isnan(leaf.grad)
        if abs(exact) < 1e30 and abs(potential(name, "log-ratio", u, v)) < 1e30:
            assert float(leaf.grad) == pytest.approx(float(exact), rel=1e-4, abs=1e-30)


NO_NUMBERS = {
    "masked": np.ma.masked_less([1.0, 2.0], 1.5),
    "complex": np.array([1 + 1j]),
    "text": ["1.0"],
    "truth values": [True],
    "dates": np.array(["2026-01-01"], dtype="datetime64[D]"),
    "ragged": [[1.0, 2.0], [1.0]],
    "nothing": None,
    "nan": float("nan"),
}


@pytest.mark.parametrize("value", NO_NUMBERS.values(), ids=NO_NUMBERS)
def test_what_is_no_number_is_refused(value):
    """By every function that takes coordinates, logits, times or parameters, with its name."""
    calls = {
        "coordinate a|a is|a has": lambda: gradient("dpo", "ratio", value, 1.0),
        "u ": lambda: coordinates("ratio", value, 0.0),
        "coordinate b|b is|b has": lambda: logratios("ratio", 1.0, value),
        "coordinate a|a is|a has|a ": lambda: invariant("ratio", value, 1.0),
        "beta": lambda: gradient("dpo", "ratio", 1.0, 1.0, beta=value),
        "ratio": lambda: conserved_by("js", value),
        "logits": lambda: rates(value, 0, 1),
        "margin": lambda: time_of(value),
        "time": lambda: margin_at(value, 0.1),
    }
    for name, call in calls.items():
        with pytest.raises(ValueError, match=name):
            call()
    if isinstance(value, np.ndarray):
        with pytest.raises(ValueError, match="u "):
            LOSSES["dpo"].numpy(value, 0.0)


def test_impossible_policies_are_refused():
    """Two probabilities above 1 in sum, a log-probability above 0, a ratio below 0."""
    with pytest.raises(ValueError, match="sum to at most 1"):
        gradient("dpo", "probability", 0.8, 0.8)
    with pytest.raises(ValueError, match="sum to at most 1"):
        flow("dpo", "probability", (0.7, 0.7))
    with pytest.raises(ValueError, match="outside"):
        logratios("ratio", -1.0, 1.0)
    pair = {"ref_w": -1.0, "ref_l": -2.0, "len_w": 3.0, "len_l": 3.0}
    for name in ("orpo", "simpo", "alphapo"):
        with pytest.raises(ValueError, match=r"u \+ ref_w > 0"):
            LOSSES[name].numpy([0.0, 2.0], 0.0, **pair)
        with pytest.raises(ValueError, match=r"v \+ ref_l > 0"):
            LOSSES[name].torch(torch.zeros(2), torch.tensor([0.0, 2.5]), **pair)
        with pytest.raises(ValueError, match=r"u \+ ref_w > 0"):
            gradient(name, "log-ratio", 2.0, 0.0, **pair)


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"points": 1}, "points = 1"),
        ({"points": 0}, "points = 0"),
        ({"start": (1.0,)}, "two numbers"),
        ({"start": ([1.0, 2.0], 1.0)}, "two numbers"),
        ({"start": (1e-200, 1.0)}, "underflow"),
        ({"beta": [0.1, 0.2]}, "beta is an array"),
        ({"rtol": 0.0}, "rtol"),
    ],
)
def test_a_flow_needs_one_start_and_one_beta(given_, message):
    """Each by its name, before anything is integrated."""
    with pytest.raises(ValueError, match=message):
        flow("dpo", "ratio", **given_)


def test_scalars_where_scalars_are_meant():
    """Arrays of alpha or beta are refused by name where one flow line is meant."""
    for call in (
        lambda: conserved_by("alpha", 1.0, alpha=[1.0, 2.0]),
        lambda: cap("alpha", alpha=np.array([1.0, 2.0])),
        lambda: cap("js", np.array([1.0, 2.0])),
        lambda: extinction_time(np.array([0.1, 0.2])),
    ):
        with pytest.raises(ValueError, match="is an array"):
            call()


def test_tensors_numbers_and_lists():
    """NumPy functions take tensors (any dtype, with a graph); torch functions say what they need; a
    beta of more dimensions broadcasts."""
    tensor = torch.tensor([1.0, 2.0], dtype=torch.bfloat16, requires_grad=True)
    assert gradient("dpo", "ratio", tensor, 1.0)[0].shape == (2,)
    assert gradient("dpo", "ratio", [1.0, 2.0], 1.0, beta=[[0.1], [0.2]])[0].shape == (2, 2)
    assert LOSSES["dpo"].torch(torch.tensor([1, 2]), torch.tensor([0, 0])).dtype == torch.float32
    beta = torch.tensor(0.1, requires_grad=True)
    LOSSES["dpo"].torch(torch.ones(2), torch.zeros(2), beta=beta).sum().backward()
    assert float(beta.grad) < 0
    with pytest.raises(TypeError, match="u is float"):
        LOSSES["dpo"].torch(1.0, torch.zeros(2))
