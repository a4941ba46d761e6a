"""Figures of the likelihood of two rewards, given judgements."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from dpofield.field.likelihood import win_log_likelihood
from dpofield.figures.style import LINES, colour, with_looks


def draw_likelihood(ax: Axes, counts: Sequence[tuple[int, int]], *, span: float = 3.0) -> None:
    """Log-likelihood below its maximum, against the reward gap, one line per (wins, losses).

    A dot marks the maximum at log(wins/losses), if it exists.
    """
    gap = np.linspace(-span, span, 301)
    for (wins, losses), role in with_looks(counts, LINES):
        value = win_log_likelihood(gap, wins, losses)
        top = 0.0  # the supremum if all judgements agree
        if wins and losses:
            best = np.log(wins / losses)
            top = float(win_log_likelihood(best, wins, losses))
            ax.plot(best, 0.0, "o", color=colour(role), zorder=5)
        ax.plot(gap, value - top, color=colour(role), label=f"{wins} wins, {losses} losses")
    ax.set_ylim(-4, 1.5)
    ax.set_yticks(range(-4, 1))
    ax.set_xlabel(r"reward gap $r_w - r_l$ (log-odds)")
    ax.set_ylabel("log-likelihood below its best (nats)")
    ax.set_xlim(-span, span)
    ax.legend(loc="upper left", bbox_to_anchor=(-0.02, 1.03))


def draw_ridge(ax: Axes, wins: int, losses: int, *, span: float = 3.0) -> None:
    """Contours of the log-likelihood over both rewards, with its ridge of constant gap."""
    if not (wins > 0 and losses > 0):
        raise ValueError(f"wins = {wins}, losses = {losses}: expected at least one of each")
    axis = np.linspace(-span, span, 121)
    r_w, r_l = np.meshgrid(axis, axis)
    best = float(np.log(wins / losses))
    drop = win_log_likelihood(r_w - r_l, wins, losses) - win_log_likelihood(best, wins, losses)
    lines = ax.contour(
        r_w,
        r_l,
        drop,
        levels=[-8, -4, -2, -1],
        colors=colour("muted"),
        linestyles="solid",
        linewidths=1.3,
    )
    ax.clabel(lines, fmt="%g", fontsize=9)
    ax.plot(axis, axis - best, color=colour("preferred"), label="equally likely")
    ax.set_xlim(-span, span)
    ax.set_ylim(-span, span)
    ax.set_aspect("equal")
    ax.set_xlabel("reward $r_w$ (log-odds)")
    ax.set_ylabel("reward $r_l$ (log-odds)")
    ax.legend(loc="upper left")  # no contour reaches this corner
