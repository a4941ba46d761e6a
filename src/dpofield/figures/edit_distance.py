"""Figures of edit distance and of what foretells a pair's outcome: arrays in, one `Axes` out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from dpofield.figures.style import MAGNITUDE, colour

KINDS = {"unmatched": ("model", "o", "-"), "matched": ("reference", "s", "--")}
"""Role of the colour, mark and line of likelihoods as they come, and matched."""


def draw_distances(
    ax: Axes, intervals: Mapping[str, Sequence[float]], kind: str, *, shift: float = 0.0
) -> None:
    """Distance, by name -> value and ends of its interval; the last, "any", stands apart.

    `kind` is "unmatched" or "matched"; `shift` moves the marks aside, in tokens.

    >>> import matplotlib.pyplot as plt
    >>> draw_distances(plt.figure().gca(), {"1": (1, 0, 2), "any": (2, 1, 3)}, "matched")
    >>> plt.close("all")
    """
    role, mark, line = KINDS[kind]
    value, low, high = np.array([tuple(x) for x in intervals.values()], dtype=float).T
    place = np.array([10.0 if name == "any" else float(name) for name in intervals])
    asked = place < 10
    ax.plot(place[asked] + shift, value[asked], line, color=colour(role), linewidth=1.4)
    ax.errorbar(
        place + shift, value, yerr=[value - low, high - value], color=colour(role), marker=mark,
        linestyle="none", elinewidth=1.6, markersize=5.5, label=kind,
        markerfacecolor=colour(role) if mark == "o" else colour("surface"),
    )  # fmt: skip
    ax.set_xticks(place, list(intervals))
    ax.grid(axis="x", visible=False)
    ax.set_xlabel("edit distance (tokens)")


def draw_dots(
    ax: Axes, x: ArrayLike, y: ArrayLike, distance: Sequence[str], *, rho: float, size: float = 14
) -> None:
    """Dots in the colour of their distance ("1" to "any"), with their rank correlation.

    >>> import matplotlib.pyplot as plt
    >>> draw_dots(plt.figure().gca(), [1, 2], [1, 2], ["1", "any"], rho=1.0); plt.close("all")
    """
    x, y, names = np.asarray(x, float), np.asarray(y, float), np.asarray(distance)
    known = sorted(set(names), key=lambda name: 99.0 if name == "any" else float(name))
    for i, name in enumerate(known):
        here = names == name
        ink = colour("muted") if name == "any" else MAGNITUDE(i / max(1, len(known) - 2))
        ax.scatter(x[here], y[here], s=size, color=ink, linewidths=0, label=name)
    ax.set_title(f"$\\rho$ = {rho:.2f}".replace("-", "−"))
    ax.axhline(0, color=colour("muted"), linewidth=1, zorder=1)
