"""Figures of Corollary 1: the ratio of the components, and a flow line in time."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm

from dpofield.field.core import gradient
from dpofield.field.flow import Flow
from dpofield.figures.field import axis_labels
from dpofield.figures.notes import INK_ON_HEAT, note
from dpofield.figures.style import colour


def draw_ratio_regions(ax: Axes, *, low: float = 0.05, high: float = 2.2) -> ScalarMappable:
    """The ratio |dL/dx1| / |dL/dx2| of the DPO loss over the square, log scale about 1."""
    grid = np.linspace(low, high, 160)
    along_a, along_b = gradient("dpo", "ratio", *np.meshgrid(grid, grid), beta=0.1)
    ax.grid(False)
    mappable = ax.imshow(
        np.abs(along_a) / np.abs(along_b),
        origin="lower",
        extent=(low, high, low, high),
        cmap="PuOr",
        norm=LogNorm(1 / 16, 16),
        interpolation="bilinear",
    )
    ax.plot([low, high], [low, high], color=INK_ON_HEAT, linewidth=1.5)
    axis_labels(ax, "ratio")
    return mappable


def draw_time_course(ax: Axes, line: Flow, *, labels: tuple[str, str]) -> None:
    """Both coordinates of a flow line against time."""
    for values, role, label in zip(
        (line.a, line.b), ("preferred", "dispreferred"), labels, strict=True
    ):
        ax.plot(line.t, values, color=colour(role))
        middle = len(line.t) // 2
        note(ax, label, (line.t[middle], values[middle]), (0, 6), role=role)
    ax.set_xlabel("time (unit step size)")
    ax.set_ylabel("coordinate")
