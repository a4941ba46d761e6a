"""Figures of what holds in several models: plain arrays in, one `Axes` drawn on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from dpofield.figures.style import colour

SHAPES = {"main": ("text", "o"), "small": ("accent", "s"), "Llama": ("model", "D")}
"""Role of the colour and mark of each model."""


def draw_shapes(
    ax: Axes, names: Sequence[str], intervals: Mapping[str, ArrayLike], bounds: ArrayLike
) -> None:
    """One row a verdict, one mark with its interval a model: (n, 3) value and ends, by model.

    `bounds` (n,): what the mean is held against, a short line in its row; nan for none.

    >>> import matplotlib.pyplot as plt
    >>> draw_shapes(plt.figure().gca(), ["preferred"], {"main": [[0.2, 0.1, 0.3]]}, [0.0])
    >>> plt.close("all")
    """
    rows = np.arange(len(names))
    aside = np.linspace(-0.26, 0.26, len(intervals)) if len(intervals) > 1 else [0.0]
    for (shape, found), shift in zip(intervals.items(), aside, strict=True):
        value, low, high = np.asarray(found, dtype=float).T
        role, mark = SHAPES[shape]
        ax.errorbar(
            value, rows + shift, xerr=[value - low, high - value], color=colour(role), marker=mark,
            linestyle="none", elinewidth=1.6, markersize=4.5, label=shape,
        )  # fmt: skip
    ax.vlines(bounds, rows - 0.42, rows + 0.42, color=colour("muted"), linewidth=1.2, zorder=1)
    for edge in rows[:-1] + 0.5:
        ax.axhline(edge, color=colour("grid"), linewidth=0.7)
    ax.set_yticks(rows, names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
