"""Checks of the chapter on charts: flows, times, and losses typed here independently."""

from __future__ import annotations

from collections.abc import Callable

import mpmath
import numpy as np
import sympy as sp
import torch

from dpofield.field import coordinates, extinction_time, flow, margin_at
from dpofield.formulas import CHARTS, LOSSES, Loss
from dpofield.formulas.stable import logsigmoid
from dpofield.formulas.symbols import u, v

STARTS = ((0.0, 0.0), (-1.0, 0.6))  # log-ratios, nats
SHAPES = (
    LOSSES["dpo"],
    Loss("square", "a square", (u - v - 20) ** 2, (), "IPO's shape"),
    Loss("exponential", "an exponential", sp.exp(-(u - v) / 2), (), "own"),
    Loss("smoothed", "a smoothed label", -logsigmoid(u - v) - logsigmoid(v - u) / 9, (), "own"),
)


def _place(chart: str, u_: float, v_: float) -> tuple[float, float]:
    a, b = coordinates(chart, u_, v_)
    return float(a), float(b)


def four_flows() -> str:
    """Invariants of four losses in four charts, and the closed-form times of two flows."""
    drifts = [
        np.ptp(flow(shape, chart, _place(chart, *start), length=0.2).invariant)
        for shape in SHAPES
        for chart in CHARTS
        for start in STARTS
    ]
    assert max(drifts) < 1e-8, f"an invariant drifts by {max(drifts):.0e}"
    line = flow("dpo", "logit", _place("logit", 0.0, 0.0), beta=0.5, time=50.0, length=99.0)
    assert line.stopped == "time"
    gap = float(np.abs(line.a - line.b - margin_at(line.t, 0.5)).max())
    assert gap < 1e-7, f"the margin in logits differs from its closed form by {gap:.0e}"
    quarter = flow("dpo", "probability", (0.25, 0.25), beta=0.5)
    assert quarter.stopped == "extinct"
    assert np.isclose(quarter.t[-1], extinction_time(0.5) / 16, rtol=1e-5)
    return f"largest drift {max(drifts):.0e} over {len(drifts)} flow lines; clocks within {gap:.0e}"


def log_ratio_clock() -> str:
    """Compare the closed form with the integrator, and with a root computed by mpmath."""
    gaps = []
    for beta in (0.1, 0.5, 1.0):
        line = flow("dpo", "log-ratio", (0.0, 0.0), beta=beta, time=1000.0, length=99.0)
        assert line.stopped == "time"
        gaps.append(float(np.abs(line.a - line.b - margin_at(line.t, beta)).max()))
    assert max(gaps) < 1e-7, f"integrator and closed form differ by {max(gaps):.0e} nats"
    worst = 0.0
    with mpmath.workdps(50):
        for beta in (1e-3, 0.1, 10.0):
            for time in (1e-9, 1.0, 1e5, 1e300):
                elapsed = 2 * mpmath.mpf(beta) ** 2 * mpmath.mpf(time)
                guess = mpmath.log1p(elapsed) / (1 + 1 / (1 + elapsed))
                root = mpmath.findroot(
                    lambda y, s=elapsed: mpmath.log(mpmath.exp(y) + y) - mpmath.log1p(s), guess
                )
                found = mpmath.mpf(float(margin_at(time, beta))) * mpmath.mpf(beta)
                worst = max(worst, float(abs(found / root - 1)))
    assert worst < 1e-14, f"relative error {worst:.0e}"
    return f"integrator within {max(gaps):.0e} nats; relative error {worst:.0e} against 50 digits"


def any_loss_of_the_margin() -> str:
    """Autograd of losses typed here: the larger component depends on the chart only."""
    rng = np.random.default_rng(8)
    losses: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "logistic": lambda m: torch.nn.functional.softplus(-0.1 * m),
        "squared": lambda m: (m - 5) ** 2,
        "hinge": lambda m: torch.relu(30 - m),
        "exponential": lambda m: torch.exp(-0.7 * m),
    }
    points = torch.tensor(rng.uniform(0.01, 2.2, size=(2, 5000)))
    below = points[1] < points[0]
    for name, f in losses.items():
        x = points.clone().requires_grad_()
        (by_x,) = torch.autograd.grad(f(x[0].log() - x[1].log()).sum(), x)
        assert torch.equal(by_x[1].abs() > by_x[0].abs(), below), name
        logs = points.log().requires_grad_()
        (by_u,) = torch.autograd.grad(f(logs[0] - logs[1]).sum(), logs)
        assert torch.equal(by_u[0], -by_u[1]), name
    return f"{', '.join(losses)}: dispreferred larger exactly where x2 < x1; in log-ratios equal"
