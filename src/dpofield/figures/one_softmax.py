"""Static figures of one softmax and one pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from dpofield.field.softmax import Path, path, peak
from dpofield.figures.notes import arrow_head
from dpofield.figures.style import colour

REACH = np.linspace(-9.0, 9.0, 400)
"""Positions along a flow line, on both sides of the diagonal (nats)."""


def draw_triangle(ax: Axes, *, equal_masses: Sequence[float] = (0.04, 0.15, 0.3, 0.45)) -> None:
    """The plane (pi_w, pi_l): its two regions and exact flow lines.

    The lines pass through `pi_w = pi_l = m`, for each m in `equal_masses`.
    """
    ax.grid(False)
    shade: dict[str, Any] = {"alpha": 0.16, "linewidth": 0}
    tint, words = colour("preferred"), "preferred rises faster,\nthe rest gains"
    (above,) = ax.fill([0, 0, 0.5], [0, 1, 0.5], color=tint, label=words, **shade)
    tint, words = colour("dispreferred"), "dispreferred falls faster,\nthe rest loses"
    (below,) = ax.fill([0, 1, 0.5], [0, 0, 0.5], color=tint, label=words, **shade)
    ax.plot([0, 1, 0, 0], [0, 0, 1, 0], color=colour("muted"), linewidth=1)
    (diagonal,) = ax.plot([0, 0.5], [0, 0.5], "--", color=colour("text"), label="equal speeds")
    for m in equal_masses:
        up, down = m * np.exp(REACH), m * np.exp(-REACH)
        total = up + down + 1 - 2 * m
        pi_w, pi_l = up / total, down / total
        (line,) = ax.plot(pi_w, pi_l, color=colour("model"), label="path of every margin loss")
        for at in (170, 230):  # before and after the diagonal
            tail, tip = (pi_w[at], pi_l[at]), (pi_w[at + 2], pi_l[at + 2])
            arrow_head(ax, tail, tip, role="model")
    ax.legend(handles=[above, below, diagonal, line], loc="upper right", fontsize=10)
    ax.set_aspect("equal")
    ax.set_xlim(-0.02, 1.02)
    ax.set_ylim(-0.02, 1.02)
    ax.set_xlabel(r"preferred, $\pi_w$")
    ax.set_ylabel(r"dispreferred, $\pi_l$")


def _draw_three(ax: Axes, way: Path) -> None:
    for values, role, name in (
        (way.preferred, "preferred", "preferred"),
        (way.dispreferred, "dispreferred", "dispreferred"),
        (way.rest, "muted", "the rest"),
    ):
        ax.semilogx(way.t, values, color=colour(role), label=name)
    ax.set_ylim(-0.03, 1.03)
    ax.set_xlabel("time (learning rate × steps)")
    ax.set_ylabel("probability")


def draw_masses(ax: Axes, start: ArrayLike, *, beta: float = 0.1, until: float = 1e3) -> None:
    """Probability of the preferred, the dispreferred and the rest against time, exact.

    `start` holds the probabilities of the reference, preferred and dispreferred first. A dot marks
    the peak of the rest.
    """
    logits = np.log(np.asarray(start, dtype=np.float64))
    _draw_three(ax, path(logits, 0, 1, times=np.geomspace(0.1, until, 300), beta=beta))
    best = peak(logits, 0, 1, beta=beta)
    if best.s > 0:
        ax.plot(best.t, best.rest, "o", color=colour("muted"))
    ax.set_title(rf"$\pi_w = {np.exp(logits[0]):g}$, $\pi_l = {np.exp(logits[1]):g}$")


def draw_shared_parameter(ax: Axes, c: float, *, beta: float = 0.1, until: float = 1e3) -> None:
    """Three responses, one parameter, features (1, 0, c): probabilities from uniform, exact."""
    times, features = np.geomspace(0.1, until, 300), [[1.0], [0.0], [c]]
    _draw_three(ax, path(np.zeros(3), 0, 1, times=times, beta=beta, features=features))
    ax.set_title(f"$c = {c:g}$")
