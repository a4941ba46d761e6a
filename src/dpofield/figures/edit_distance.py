"""Figures of edit distance and of predictors of a pair's outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from dpofield.figures.intervals import draw_along
from dpofield.figures.style import MAGNITUDE, colour

KINDS = {"unmatched": ("model", "o", "-"), "matched": ("reference", "s", "--")}
"""Colour role, mark and line for unmatched and matched likelihoods."""


def draw_distances(
    ax: Axes, intervals: Mapping[str, Sequence[float]], kind: str, *, shift: float = 0.0
) -> None:
    """One interval per distance: name -> value and two ends; "any" is drawn apart from the others.

    `kind` is "unmatched" or "matched"; `shift` moves the marks sideways, in tokens.
    """
    role, mark, line = KINDS[kind]
    values = np.asarray(list(intervals.values()), dtype=float)
    asked = np.array([name != "any" for name in intervals])
    last = max(float(name) for name in intervals if name != "any")
    place = np.array([last + 2 if name == "any" else float(name) for name in intervals])
    for which, dash, label in ((asked, line, kind), (~asked, "none", "_any")):
        draw_along(ax, place[which] + shift, values[which], (role, mark), line=dash, label=label)
    ax.set_xticks(place, list(intervals))
    ax.grid(axis="x", visible=False)
    ax.set_xlabel("edit distance (tokens)")


def draw_dots(
    ax: Axes, x: ArrayLike, y: ArrayLike, distance: Sequence[str], *, rho: float, size: float = 14
) -> None:
    """Dots coloured by distance ("1" to "any"), with their rank correlation `rho` as title."""
    x, y, names = np.asarray(x, float), np.asarray(y, float), np.asarray(distance)
    known = sorted(set(names), key=lambda name: np.inf if name == "any" else float(name))
    steps = max(1, len([name for name in known if name != "any"]) - 1)
    for i, name in enumerate(known):
        here = names == name
        ink = colour("muted") if name == "any" else MAGNITUDE(i / steps)
        ax.scatter(x[here], y[here], s=size, color=ink, linewidths=0, label=name)
    ax.set_title(f"$\\rho$ = {rho:.2f}".replace("-", "−"))
    ax.axhline(0, color=colour("muted"), linewidth=1, zorder=1)
