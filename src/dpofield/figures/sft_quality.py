"""Figures of the effect of the SFT level.

A level is a number of SFT steps; its position on an axis is its rank. Changes of log-probabilities
and margins are in nats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter
from numpy.typing import ArrayLike, NDArray

from dpofield.figures.intervals import draw_along, draw_intervals
from dpofield.figures.style import MAGNITUDE, colour

Floats = NDArray[np.float64]

SOURCES = {"off-policy": ("model", "o", "-"), "on-policy": ("reference", "s", "--")}
"""Colour role, mark and line of each source of pairs."""


def level_name(level: float) -> str:
    """The label of a level.

    >>> level_name(0), level_name(25)
    ('none', '25')
    """
    return f"{level:g}" if level else "none"


def level_axis(ax: Axes, levels: Sequence[float]) -> None:
    """Set the ticks and label of the horizontal axis of `draw_levels`."""
    ax.set_xticks(range(len(levels)), [level_name(level) for level in levels])
    ax.set_xlim(-0.5, len(levels) - 0.5)
    ax.set_xlabel("SFT steps before DPO")
    ax.grid(axis="x", visible=False)


def draw_levels(
    ax: Axes,
    levels: Sequence[float],
    at: Sequence[float],
    intervals: ArrayLike,
    source: str,
    *,
    role: str | None = None,
    shift: float = 0.0,
    label: str | None = None,
) -> None:
    """One mark with its interval per level: (n, 3) value and ends for the n levels `at`.

    `shift` moves the marks sideways, in positions; `role` replaces the source's colour role.
    """
    own, mark, line = SOURCES[source]
    place = np.array([list(levels).index(level) for level in at]) + shift
    draw_along(ax, place, intervals, (role or own, mark), line=line, label=label or source)


def draw_paths(ax: Axes, paths: Mapping[float, ArrayLike], *, zero: bool = True) -> None:
    """One path per level: (P, 2) mean margin and mean u at P steps, with a large dot at the end.

    The line without SFT is dashed.
    """
    for (level, points), ink in zip(paths.items(), level_colours(paths), strict=True):
        margin, u = np.asarray(points, dtype=float).T
        line = "-" if level else "--"
        ax.plot(margin, u, line, color=ink, marker=".", markersize=6, label=level_name(level))
        ax.plot(margin[-1], u[-1], "o", color=ink, markersize=8, zorder=4)
    if zero:
        ax.axhline(0, color=colour("muted"), linewidth=1, zorder=1)
    ax.set_xlabel("mean margin $u - v$ (nats)")
    ax.set_ylabel("preferred, mean $u$ (nats)")


def level_colours(levels: Sequence[float] | Mapping[float, object]) -> list[str]:
    """One colour per level, from the sequential map.

    >>> from dpofield import palette
    >>> level_colours([25, 50]) == [palette.MAGNITUDE[0], palette.MAGNITUDE[-1]]
    True
    """
    places = np.linspace(0, 1, len(levels)) if len(levels) > 1 else np.array([0.5])
    return [mpl.colors.to_hex(MAGNITUDE(float(place))) for place in places]


def draw_pace(
    ax: Axes, x: ArrayLike, steps: ArrayLike, level: ArrayLike, on_policy: ArrayLike
) -> None:
    """Steps to a margin of 2 nats (log axis) against a quantity at the start, one mark per run.

    Colour: the SFT level. Filled dots: off-policy pairs. Open squares: on-policy pairs.
    """
    x, steps = np.asarray(x, dtype=float), np.asarray(steps, dtype=float)
    level, on = np.asarray(level), np.asarray(on_policy, dtype=bool)
    levels = np.unique(level)
    for one, ink in zip(levels, level_colours(list(levels)), strict=True):
        for chosen, mark, face in ((~on, "o", ink), (on, "s", "none")):
            here = (level == one) & chosen
            ax.plot(
                x[here], steps[here], mark, color=ink, markerfacecolor=face, markersize=5,
                markeredgewidth=1.2, label=level_name(one) if mark == "o" else None,
            )  # fmt: skip
    plain_log(ax, "y", [5, 10, 20, 40, 80])
    ax.set_ylabel("DPO steps to a margin of 2 nats")


def plain_log(ax: Axes, direction: str, ticks: Sequence[float]) -> None:
    """Make one axis ("x" or "y") logarithmic, with these ticks as plain numbers."""
    ax.set(**{f"{direction}scale": "log"})
    axis = ax.xaxis if direction == "x" else ax.yaxis
    axis.set_major_locator(FixedLocator(list(ticks)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_locator(NullLocator())


def draw_predictions(ax: Axes, names: Sequence[str], intervals: Mapping[str, ArrayLike]) -> None:
    """Rank correlations with intervals, (n, 3) for n predictors per scope; one row each."""
    draw_intervals(ax, names, intervals)
    ax.set_xlim(-1.05, 1.05)
    ax.set_xlabel("Spearman's rank correlation")
