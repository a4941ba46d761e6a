"""Figures of the KL-regularised optimum and of its recovery by training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from dpofield.figures.notes import note
from dpofield.figures.style import LINES, colour, with_looks


def draw_optimum(ax: Axes, betas: ArrayLike, policies: ArrayLike, labels: Sequence[str]) -> None:
    """Optimal probabilities against beta (log axis): `policies` has shape (betas, responses)."""
    betas, policies = np.asarray(betas, dtype=float), np.asarray(policies, dtype=float)
    for (column, label), role in with_looks(zip(policies.T, labels, strict=True), LINES):
        ax.semilogx(betas, column, color=colour(role))
        at = (float(betas[-1]), float(column[-1]))
        note(ax, label, at, (6, 0), role=role, va="center", annotation_clip=False)
    ax.set_ylim(-0.02, 1.02)
    ax.set_xlabel(r"$\beta$ (1/nat)")
    ax.set_ylabel(r"optimal probability $\pi^*(y \mid x)$")


def draw_recovery(
    ax: Axes, steps: ArrayLike, logratios: ArrayLike, target: ArrayLike, labels: Sequence[str]
) -> None:
    """Log-ratios over training steps, shape (steps, responses), and their targets, dashed."""
    steps, logratios = np.asarray(steps, dtype=float), np.asarray(logratios, dtype=float)
    goals = np.asarray(target, dtype=float)
    lines = zip(logratios.T, goals, labels, strict=True)
    for (path, goal, label), role in with_looks(lines, LINES):
        ax.plot(steps, np.full_like(steps, goal), "--", color=colour(role), linewidth=1.2)
        ax.plot(steps, path, color=colour(role))
        at = (float(steps[-1]), float(goal))
        note(ax, label, at, (6, 0), role=role, va="center", annotation_clip=False)
    ax.set_xlim(steps[0], steps[-1])
    ax.set_xlabel("training step")
    ax.set_ylabel(r"log-ratio $\log\,\pi/\pi_{\mathrm{ref}}$ (nats)")
