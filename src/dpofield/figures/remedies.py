"""Figures that compare other losses with DPO: reward against KL, and differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from dpofield.figures.intervals import draw_intervals
from dpofield.figures.notes import note
from dpofield.figures.style import colour

MARKED = {
    "dpo": ("text", "o"),
    "chi2": ("accent", "D"),
    "rpo": ("model", "s"),
    "orpo": ("reference", "^"),
    "dpop": ("preferred", "v"),
    "apo_zero": ("dispreferred", "P"),
}
"""Colour role and mark of the highlighted losses; the others are grey."""

LOOKS = (("dispreferred", "o"), ("preferred", "s"), ("muted", "D"))
"""Colour role and mark of each criterion in `draw_against`."""


def draw_frontier(
    ax: Axes, lines: Mapping[str, ArrayLike], names: Mapping[str, str], start: float
) -> None:
    """One line per loss: (R, 2) KL (nats) and reward at R ascending learning rates.

    All lines begin before training, at KL 0 and reward `start`. Marks grow with the rate.
    """
    others = "all others"
    for loss, points in sorted(lines.items(), key=lambda item: item[0] in MARKED):
        role, mark = MARKED.get(loss, ("muted", "."))
        marked = loss in MARKED
        kl, reward = np.vstack([(0.0, start), np.asarray(points, dtype=float)]).T
        ax.plot(
            kl, reward, color=colour(role), linewidth=1.8 if marked else 0.8,
            zorder=4 if marked else 2,
        )  # fmt: skip
        label = names[loss] if marked else others
        others = "_" if not marked else others
        ax.plot([], [], mark, linestyle="-", color=colour(role), linewidth=1.4, label=label)
        for at, gain, size in zip(
            kl[1:], reward[1:], np.linspace(4.5, 9, len(kl) - 1), strict=True
        ):
            ax.plot(
                at, gain, mark, color=colour(role), zorder=5 if marked else 3,
                markersize=size if marked else 0.8 * size,
            )  # fmt: skip
    ax.plot(0, start, "*", color=colour("text"), markersize=11, zorder=6)
    note(ax, "before", (0, start), (6, -14), fontsize=10)
    ax.set_xlabel("KL to the reference, lower bound (nats)")


def draw_against(
    ax: Axes, rows: Sequence[str], looks: Mapping[str, Sequence[tuple[float, float, float]]]
) -> None:
    """Differences against DPO with their intervals: one row per loss, one mark per criterion."""
    draw_intervals(ax, rows, looks, LOOKS)
