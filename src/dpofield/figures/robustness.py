"""Figures of what holds in several models: plain arrays in, one `Axes` drawn on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from dpofield.figures.intervals import draw_intervals

SHAPES = {"main": ("text", "o"), "small": ("accent", "s"), "Llama": ("model", "D")}
"""Role of the colour and mark of each model."""


def draw_shapes(ax: Axes, rows: Sequence[str], found: Mapping[str, ArrayLike]) -> None:
    """One row a verdict, one mark with its interval a model: (n, 3) value and ends, by model."""
    draw_intervals(ax, rows, found, [SHAPES[shape] for shape in found])
