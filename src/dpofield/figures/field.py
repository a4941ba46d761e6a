"""The field of a loss in a chart: arrows, the start, flow lines; for several chapters."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm

from dpofield.field.core import find_chart, gradient
from dpofield.field.flow import Flow
from dpofield.figures.notes import INK_ON_HEAT, PALE_ON_HEAT, arrow_head, note
from dpofield.figures.style import MAGNITUDE, colour
from dpofield.formulas import latex


def axis_labels(ax: Axes, chart: str) -> None:
    """Label both axes with the response and the chart's coordinate."""
    a, b = (latex(symbol) for symbol in find_chart(chart).coordinates)
    ax.set_xlabel(f"preferred, ${a}$")
    ax.set_ylabel(f"dispreferred, ${b}$")


def draw_field(
    ax: Axes,
    *,
    loss: str = "dpo",
    chart: str = "ratio",
    low: float = 0.1,
    high: float = 2.2,
    n: int = 14,
    norm: LogNorm | None = None,
    **params: Any,
) -> ScalarMappable:
    """Arrows along `-gradient` on an n x n grid of [low, high]^2, coloured by magnitude.

    All arrows have the same length; the colour is the size (log scale, nats per unit). Returns the
    mappable for a colour bar.
    """
    grid = np.linspace(low, high, n)
    a, b = np.meshgrid(grid, grid)
    along_a, along_b = gradient(loss, chart, a, b, **params)
    size = np.hypot(along_a, along_b)
    arrows = ax.quiver(
        a,
        b,
        -along_a / size,
        -along_b / size,
        size,
        cmap=MAGNITUDE,
        norm=norm or LogNorm(size.min(), size.max()),
        pivot="mid",
        scale=1.45 * n,
        width=0.006,
        headwidth=4,
    )
    axis_labels(ax, chart)
    ax.set_aspect("equal")
    return arrows


def draw_start(
    ax: Axes, at: tuple[float, float] = (1.0, 1.0), label: str = "start", *, on_heat: bool = False
) -> None:
    """Mark the start of training; `on_heat` uses colours for a heat map."""
    ink = INK_ON_HEAT if on_heat else colour("text")
    ax.plot(
        *at,
        "o",
        color=ink,
        markersize=7,
        zorder=5,
        markeredgecolor=PALE_ON_HEAT if on_heat else ink,
    )
    note(ax, label, at, (8, 7), role="text", on_heat=on_heat)


def draw_flow(ax: Axes, line: Flow, *, role: str = "dispreferred", label: str = "") -> None:
    """A flow line with an arrow head at its end."""
    ax.plot(line.a, line.b, color=colour(role), zorder=4, label=label or None)
    arrow_head(ax, (line.a[-6], line.b[-6]), (line.a[-1], line.b[-1]), role=role)
