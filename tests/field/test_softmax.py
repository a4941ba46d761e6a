"""One softmax, one pair: the numbers against autograd and a numerical integrator."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.integrate import solve_ivp

from dpofield.field.clock import margin_at
from dpofield.field.softmax import path, peak, rates, split, time_of
from dpofield.formulas import LOSSES, THEOREMS
from dpofield.formulas.printers import numpy_function
from dpofield.formulas.symbols import pi_l, pi_w
from dpofield.formulas.theorems.one_softmax import W

LOGITS = arrays(float, st.integers(2, 8), elements=st.floats(-12, 12))
BETAS = (0.02, 0.1, 1.0, 3.0)


def closed_rates(p, q):
    """The three rates divided by W, as in the theorem."""
    chains = THEOREMS["softmax-rates"].chains[3:6]
    return numpy_function((pi_w, pi_l), tuple(c.equation.rhs / W for c in chains))(p, q)


def torch_rates(z, reference, features, w, l, beta):  # noqa: E741
    """d log pi/dt by autograd only: the loss's gradient in theta, then a jvp of log-softmax."""
    phi = torch.tensor(features)
    base = torch.tensor(z)
    theta = torch.zeros(phi.shape[1], dtype=torch.float64, requires_grad=True)

    def logp(parameters):
        return torch.log_softmax(base + phi @ parameters, 0)

    gain = logp(theta) - torch.log_softmax(torch.tensor(reference), 0)
    (gradient,) = torch.autograd.grad(LOSSES["dpo"].torch(gain[w], gain[l], beta=beta), theta)
    return torch.autograd.functional.jvp(logp, theta.detach(), -gradient)[1].numpy()


@pytest.mark.parametrize("n", [2, 3, 8])
@pytest.mark.parametrize("shared", [False, True])
def test_rates_against_autograd(n, shared):
    """An independent oracle: torch differentiates the loss and the softmax."""
    rng = np.random.default_rng(n)
    for beta in BETAS:
        z, reference = rng.normal(scale=3, size=(2, n))
        w, l = rng.permutation(n)[:2]  # noqa: E741
        phi = rng.normal(size=(n, 2)) if shared else np.eye(n)
        margin = (z - reference)[w] - (z - reference)[l]
        found = rates(z, w, l, beta=beta, margin=margin, features=phi if shared else None)
        expected = torch_rates(z, reference, phi, w, l, beta)
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-15)


@given(LOGITS)
def test_rates_are_the_theorem(z):
    """Rates computed from all logits equal the three closed forms of the theorem."""
    p = np.exp(z - np.logaddexp.reduce(z))
    found = rates(z, 0, 1, beta=1.0) / 0.5
    first, second, other = closed_rates(p[0], p[1])
    np.testing.assert_allclose(found, [first, second, *[other] * (len(z) - 2)], atol=1e-14)
    assert found[0] >= 0
    assert found[1] < 0
    assert abs(p @ found) < 1e-14, "mass is not conserved"
    assert (abs(found[1]) > abs(found[0])) == (p[0] - p[1] > 0) or abs(p[0] - p[1]) < 1e-15


def test_rates_broadcast_and_shift():
    """A batch of policies works; a constant added to all logits changes nothing."""
    z = np.random.default_rng(0).normal(size=(5, 7, 4))
    margin = np.linspace(0, 9, 7)
    all_at_once = rates(z, 2, 0, margin=margin)
    assert all_at_once.shape == z.shape
    np.testing.assert_array_equal(all_at_once[3, 6], rates(z[3, 6], 2, 0, margin=9.0))
    np.testing.assert_allclose(rates(z + 40.0, 2, 0, margin=margin), all_at_once, atol=1e-14)


@given(LOGITS)
def test_split(z):
    """The shares follow from the probability rates; if pi_w = pi_l the preferred gains all mass."""
    flow = np.exp(z - np.logaddexp.reduce(z)) * rates(z, 0, 1)
    to_w, to_rest = split(z, 0, 1)
    assert to_w == pytest.approx(flow[0] / -flow[1], rel=1e-6)
    assert to_w + to_rest == pytest.approx(1.0)
    assert split(np.where(np.arange(len(z)) == 1, z[0], z), 0, 1)[0] == pytest.approx(1.0)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("shared", [False, True])
def test_path_against_an_integrator(beta, shared):
    """SciPy integrates the logits with rates typed here; the path agrees."""
    rng = np.random.default_rng(7)
    z0, phi = rng.normal(scale=2, size=5), rng.normal(size=(5, 3)) if shared else np.eye(5)
    move = phi @ (phi[1] - phi[3])
    times = np.array([0.0, 0.3, 5.0, 400.0]) / beta**2

    def velocity(_t, z):
        h = (z - z0)[1] - (z - z0)[3]
        return beta / (1 + math.exp(beta * h)) * move

    solved = solve_ivp(velocity, (0, times[-1]), z0, "DOP853", times, rtol=1e-12, atol=1e-12)
    way = path(z0, 1, 3, times=times, beta=beta, features=phi if shared else None)
    logp = solved.y.T - np.logaddexp.reduce(solved.y.T, axis=1, keepdims=True)
    np.testing.assert_allclose(way.logp, logp, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(
        way.margin, (logp - logp[0])[:, 1] - (logp - logp[0])[:, 3], atol=1e-8
    )
    np.testing.assert_allclose(way.preferred + way.dispreferred + way.rest, 1.0, rtol=1e-12)


@given(st.floats(-20, 300), st.sampled_from(BETAS), st.floats(0.01, 100))
def test_time_of_is_the_inverse_of_the_clock(log_time, beta, speed):
    """`time_of` inverts `margin_at` for times from e^-20 to e^300; features only rescale time."""
    time = math.exp(log_time)
    h = margin_at(time * speed / 2, beta)
    assert time_of(h, beta=beta, speed=speed) == pytest.approx(time, rel=1e-11)


def test_time_of_in_closed_cases():
    """The time at beta h = 1 in closed form; a time beyond float64 is infinite, not an error."""
    assert time_of(10.0, beta=0.1) == pytest.approx(math.e / (2 * 0.01), rel=1e-14)
    assert time_of(0.0) == 0
    assert time_of(1e6) == math.inf


@given(LOGITS, st.floats(0.01, 2.0))
def test_others_keep_their_proportions_on_one_conic(z, beta):
    """The path conserves pi_w pi_l/pi_o^2, and pi_o/pi_o' for all other responses."""
    way = path(z, 0, 1, times=np.geomspace(1e-2, 1e4, 9), beta=beta)
    start = z - np.logaddexp.reduce(z)
    moved = way.logp - start
    np.testing.assert_allclose(moved[:, 0] + moved[:, 1], 2 * moved[:, -1] if len(z) > 2 else
                               moved[:, 0] + moved[:, 1], atol=1e-10)  # fmt: skip
    np.testing.assert_allclose(moved[:, 2:], moved[:, -1:] * np.ones(len(z) - 2), atol=1e-12)
    assert (np.diff(way.preferred) >= -1e-15).all(), "the preferred fell"
    assert (np.diff(way.dispreferred) <= 1e-15).all(), "the dispreferred rose"


@given(arrays(float, st.integers(3, 8), elements=st.floats(-6, 6)), st.sampled_from((0.1, 1.0)))
def test_peak_is_the_maximum_on_the_path(z, beta):
    """The rest never exceeds the peak on the path, and reaches it at the peak's time."""
    best = peak(z, 0, 1, beta=beta)
    way = path(z, 0, 1, times=time_of(2 * best.s * np.linspace(0, 3, 61), beta=beta), beta=beta)
    assert way.rest.max() <= best.rest * (1 + 1e-12)
    at = path(z, 0, 1, times=best.t, beta=beta)
    assert at.rest[0] == pytest.approx(best.rest, rel=1e-9)
    if best.s > 0:
        assert at.preferred[0] == pytest.approx(at.dispreferred[0], rel=1e-8)
    else:
        assert z[0] >= z[1]
        assert best.t == 0


def test_the_end_is_a_power_law():
    """1 - pi_w falls like t^(-1/(2 beta)) and pi_l like t^(-1/beta)."""
    for beta in (0.5, 1.0, 2.0):
        way = path(np.zeros(4), 0, 1, times=[1e8, 1e10], beta=beta)
        slope = np.diff(np.log(way.dispreferred + way.rest))[0] / math.log(100)
        assert slope == pytest.approx(-1 / (2 * beta), rel=1e-2)
        assert np.diff(way.logp[:, 1])[0] / math.log(100) == pytest.approx(-1 / beta, rel=1e-2)


@pytest.mark.parametrize("lr", [0.5, 5.0, 500.0])
def test_gradient_descent_is_never_behind(lr):
    """SGD on the logits stays on the same curve at any step size, slightly ahead of the flow."""
    beta, reference = 0.3, torch.tensor([0.2, 1.4, -0.5, 0.9], dtype=torch.float64)
    z = reference.clone().requires_grad_()
    optimizer = torch.optim.SGD([z], lr=lr)
    margins, conic = [], []
    for _ in range(60):
        gain = torch.log_softmax(z, 0) - torch.log_softmax(reference, 0)
        margins.append(float((gain[0] - gain[1]).detach()))
        conic.append(float((gain[0] + gain[1] - 2 * gain[2]).detach()))
        optimizer.zero_grad()
        LOSSES["dpo"].torch(gain[0], gain[1], beta=beta).backward()
        optimizer.step()
    np.testing.assert_allclose(conic, 0, atol=1e-12)
    lead = np.array(margins) - margin_at(lr * np.arange(60), beta)
    assert (lead >= -1e-10).all()
    assert lr > 1 or lead.max() < 0.05


@given(st.floats(1.001, 6), st.floats(-3, 3))
def test_smallest_model_in_which_the_preferred_falls(c, theta):
    """phi = (1, 0, c): the sign of the preferred's rate is that of 1 + pi_l/pi_o - c."""
    phi = np.array([[1.0], [0.0], [c]])
    z = phi[:, 0] * theta
    room = 1 + math.exp(z[1] - z[2]) - c
    rate = rates(z, 0, 1, features=phi)[0]
    assert rate * room > 0 or abs(room) < 1e-9
    end = path(z, 0, 1, times=[1e300], beta=0.1, features=phi)
    assert end.preferred[0] < 0.01 or c < 1.01
    assert end.margin[0] > 1000


@given(st.lists(st.floats(-5, 5), min_size=6, max_size=6), st.floats(-3, 3))
def test_two_responses_cannot_fall(entries, z):
    """With two responses and any features, the preferred does not fall."""
    phi = np.array(entries).reshape(2, 3)
    assert rates([z, 0.0], 0, 1, features=phi)[0] >= -1e-12


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rates([0.0, 1.0], 1, 1), "w = l = 1"),
        (lambda: rates([0.0], 0, 0), "needs two responses"),
        (lambda: rates(0.0, 0, 1), "needs two responses"),
        (lambda: rates([0.0, np.nan], 0, 1), "logits = nan"),
        (lambda: rates([0.0, np.inf], 0, 1), "logits = inf"),
        (lambda: rates([0.0, 1.0], 2, 1), "w = 2 is not an index of 2"),
        (lambda: rates([0.0, 1.0], 0, -1), "l = -1 is not an index"),
        (lambda: rates([0.0, 1.0], 0, 1, beta=0.0), "beta"),
        (lambda: rates([0.0, 1.0], 0, 1, margin=np.nan), "nan"),
        (lambda: rates([0.0, 1.0], 0, 1, features=[[1.0]]), r"features of shape \(1, 1\)"),
        (lambda: rates([0.0, 1.0], 0, 1, features=[1.0, 2.0]), r"features of shape \(2,\)"),
        (lambda: rates([0.0, 1.0], 0, 1, features=[[np.inf], [0.0]]), "features = inf"),
        (lambda: split([0.0, 1.0], 1, 1), "w = l = 1"),
        (lambda: path([0.0, 1.0], 0, 1, times=-1.0), "time = -1"),
        (lambda: path([0.0, 1.0], 0, 1, times=1.0, beta=-2.0), "beta"),
        (lambda: path([0.0, 1.0], 0, 1, times=1.0, features=[[1.0], [1.0]]), "phi_w - phi_l"),
        (lambda: peak([[0.0, 1.0]], 0, 1), r"logits_ref of shape \(1, 2\)"),
        (lambda: time_of(-1.0), "margin = -1"),
        (lambda: time_of(1.0, speed=0.0), "speed"),
        (lambda: path([0.0, 1.0], 0, 1, times=math.nan), "time = nan"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    """The error names the bad argument."""
    with pytest.raises(ValueError, match=message):
        call()
