"""Gradient flow: the path of infinitely small steps against the gradient.

The independent variable of the integration is arc length, and time is a third component: near the
edge of the ratio chart the speed tends to infinity (beta < 1) or to 0 (beta > 1), but the curve
stays smooth.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.integrate import quad, solve_ivp

from dpofield.field.core import Array, evaluate, invariant, prepare
from dpofield.formulas import Chart, Loss
from dpofield.formulas.losses import POSITIVE
from dpofield.formulas.parameters import check_interval

EDGE = 1e-9
"""A coordinate this close to its lower bound counts as extinct."""
TINY = 1e-280
"""A gradient below this counts as 0: float64 represents neither its digits nor the time."""
PATIENCE = 50_000
"""Largest number of evaluations of the field; a usual flow needs some thousands."""
AHEAD = 1e-9
"""Distance ahead at which a reversed gradient stops the flow: it shows a zero in between."""


@dataclass(frozen=True)
class Flow:
    """A flow line: time, the two coordinates and the arc length, all of shape (n,).

    `stopped` is the reason for the end: "extinct" (the dispreferred coordinate reached the chart's
    edge), "boundary" (the preferred coordinate did), "time", "length", or "rest". "rest" means that
    the gradient vanishes 1e-9 ahead or is below 1e-280. The flow reaches a zero of the gradient
    only in infinite time; `t` ends at the stop.
    """

    chart: str
    t: Array
    a: Array
    b: Array
    length: Array
    stopped: str

    @property
    def invariant(self) -> Array:
        """The conserved quantity along the line: constant up to the integrator's tolerance."""
        return invariant(self.chart, self.a, self.b)


def flow(
    loss: str | Loss,
    chart: str | Chart,
    start: tuple[float, float] = (1.0, 1.0),
    *,
    time: float = np.inf,
    length: float = 10.0,
    points: int = 200,
    rtol: float = 1e-10,
    **params: Any,
) -> Flow:
    """Follow `-gradient` from `start` until `time`, `length` or the edge of the chart.

    Integrator: SciPy's DOP853 on (a, b, t) by arc length. `params` and errors as in
    `field.gradient`; `ValueError` also if `time` or `length` is not positive, `RuntimeError` if the
    equations are too stiff for the integrator to reach `length`.

    >>> line = flow("dpo", "ratio", beta=1.0)
    >>> line.stopped, round(float(line.t[-1]), 3), round(float(line.a[-1]), 4)
    ('extinct', 1.785, 1.4142)
    """
    check_interval("time", min(time, 1e300), POSITIVE, "how long to flow")
    check_interval("length", length, POSITIVE, "how far to flow")
    loss, chart, a0, b0, given = prepare(loss, chart, *start, params)
    exprs = chart.gradient(loss)
    low, high = float(chart.domain.start), float(chart.domain.end)

    def slopes(state: Array) -> tuple[float, float]:
        inside = np.clip(state[:2], low + EDGE / 2 if np.isfinite(low) else low, high)
        along_a, along_b = evaluate(exprs, loss, chart, inside[0], inside[1], given)
        return float(along_a), float(along_b)

    calls = itertools.count()

    def direction(s: float, state: Array) -> list[float]:
        if next(calls) > PATIENCE:
            raise RuntimeError(
                f"flow of {loss.name!r} from {start} has become too stiff at length {s:.3g}: it "
                f"follows a narrow valley; use a smaller length="
            )
        along_a, along_b = slopes(state)
        speed = max(float(np.hypot(along_a, along_b)), TINY)
        return [-along_a / speed, -along_b / speed, 1.0 / speed]

    def rest(_s: float, state: Array) -> float:
        step = np.array(direction(_s, state)[:2])
        return -float(np.dot(step, slopes(state[:2] + AHEAD * step))) - 2 * TINY

    def extinct(_s: float, state: Array) -> float:
        return float(state[1] - low - EDGE) if np.isfinite(low) else 1.0

    def boundary(_s: float, state: Array) -> float:
        return float(high - state[0]) if np.isfinite(high) else 1.0

    def late(_s: float, state: Array) -> float:
        return float(time - state[2]) if np.isfinite(time) else 1.0

    start_at = np.array([float(a0), float(b0), 0.0])
    if rest(0.0, start_at) < 0:
        a, b, t = (np.full(points, z) for z in start_at)
        return Flow(chart.name, t, a, b, np.zeros(points), "rest")
    events = [extinct, boundary, late, rest]
    for event in events:
        event.terminal = True  # type: ignore[attr-defined]
    solution = solve_ivp(
        direction,
        (0.0, length),
        start_at,
        method="DOP853",
        rtol=rtol,
        atol=1e-12,
        events=events,
        dense_output=True,
    )
    if not solution.success:
        raise RuntimeError(f"flow of {loss.name!r} from {start} failed: {solution.message}")
    hits = [len(found) > 0 for found in solution.t_events or ()]
    names = ("extinct", "boundary", "time", "rest")
    stopped = next((n for n, hit in zip(names, hits, strict=True) if hit), "length")
    s = np.linspace(0.0, solution.t[-1], points)
    assert solution.sol is not None  # because of dense_output
    a, b, t = solution.sol(s)
    return Flow(chart.name, t, a, b, s, stopped)


def extinction_time(beta: float) -> float:
    """The time at which the dispreferred ratio reaches 0 on the circle from (1, 1).

    `T(beta) = (2/beta) * integral_0^1 r^(1-beta) (1 + r^beta)/(1 + r^2)^2 dr`, infinite for
    beta >= 2 (own derivation, `THEOREMS["extinction"]`). `ValueError` for beta <= 0.

    >>> [round(extinction_time(b), 4) for b in (0.1, 0.5, 1.0)]
    [10.3683, 2.4875, 1.7854]
    """
    check_interval("beta", beta, POSITIVE, "the strength of the KL penalty is positive")
    if beta >= 2:
        return float("inf")
    p = 2.0 - beta
    # The substitution r = w^(1/p) removes the weak singularity r^(1-beta) at 0.
    value, _ = quad(
        lambda w: (1 + w ** (beta / p)) / (1 + w ** (2 / p)) ** 2, 0.0, 1.0, epsabs=1e-13
    )
    return float(2 / (beta * p) * value)
