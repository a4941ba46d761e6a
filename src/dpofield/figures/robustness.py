"""Figures of results in several models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from dpofield.figures.intervals import draw_intervals

SHAPES = {"main": ("text", "o"), "small": ("accent", "s"), "Llama": ("model", "D")}
"""Colour role and mark of each model."""


def draw_shapes(ax: Axes, rows: Sequence[str], found: Mapping[str, ArrayLike]) -> None:
    """One row per result, one mark with its interval per model, as (n, 3) arrays by model."""
    draw_intervals(ax, rows, found, [SHAPES[shape] for shape in found])
