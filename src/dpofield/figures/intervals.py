"""Values with their intervals, in rows or along an axis.

An interval is a value with two ends; n intervals are an array of shape (n, 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from dpofield.figures.style import colour, with_looks

Look = tuple[str, str]
"""A colour role and a mark."""

LOOKS: tuple[Look, ...] = (("model", "o"), ("reference", "s"), ("accent", "D"), ("text", "^"))


def draw_intervals(
    ax: Axes,
    rows: Sequence[str],
    found: Mapping[str, ArrayLike],
    looks: Sequence[Look] = LOOKS,
    *,
    zero: bool = True,
) -> None:
    """One row per name, the first on top, with one mark and interval per key of `found`.

    `found` maps a key to its (n, 3) intervals for the n rows; `looks` has one entry per key, in
    order; `zero` draws a line at 0. `ValueError` if there are more keys than looks.
    """
    place = np.arange(len(rows), dtype=float)
    shifts = (np.arange(len(found)) - (len(found) - 1) / 2) * min(0.24, 0.6 / max(1, len(found)))
    for ((key, intervals), (role, mark)), shift in zip(
        with_looks(found.items(), looks), shifts, strict=True
    ):
        value, low, high = np.asarray(intervals, dtype=float).T
        ax.hlines(place + shift, low, high, color=colour(role), linewidth=1.6)
        ax.plot(value, place + shift, mark, color=colour(role), markersize=5, label=key)
    for edge in place[:-1] + 0.5:
        ax.axhline(edge, color=colour("grid"), linewidth=0.7)
    if zero:
        ax.axvline(0, color=colour("muted"), linewidth=1.2, zorder=1)
    ax.set_yticks(place, list(rows))
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.grid(False, axis="y")


def draw_along(
    ax: Axes, place: ArrayLike, intervals: ArrayLike, look: Look, *, line: str, label: str
) -> None:
    """Vertical intervals (n, 3) at n positions on the horizontal axis, joined by `line`.

    Dots are filled and other marks are open, so that two coinciding series are both visible.
    """
    role, mark = look
    value, low, high = np.asarray(intervals, dtype=float).T
    ax.vlines(place, low, high, color=colour(role), linewidth=1.6)
    ax.plot(
        place, value, color=colour(role), marker=mark, linestyle=line, linewidth=1.4,
        markersize=5.5, label=label,
        markerfacecolor=colour("surface") if mark != "o" else colour(role),
    )  # fmt: skip
