"""Figures of the KL-regularised optimum, and of recovering it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from dpofield.figures.style import colour

LINES = ("model", "reference", "accent", "muted", "text")
"""Colours of lines that are neither the preferred nor the dispreferred response."""


def draw_optimum(ax: Axes, betas: ArrayLike, policies: ArrayLike, labels: Sequence[str]) -> None:
    """Optimal probabilities against beta (log axis): `policies` has shape (betas, responses).

    >>> import matplotlib.pyplot as plt
    >>> draw_optimum(plt.figure().gca(), [0.1, 1.0], [[0.9, 0.1], [0.6, 0.4]], ["a", "b"])
    >>> plt.close("all")
    """
    betas, policies = np.asarray(betas, dtype=float), np.asarray(policies, dtype=float)
    for column, label, role in zip(policies.T, labels, cycle(LINES), strict=False):
        ax.semilogx(betas, column, color=colour(role))
        ax.annotate(
            label,
            (betas[-1], column[-1]),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=colour(role),
            annotation_clip=False,
        )
    ax.set_ylim(-0.02, 1.02)
    ax.set_xlabel(r"$\beta$ (1/nat)")
    ax.set_ylabel(r"optimal probability $\pi^*(y \mid x)$")


def draw_recovery(
    ax: Axes, steps: ArrayLike, logratios: ArrayLike, target: ArrayLike, labels: Sequence[str]
) -> None:
    """Log-ratios over training steps, shape (steps, responses), and their targets, dashed.

    >>> import matplotlib.pyplot as plt
    >>> draw_recovery(plt.figure().gca(), [1, 2], [[0, 0], [1, -1]], [1.0, -1.0], ["a", "b"])
    >>> plt.close("all")
    """
    steps, logratios = np.asarray(steps, dtype=float), np.asarray(logratios, dtype=float)
    goals = np.asarray(target, dtype=float)
    for path, goal, label, role in zip(logratios.T, goals, labels, cycle(LINES), strict=False):
        ax.plot(steps, np.full_like(steps, goal), "--", color=colour(role), linewidth=1.2)
        ax.plot(steps, path, color=colour(role))
        ax.annotate(
            label,
            (float(steps[-1]), float(goal)),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=colour(role),
            annotation_clip=False,
        )
    ax.set_xlim(steps[0], steps[-1])
    ax.set_xlabel("training step")
    ax.set_ylabel(r"log-ratio $\log\,\pi/\pi_{\mathrm{ref}}$ (nats)")
