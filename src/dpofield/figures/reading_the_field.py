"""Figures of the field's magnitude, of one component and of the extinction time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from dpofield.field.core import gradient, magnitude
from dpofield.field.flow import extinction_time
from dpofield.figures.field import axis_labels
from dpofield.figures.notes import note
from dpofield.figures.style import LINES, MAGNITUDE, colour, with_looks


def draw_magnitude(
    ax: Axes, *, low: float = 0.02, high: float = 2.2, norm: LogNorm | None = None, **params: Any
) -> ScalarMappable:
    """The gradient's magnitude over the ratio square as a heat map (nats per unit, log scale)."""
    grid = np.linspace(low, high, 160)
    size = magnitude("dpo", "ratio", *np.meshgrid(grid, grid), **params)
    ax.grid(False)
    mappable = ax.imshow(
        size,
        origin="lower",
        extent=(low, high, low, high),
        cmap=MAGNITUDE,
        norm=norm or LogNorm(size.min(), size.max()),
        interpolation="bilinear",
    )
    axis_labels(ax, "ratio")
    return mappable


def draw_components(ax: Axes, betas: Sequence[float], *, x1: float = 1.0) -> None:
    """The component dL/dx2 against x2 at fixed x1, one line per beta, both axes logarithmic."""
    x2 = np.geomspace(1e-4, 2.2, 300)
    for beta, role in with_looks(betas, LINES):
        component = gradient("dpo", "ratio", x1, x2, beta=beta)[1]
        ax.loglog(x2, component, color=colour(role))
        note(ax, rf"$\beta = {beta:g}$", (x2[60], component[60]), role=role)
    ax.set_xlabel("dispreferred ratio, $x_2$")
    ax.set_ylabel(r"$\partial L/\partial x_2$ (nats per unit)")


def draw_extinction(ax: Axes, *, marks: Sequence[float] = (0.1, 0.5, 1.0)) -> None:
    """The time at which the dispreferred ratio reaches 0 from (1, 1), against beta."""
    betas = np.linspace(0.05, 1.98, 120)
    ax.semilogy(betas, [extinction_time(b) for b in betas], color=colour("dispreferred"))
    for beta in marks:
        time = extinction_time(beta)
        ax.plot(beta, time, "o", color=colour("dispreferred"))
        note(ax, f"{time:.2f}", (beta, time), (5, 8), role="text")
    ax.yaxis.set_major_locator(FixedLocator([2, 5, 10, 20, 50]))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.axvline(2.0, color=colour("muted"), linestyle=":", linewidth=1.5)
    note(ax, "never", (2.0, 20), (6, 0), role="text")
    ax.set_xlim(0, 2.4)
    ax.set_xlabel(r"$\beta$ (1/nat)")
    ax.set_ylabel(r"time to $x_2 = 0$ (unit step size)")
