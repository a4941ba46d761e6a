"""Figures of Theorem 1: both components along lines through the start."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from dpofield.field.core import gradient
from dpofield.figures.style import LINES, colour, with_looks


def draw_slices(left: Axes, right: Axes, *, betas: Sequence[float]) -> None:
    """Theorem 1 along the two lines through the start: dL/dx1 at x2 = 1, dL/dx2 at x1 = 1."""
    x = np.linspace(0.02, 2.2, 300)
    for beta, role in with_looks(betas, LINES):
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
