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
from dpofield.formulas.printers import numpy_function

EDGE = 1e-9
"""A coordinate counts as at its bound at this distance, times that of the start if this is < 1."""
TINY = 1e-280
"""A gradient below this counts as 0: float64 represents neither its digits nor the time."""
PATIENCE = 50_000
"""Largest number of evaluations of the field; a usual flow needs some thousands."""
AHEAD = 1e-9
"""Distance ahead, scaled as `EDGE`, at which a reversed gradient stops the flow: it shows a zero in
between."""
CLOSEST = 1e-140
"""Least distance of a start from the edge: the time from there is of the order of its square."""
FINITE_TAIL = 1e-6
"""Least power of the distance by which the remaining time shrinks, if it is finite."""


@dataclass(frozen=True)
class Flow:
    """A flow line: time, the two coordinates and the arc length, all of shape (n,).

    `stopped` is the reason for the end:

    - "extinct": the dispreferred coordinate reached its lower bound;
    - "edge": it is close to this bound, and reaches it only in infinite time;
    - "boundary": the line reached another bound of the chart, such as probabilities that sum to 1;
    - "time", "length": the flow went as far as asked for;
    - "rest": the gradient vanishes 1e-9 ahead or is below 1e-280. The flow reaches a zero of the
      gradient only in infinite time.

    `t` ends at the stop.
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
    `field.gradient`; `ValueError` also if `time` or `length` is not positive, for fewer than
    two `points` and for a start within 1e-140 of the edge; `RuntimeError` if the equations are too
    stiff for the integrator to reach `length`.

    >>> line = flow("dpo", "ratio", beta=1.0)
    >>> line.stopped, round(float(line.t[-1]), 3), round(float(line.a[-1]), 4)
    ('extinct', 1.785, 1.4142)
    """
    time, length = float(time), float(length)
    check_interval("time", min(time, 1e300), POSITIVE, "how long to flow")
    check_interval("length", length, POSITIVE, "how far to flow")
    check_interval("rtol", rtol, POSITIVE, "the relative tolerance of the integrator")
    if points < 2:
        raise ValueError(f"points = {points}: a flow line needs its start and its end")
    if len(start) != 2 or any(np.ndim(x) for x in start):
        raise ValueError(f"start = {start!r}: expected two numbers, one per coordinate")
    loss, chart, a0, b0, given = prepare(loss, chart, *start, params)
    for name, value in given.items():
        if np.ndim(value):
            raise ValueError(f"{name} is an array: a flow line has one value of each parameter")
    exprs = chart.gradient(loss)
    low, high = float(chart.domain.start), float(chart.domain.end)
    bounded = np.isfinite(low)
    start_at = np.array([float(a0), float(b0)])
    # The integrator's tolerances are absolute, so it counts in units of the start's distance from
    # the edge, and in units of the time in which the start would cover this distance.
    origin = low if bounded else 0.0
    unit = min(1.0, *(start_at - low)) if bounded else 1.0
    if unit < CLOSEST:
        raise ValueError(f"start = {start!r}: closer to the edge than {CLOSEST}, times underflow")
    margins = EDGE * np.minimum(1.0, (start_at - origin) / unit) if bounded else np.zeros(2)

    def slopes(state: Array) -> tuple[float, float]:
        held = np.maximum(state[:2], margins / 2) if bounded else state[:2]
        a, b = np.minimum(origin + unit * held, high)
        along_a, along_b = evaluate(exprs, loss, chart, a, b, given)
        return float(along_a), float(along_b)

    def speed(along: tuple[float, float]) -> float:
        return max(float(np.hypot(*along)), TINY)

    inside = chart.within and numpy_function(chart.coordinates, (chart.within,))
    calls = itertools.count()
    moment = min(1.0, max(unit / speed(slopes((start_at - origin) / unit)), TINY))

    def direction(s: float, state: Array) -> list[float]:
        if next(calls) > PATIENCE:
            raise RuntimeError(
                f"flow of {loss.name!r} from {start} has become too stiff at length "
                f"{s * unit:.3g}: it follows a narrow valley; use a smaller length="
            )
        along = slopes(state)
        fast = speed(along)
        return [-along[0] / fast, -along[1] / fast, unit / (fast * moment)]

    def rest(_s: float, state: Array) -> float:
        step = np.array(direction(_s, state)[:2])
        return -float(np.dot(step, slopes(state[:2] + AHEAD * step))) - 2 * TINY

    def extinct(_s: float, state: Array) -> float:
        return float(state[1] - margins[1]) if bounded else 1.0

    def boundary(_s: float, state: Array) -> float:
        above = float(high - origin) / unit - max(state[:2]) if np.isfinite(high) else 1.0
        if inside is not None:
            above = min(above, 1 - float(inside(*(origin + unit * state[:2]))[0]))
        return float(min(above, state[0] - margins[0]) if bounded else above)

    def late(_s: float, state: Array) -> float:
        return float(time / moment - state[2]) if np.isfinite(time) else 1.0

    first = np.array([*(start_at - origin) / unit, 0.0])
    if rest(0.0, first) < 0:
        a, b, t = (np.full(points, z) for z in (*start_at, 0.0))
        return Flow(chart.name, t, a, b, np.zeros(points), "rest")
    events = [extinct, boundary, late, rest]
    for event in events:
        event.terminal = True  # type: ignore[attr-defined]
    solution = solve_ivp(
        direction,
        (0.0, length / unit),
        first,
        method="DOP853",
        rtol=rtol,
        atol=1e-12,
        events=events,
        dense_output=True,
    )
    if not solution.success:
        raise RuntimeError(
            f"flow of {loss.name!r} from {start} failed at length {solution.t[-1] * unit:.3g}: its "
            f"scales differ by more than float64 can hold ({solution.message})"
        )
    hits = [len(found) > 0 for found in solution.t_events or ()]
    names = ("extinct", "boundary", "time", "rest")
    stopped = next((n for n, hit in zip(names, hits, strict=True) if hit), "length")
    s = np.linspace(0.0, solution.t[-1], points)
    assert solution.sol is not None  # because of dense_output
    a, b, t = solution.sol(s)
    if stopped == "extinct":  # is the time that remains finite?
        ahead = [np.array([a[-1], d]) for d in margins[1] / [1, 2]]
        left = [state[1] / abs(slopes(state)[1]) for state in ahead]
        stopped = "extinct" if np.log2(left[0] / left[1]) > FINITE_TAIL else "edge"
    return Flow(chart.name, moment * t, origin + unit * a, origin + unit * b, unit * s, stopped)


def extinction_time(beta: float) -> float:
    """The time at which the dispreferred ratio reaches 0 on the circle from (1, 1).

    `T(beta) = (2/beta) * integral_0^1 r^(1-beta) (1 + r^beta)/(1 + r^2)^2 dr`, infinite for
    beta >= 2 (own derivation, `THEOREMS["extinction"]`). `ValueError` for beta <= 0.

    >>> [round(extinction_time(b), 4) for b in (0.1, 0.5, 1.0)]
    [10.3683, 2.4875, 1.7854]
    """
    check_interval("beta", beta, POSITIVE, "the strength of the KL penalty is positive")
    if np.ndim(beta):
        raise ValueError("beta is an array: pass one number")
    if beta >= 2:
        return float("inf")
    p = 2.0 - beta
    # The substitution r = w^(1/p) removes the weak singularity r^(1-beta) at 0.
    value, _ = quad(
        lambda w: (1 + w ** (beta / p)) / (1 + w ** (2 / p)) ** 2, 0.0, 1.0, epsabs=1e-13
    )
    return float(2 / (beta * p) * value)
