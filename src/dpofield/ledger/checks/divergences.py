"""Checks of the chapter on divergences: ratios, flows, times to 0, a constrained optimum."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.optimize import minimize

from dpofield.field import extinction_time, flow
from dpofield.field.caps import cap, conserved_by
from dpofield.formulas import DIVERGENCES

FIRST: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "reverse_kl": torch.log,
    "forward_kl": lambda x: -1 / x,
    "js": lambda x: torch.log(x / (1 + x)),
    "alpha": lambda x: -2 / torch.sqrt(x),
    "chi2": lambda x: x,
}
"""f' of each divergence, up to a constant, typed here independently; alpha = 1/2."""
RATIO: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "reverse_kl": lambda a, b: b / a,
    "forward_kl": lambda a, b: (b / a) ** 2,
    "js": lambda a, b: b * (1 + b) / (a * (1 + a)),
    "alpha": lambda a, b: (b / a) ** 1.5,
    "chi2": lambda a, b: torch.ones_like(a),
}


def ratios_by_autograd() -> str:
    """Ratio of components of each f-DPO loss by autograd, in ratios and in log-ratios."""
    points = torch.tensor(np.random.default_rng(9).uniform(0.2, 2.2, size=(2, 2000)))
    worst = 0.0
    for name, first in FIRST.items():
        x = points.clone().requires_grad_()
        margin = first(x[0]) - first(x[1])
        (by_x,) = torch.autograd.grad(torch.nn.functional.softplus(-0.3 * margin).sum(), x)
        expected = RATIO[name](points[0], points[1])
        by_u = by_x * points
        for found, wanted in (
            (-by_x[0] / by_x[1], expected),
            (-by_u[0] / by_u[1], expected * points[0] / points[1]),
        ):
            worst = max(worst, float((found / wanted - 1).abs().max()))
    assert worst < 1e-10, f"relative error {worst:.0e}"
    return f"5 losses at {points.shape[1]} points in two charts, relative error {worst:.0e}"


def flows_of_five() -> str:
    """Each flow from (1, 1) keeps I(x1) + I(x2) and stays below its cap, for two beta."""
    drift, gap = 0.0, 0.0
    for name, loss in ((d.name, d.loss) for d in DIVERGENCES.values()):
        for beta in (0.1, 1.0):
            line = flow(loss, "ratio", beta=beta, time=300.0)
            kept = conserved_by(name, line.a) + conserved_by(name, line.b)
            drift = max(drift, float(np.ptp(kept)))
            assert line.a.max() < cap(name) * (1 + 1e-8), f"{name}: above the cap"
            if line.stopped == "extinct":
                gap = max(gap, abs(float(line.a[-1]) - cap(name)))
    assert drift < 1e-7, f"an invariant drifts by {drift:.0e}"
    assert gap < 1e-7, f"a cap is missed by {gap:.0e}"
    high = flow("alpha_div", "ratio", length=4.0, alpha=3.0, beta=0.1)
    assert high.a[-1] > 2 * cap("chi2"), "at alpha = 3 there should be no cap"
    return f"largest drift {drift:.0e}, caps within {gap:.0e}; at alpha 3 x1 = {high.a[-1]:.1f}"


def clocks_of_five() -> str:
    """Which losses take x2 to 0 in finite time, and when, by the integrator."""
    for beta in (0.1, 1.0, 2.5):
        line = flow("chi2", "ratio", beta=beta)
        exact = 1 / beta + np.expm1(2 * beta) / (2 * beta**2)
        assert line.stopped == "extinct"
        assert np.isclose(line.t[-1], exact, rtol=1e-7)
    dpo = flow("dpo", "ratio", beta=0.1)
    assert np.isclose(dpo.t[-1], extinction_time(0.1), rtol=1e-6)
    js = flow("js", "ratio", beta=0.1)
    assert js.stopped == "extinct"
    late = flow("forward_kl", "ratio", beta=0.1, time=1e6)
    assert late.stopped == "time"
    assert late.b[-1] > 1e-3
    return (
        f"beta 0.1: reverse KL {dpo.t[-1]:.2f}, Jensen-Shannon {js.t[-1]:.2f}, chi-squared "
        f"{1 / 0.1 + np.expm1(0.2) / 0.02:.2f}; forward KL has x2 = {late.b[-1]:.4f} at 1e6"
    )


def closed_form_needs_a_slope() -> str:
    """Maximise a penalised reward by SLSQP; compare the reward with beta f' of the ratio."""
    reference, beta = np.array([0.5, 0.3, 0.2]), 1.0
    reward = np.array([2.0, 0.5, -3.0])
    penalties: dict[str, tuple[Callable[..., object], Callable[..., object]]] = {
        "reverse KL": (lambda x: x * np.log(x), np.log),
        "forward KL": (lambda x: -np.log(x), lambda x: -1 / x),
        "chi-squared": (lambda x: (x - 1) ** 2 / 2, lambda x: x - 1),
    }
    misses = {}
    for name, (f, first) in penalties.items():
        low = 0.0 if name == "chi-squared" else 1e-9

        def worth(pi: np.ndarray, f: Callable[..., object] = f) -> float:
            return float(-pi @ reward + beta * reference @ np.asarray(f(pi / reference)))

        best = minimize(
            worth,
            reference,
            method="SLSQP",
            bounds=[(low, 1.0)] * 3,
            constraints={"type": "eq", "fun": lambda pi: pi.sum() - 1},
            options={"ftol": 1e-14, "maxiter": 500},
        )
        implied = beta * np.asarray(first(best.x / reference))
        misses[name] = float(np.abs(np.diff(implied) - np.diff(reward)).max())
    assert misses["reverse KL"] < 1e-3
    assert misses["forward KL"] < 1e-3
    assert misses["chi-squared"] > 1
    return "largest error of a reward difference: " + ", ".join(
        f"{name} {miss:.1g}" for name, miss in misses.items()
    )
