"""Checks of one softmax and one pair."""

from __future__ import annotations

import numpy as np
import torch
from scipy.integrate import solve_ivp

from dpofield.field.softmax import path, rates
from dpofield.formulas import LOSSES, THEOREMS
from dpofield.formulas.printers import numpy_function
from dpofield.formulas.symbols import pi_l, pi_w
from dpofield.formulas.theorems.one_softmax import W


def _policies(count: int, n: int = 6) -> np.ndarray:
    """Log-probabilities of random policies, some flat and some peaked, (count, n)."""
    z = np.random.default_rng(0).normal(scale=2, size=(count, n))
    return np.asarray(z - np.logaddexp.reduce(z, axis=1, keepdims=True))


def three_rates_against_autograd() -> str:
    """Compare the three rates with autograd: a step in the logits, through the log-softmax."""
    worst = 0.0
    for logp in _policies(200):
        z = torch.tensor(logp, requires_grad=True)
        gain = torch.log_softmax(z, 0) - torch.tensor(logp)
        (slope,) = torch.autograd.grad(LOSSES["dpo"].torch(gain[0], gain[1], beta=0.1), z)
        assert bool((slope[2:].abs() < 1e-17).all()), "a logit outside the pair moves"
        # Two backward passes make a forward derivative: `back` is linear in `pulled`.
        pulled = torch.zeros_like(z, requires_grad=True)
        (back,) = torch.autograd.grad(torch.log_softmax(z, 0), z, pulled, create_graph=True)
        found = torch.autograd.grad(back, pulled, -slope)[0].numpy()
        printed = tuple(c.equation.rhs for c in THEOREMS["softmax-rates"].chains[3:6])
        first, second, other = numpy_function((pi_w, pi_l, W), printed)(*np.exp(logp[:2]), 0.05)
        worst = max(worst, float(np.abs(found - [first, second, *[other] * 4]).max()))
    assert worst < 1e-15, f"autograd differs from the three rates by {worst:.0e}"
    return f"largest difference {worst:.0e} over 200 policies of 6 responses"


def path_against_an_integrator() -> str:
    """Compare the closed path with torch's gradient integrated by SciPy, for random references."""
    worst, times = 0.0, np.geomspace(0.1, 1e4, 12)
    for reference in _policies(8):
        base = torch.tensor(reference)

        def velocity(_t: float, z: np.ndarray, base: torch.Tensor = base) -> np.ndarray:
            leaf = torch.tensor(z, requires_grad=True)
            gain = torch.log_softmax(leaf, 0) - base
            loss = LOSSES["dpo"].torch(gain[0], gain[1], beta=0.1)
            return np.asarray(-torch.autograd.grad(loss, leaf)[0].numpy())

        span = (0, times[-1])
        z = solve_ivp(velocity, span, reference, "DOP853", times, rtol=1e-9, atol=1e-9).y.T
        logp = z - np.logaddexp.reduce(z, axis=1, keepdims=True)
        exact = path(reference, 0, 1, times=times, beta=0.1)
        worst = max(worst, float(np.abs(exact.logp - logp).max()))
        assert (np.diff(exact.preferred) >= 0).all(), "the preferred fell"
    assert worst < 1e-7, f"the path differs from the integrated one by {worst:.0e} nats"
    return f"largest difference {worst:.0e} nats over 8 starts, times 0.1 to 10000"


def faster_rate_in_one_softmax() -> str:
    """Which response moves faster, in log-probability and in probability, at random policies."""
    logp = _policies(20_000)
    rate = rates(logp, 0, 1, beta=0.1)
    ahead = logp[:, 0] > logp[:, 1]
    up, down = np.abs(rate[:, 0]), np.abs(rate[:, 1])
    assert ((down > up) == ahead).all(), "log-probabilities: not where pi_w > pi_l"
    gain, loss = up * np.exp(logp[:, 0]), down * np.exp(logp[:, 1])
    assert ((loss > gain) == ~ahead).all(), "probabilities: not where pi_w < pi_l"
    unlikely = logp - 40.0  # log-probabilities of a response among very many
    unlikely = np.concatenate([unlikely, np.zeros((len(unlikely), 1))], axis=1)
    small = rates(unlikely, 0, 1, beta=0.1)
    assert np.abs(small[:, 1] / small[:, 0] + 1).max() < 1e-15
    share = f"{ahead.mean():.0%} of {len(logp)}"
    return f"log-probabilities: where pi_w > pi_l ({share}); probabilities: in the others"


def preferred_falls_with_one_parameter() -> str:
    """Torch's SGD on one parameter, features (1, 0, 3): loss and preferred both fall."""
    phi = torch.tensor([1.0, 0.0, 3.0], dtype=torch.float64)
    theta = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    reference = torch.log_softmax(phi * theta.detach(), 0)
    optimizer = torch.optim.SGD([theta], lr=20.0)
    losses, preferred = [], []
    for _ in range(200):
        gain = torch.log_softmax(phi * theta, 0) - reference
        loss = LOSSES["dpo"].torch(gain[0], gain[1], beta=0.1)
        losses.append(float(loss.detach()))
        preferred.append(float(gain[0].detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (np.diff(losses) < 0).all(), "the loss does not fall at every step"
    assert (np.diff(preferred) < 0).all(), "the preferred does not fall at every step"
    fell = f"loss {losses[0]:.2f} to {losses[-1]:.2f}, preferred {preferred[-1]:+.0f} nats"
    return f"200 SGD steps: {fell}"
