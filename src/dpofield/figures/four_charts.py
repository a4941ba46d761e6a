"""Figures of the chapter on charts: flow lines of the same pairs, and their courses in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from dpofield.field.clock import margin_at
from dpofield.field.core import coordinates, invariant, logratios
from dpofield.field.flow import Flow, flow
from dpofield.figures.field import axis_labels
from dpofield.figures.notes import arrow_head, note
from dpofield.figures.style import LINES, colour, with_looks

PAIRS = ((0.0, 0.0), (-1.0, 0.6), (-0.9, -0.9), (0.5, 0.5), (0.1, -1.0))
"""Log-ratios (nats) of the pairs in all four panels; the first is the start of training."""
WINDOWS: Mapping[str, tuple[float, float]] = {
    "ratio": (0.0, 2.6),
    "probability": (0.0, 0.65),
    "log-ratio": (-2.7, 1.7),
    "logit": (-3.4, 2.4),
}
FLOOR = {"ratio": 0.002, "probability": 0.0005}  # excludes the edge of the chart


def draw_pairs(
    ax: Axes, chart: str, *, pairs: Sequence[tuple[float, float]] = PAIRS, **params: float
) -> None:
    """Flow lines of the DPO loss from `pairs` in `chart`, with the curves of the invariant.

    `pairs` are log-ratios (nats), the same for every chart; references are the chart's defaults.
    Shaded: points where the two probabilities would sum to more than 1.
    """
    low, high = WINDOWS[chart]
    grid = np.meshgrid(*(np.linspace(max(low, FLOOR.get(chart, low)), high, 240),) * 2)
    kept = invariant(chart, *grid)
    room = np.add(*coordinates("probability", *logratios(chart, *grid)))
    ax.contourf(*grid, room, levels=[1.0, np.inf], colors=[colour("muted")], alpha=0.22)
    for (u, v), role in with_looks(pairs, ("text", *LINES[:-1])):
        a, b = (float(c) for c in coordinates(chart, u, v))
        level = float(invariant(chart, a, b))
        ax.contour(*grid, kept, levels=[level], colors=[colour(role)], linestyles=":", linewidths=1)
        line = flow("dpo", chart, (a, b), length=2 * (high - low), points=400, **params)
        shown = (line.a <= high) & (line.b >= low)
        ax.plot(line.a[shown], line.b[shown], color=colour(role), zorder=4)
        end = int(np.flatnonzero(shown)[-1])
        arrow_head(ax, (line.a[end - 8], line.b[end - 8]), (line.a[end], line.b[end]), role=role)
        ax.plot(a, b, "o", color=colour(role), markersize=6, zorder=5)
    axis_labels(ax, chart)
    ax.set_xlim(low, high)
    ax.set_ylim(low, high)
    ax.set_aspect("equal")


def draw_two_courses(ax: Axes, line: Flow, *, beta: float, high: float = 2.2) -> None:
    """x1 and x2 against time, for `line` (ratios, solid) and for flow in log-ratios (dashed)."""
    time = np.geomspace(0.1, 1e4, 300)
    half = margin_at(time, beta) / 2
    roles = ("preferred", "dispreferred")
    for values, sign, role in zip((line.a, line.b), (1, -1), roles, strict=True):
        later = line.t >= time[0]
        ax.plot(line.t[later], values[later], color=colour(role))
        ax.plot(time, np.exp(sign * half), "--", color=colour(role))
    ax.axvline(line.t[-1], color=colour("muted"), linestyle=":", linewidth=1.5)
    for label, offset, role in (("$x_1$", 8, roles[0]), ("$x_2$", -18, roles[1])):
        at = (time[0] * 1.3, 1.0)
        note(ax, label, at, (0, offset), role=role)
    for label, style in (("in ratios", "-"), ("in log-ratios", "--")):
        ax.plot([], [], style, color=colour("muted"), label=label)
    ax.legend(loc="center right", bbox_to_anchor=(1.0, 0.65))
    ax.set_xscale("log")
    ax.set_xlim(time[0], time[-1])
    ax.set_ylim(0, high)
    ax.set_xlabel("time (unit step size)")
    ax.set_ylabel("ratio")


def draw_margins(ax: Axes, lines: Mapping[str, Flow], *, beta: float, high: float = 60.0) -> None:
    """Margins (nats) against time (log axis), for flows in charts with an edge.

    `lines` are flows by label, in ratios or in probabilities, with equal reference probabilities:
    their margin is log(a/b). Dashed: the exact margin in log-ratios.
    """
    time = np.geomspace(0.1, 1e4, 300)
    margin = margin_at(time, beta)
    ax.plot(time, margin, "--", color=colour("text"))
    note(ax, "log-ratios,\nlogits", (time[230], margin[230]), (8, -14), role="text")
    for (label, line), role in with_looks(lines.items(), LINES):
        ax.plot(line.t[1:], np.log(line.a[1:] / line.b[1:]), color=colour(role))
        ax.axvline(line.t[-1], color=colour(role), linestyle=":", linewidth=1.5)
        note(ax, label, (line.t[-1], 0.97 * high), (3, 0), role=role, rotation=90, va="top")
    ax.set_xscale("log")
    ax.set_xlim(time[0], time[-1])
    ax.set_ylim(0, high)
    ax.set_xlabel("time (unit step size)")
    ax.set_ylabel("margin $u - v$ (nats)")
