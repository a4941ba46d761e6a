"""The house style of the figures: palette, type size, and a function that starts a figure.

Each colour is a pair (light page, dark page). Figures use the first. The build writes a second copy
of each SVG with the second, so a figure needs no code for dark mode.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import matplotlib as mpl
from cycler import cycler
from IPython.core.getipython import get_ipython
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from dpofield import palette
from dpofield.palette import PALETTE

MAGNITUDE = LinearSegmentedColormap.from_list("magnitude", palette.MAGNITUDE)
"""Sequential map for magnitudes."""


def colour(role: str) -> str:
    """The light-page colour of a role; the build inserts the dark-page colour.

    >>> colour("preferred") == PALETTE["preferred"][0]
    True
    """
    return PALETTE[role][0]


LINES = ("model", "reference", "accent", "muted", "text")
"""Roles for lines that are neither the preferred nor the dispreferred response."""

T = TypeVar("T")
L = TypeVar("L")


def with_looks(things: Iterable[T], looks: Sequence[L]) -> list[tuple[T, L]]:
    """Each thing with its own look, in order.

    `ValueError` if there are more things than looks.

    >>> with_looks("ab", LINES)
    [('a', 'model'), ('b', 'reference')]
    """
    drawn = list(things)
    if len(drawn) > len(looks):
        raise ValueError(f"{len(drawn)} things to draw and only {len(looks)} looks: add a look")
    return list(zip(drawn, looks, strict=False))


def use() -> None:
    """Apply the house style to Matplotlib for this process; call it once per chapter.

    >>> use()
    >>> mpl.rcParams["svg.fonttype"]
    'path'
    """
    text, muted, grid = colour("text"), colour("muted"), colour("grid")
    mpl.rcParams.update(
        {
            "figure.figsize": (6.4, 4.0),
            "figure.dpi": 110,
            "figure.constrained_layout.use": True,
            "figure.facecolor": "none",
            "axes.facecolor": "none",
            "savefig.facecolor": "none",
            "savefig.bbox": "tight",
            "svg.fonttype": "path",
            "svg.hashsalt": "dpofield",
            "font.size": 11,
            "axes.titlesize": 11,
            "axes.titlelocation": "left",
            "axes.edgecolor": muted,
            "axes.labelcolor": text,
            "axes.titlecolor": text,
            "text.color": text,
            "xtick.color": muted,
            "ytick.color": muted,
            "xtick.labelcolor": text,
            "ytick.labelcolor": text,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": grid,
            "grid.linewidth": 0.7,
            "axes.axisbelow": True,
            "legend.frameon": False,
            "lines.linewidth": 2.0,
            "mathtext.fontset": "stix",
            "axes.prop_cycle": cycler(
                color=[
                    colour(r)
                    for r in ("preferred", "dispreferred", "model", "reference", "accent", "muted")
                ]
            ),
        }
    )
    shell = get_ipython()
    if shell is not None:  # None in a plain script
        shell.run_line_magic("config", "InlineBackend.figure_formats = ['svg']")


def figure(
    columns: int = 1, rows: int = 1, *, width: float = 6.4, height: float = 4.0
) -> tuple[Figure, list[Axes]]:
    """A figure and its axes as a flat list, row by row; `width` and `height` are in inches.

    >>> fig, axes = figure(2)
    >>> len(axes)
    2
    """
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False)
    return fig, list(axes.flat)
