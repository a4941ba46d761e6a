"""Static figures of the field. Every function draws on the `Axes` it is given and returns nothing
but what a colour bar needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from dpofield.field.core import find_chart, gradient, magnitude
from dpofield.field.flow import Flow, extinction_time
from dpofield.field.style import MAGNITUDE, colour
from dpofield.formulas import latex

HALO = withStroke(linewidth=3, foreground=colour("surface"))
INK_ON_HEAT, HALO_ON_HEAT = "#10131a", withStroke(linewidth=3, foreground="#f4f5f7")
"""Not in the palette on purpose: they must not turn in dark mode, as heat maps do not."""

ROLES = ("model", "reference", "accent", "muted")
"""For lines told apart by beta: the colours of the two responses are kept for the responses."""


def axis_labels(ax: Axes, chart: str) -> None:
    """Name both axes with the chart's coordinates, said in words.

    >>> import matplotlib.pyplot as plt
    >>> axis_labels(plt.figure().gca(), "ratio"); plt.close("all")
    """
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

    All arrows have one length; the colour carries the size (log scale, nats per unit). Returns
    the mappable for a colour bar.

    >>> import matplotlib.pyplot as plt
    >>> mappable = draw_field(plt.figure().gca(), beta=0.5); plt.close("all")
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
    """Mark where training starts; `on_heat` keeps the ink dark where the ground stays light.

    >>> import matplotlib.pyplot as plt
    >>> draw_start(plt.figure().gca()); plt.close("all")
    """
    ink = INK_ON_HEAT if on_heat else colour("text")
    ax.plot(
        *at, "o", color=ink, markersize=7, zorder=5, markeredgecolor="#f4f5f7" if on_heat else ink
    )
    ax.annotate(
        label,
        at,
        xytext=(8, 7),
        textcoords="offset points",
        color=ink,
        zorder=6,
        path_effects=[HALO_ON_HEAT if on_heat else HALO],
    )


def draw_flow(ax: Axes, line: Flow, *, role: str = "dispreferred", label: str = "") -> None:
    """A flow line with an arrow head at its end.

    >>> import matplotlib.pyplot as plt
    >>> from dpofield.field.flow import flow
    >>> draw_flow(plt.figure().gca(), flow("dpo", "ratio", beta=1.0)); plt.close("all")
    """
    ax.plot(line.a, line.b, color=colour(role), zorder=4, label=label or None)
    ax.annotate(
        "",
        (line.a[-1], line.b[-1]),
        xytext=(line.a[-6], line.b[-6]),
        arrowprops={"arrowstyle": "-|>", "color": colour(role), "lw": 2},
        zorder=4,
    )


def draw_magnitude(
    ax: Axes, *, low: float = 0.02, high: float = 2.2, norm: LogNorm | None = None, **params: Any
) -> ScalarMappable:
    """The gradient's magnitude over the ratio square as a heat map (nats per unit, log scale).

    >>> import matplotlib.pyplot as plt
    >>> mappable = draw_magnitude(plt.figure().gca(), beta=0.5); plt.close("all")
    """
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
    """The component dL/dx2 against x2 at fixed x1, one line per beta, both axes logarithmic.

    >>> import matplotlib.pyplot as plt
    >>> draw_components(plt.figure().gca(), [0.1, 1.0]); plt.close("all")
    """
    x2 = np.geomspace(1e-4, 2.2, 300)
    for beta, role in zip(betas, ROLES, strict=False):
        component = gradient("dpo", "ratio", x1, x2, beta=beta)[1]
        ax.loglog(x2, component, color=colour(role))
        ax.annotate(
            rf"$\beta = {beta:g}$",
            (x2[60], component[60]),
            xytext=(4, 4),
            textcoords="offset points",
            color=colour(role),
            path_effects=[HALO],
        )
    ax.set_xlabel("dispreferred ratio, $x_2$")
    ax.set_ylabel(r"$\partial L/\partial x_2$ (nats per unit)")


def draw_ratio_regions(ax: Axes, *, low: float = 0.05, high: float = 2.2) -> ScalarMappable:
    """The ratio |dL/dx1| / |dL/dx2| of the DPO loss over the square, log scale about 1.

    >>> import matplotlib.pyplot as plt
    >>> mappable = draw_ratio_regions(plt.figure().gca()); plt.close("all")
    """
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


def draw_extinction(ax: Axes, *, marks: Sequence[float] = (0.1, 0.5, 1.0)) -> None:
    """The time at which the dispreferred ratio reaches 0 from (1, 1), against beta.

    >>> import matplotlib.pyplot as plt
    >>> draw_extinction(plt.figure().gca()); plt.close("all")
    """
    betas = np.linspace(0.05, 1.98, 120)
    ax.semilogy(betas, [extinction_time(b) for b in betas], color=colour("dispreferred"))
    for beta in marks:
        time = extinction_time(beta)
        ax.plot(beta, time, "o", color=colour("dispreferred"))
        ax.annotate(f"{time:.2f}", (beta, time), xytext=(5, 8), textcoords="offset points")
    ax.yaxis.set_major_locator(FixedLocator([2, 5, 10, 20, 50]))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.axvline(2.0, color=colour("muted"), linestyle=":", linewidth=1.5)
    ax.annotate("never", (2.0, 20), xytext=(6, 0), textcoords="offset points")
    ax.set_xlim(0, 2.4)
    ax.set_xlabel(r"$\beta$ (1/nat)")
    ax.set_ylabel(r"time to $x_2 = 0$ (unit step size)")


def draw_time_course(ax: Axes, line: Flow, *, labels: tuple[str, str]) -> None:
    """Both coordinates of a flow line against time.

    >>> import matplotlib.pyplot as plt
    >>> from dpofield.field.flow import flow
    >>> line = flow("dpo", "ratio", beta=1.0)
    >>> draw_time_course(plt.figure().gca(), line, labels=("$x_1$", "$x_2$")); plt.close("all")
    """
    for values, role, label in zip(
        (line.a, line.b), ("preferred", "dispreferred"), labels, strict=True
    ):
        ax.plot(line.t, values, color=colour(role))
        middle = len(line.t) // 2
        ax.annotate(
            label,
            (line.t[middle], values[middle]),
            xytext=(0, 6),
            textcoords="offset points",
            color=colour(role),
        )
    ax.set_xlabel("time (unit step size)")
    ax.set_ylabel("coordinate")


def draw_slices(left: Axes, right: Axes, *, betas: Sequence[float]) -> None:
    """Theorem 1 along the two lines through the start: dL/dx1 at x2 = 1, dL/dx2 at x1 = 1.

    >>> import matplotlib.pyplot as plt
    >>> fig, (left, right) = plt.subplots(1, 2)
    >>> draw_slices(left, right, betas=(0.1, 1.0)); plt.close("all")
    """
    x = np.linspace(0.02, 2.2, 300)
    for beta, role in zip(betas, ROLES, strict=False):
        along_1 = gradient("dpo", "ratio", x, 1.0, beta=beta)[0]
        along_2 = gradient("dpo", "ratio", 1.0, x, beta=beta)[1]
        for ax, along in ((left, along_1), (right, along_2)):
            ax.plot(x, along, color=colour(role), label=rf"$\beta = {beta:g}$")
    for ax, number, word, limits in (
        (left, 1, "preferred", (-2.2, 0.15)),
        (right, 2, "dispreferred", (-0.15, 2.2)),
    ):
        ax.axhline(0.0, color=colour("muted"), linewidth=1)
        ax.set_ylim(*limits)
        ax.set_xlabel(f"{word} ratio, $x_{number}$")
        ax.set_ylabel(rf"$\partial L/\partial x_{number}$ (nats per unit)")
    right.legend(loc="upper right")
