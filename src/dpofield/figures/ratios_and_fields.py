"""Figures of the two ratios: loss curves, paths, and the reachable region."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from dpofield.figures.field import axis_labels
from dpofield.figures.notes import arrow_head, note
from dpofield.figures.style import LINES, colour, with_looks


def draw_loss_curves(ax: Axes, curves: Mapping[str, ArrayLike]) -> None:
    """Loss (nats) against step, in ever thinner lines, so that equal curves are visible."""
    for i, ((name, loss), role) in enumerate(with_looks(curves.items(), LINES)):
        ax.plot(
            np.asarray(loss),
            color=colour(role),
            linewidth=7 / (1 + 2 * i),
            alpha=1 if i else 0.45,
            label=name,
        )
    ax.set_xlabel("training step")
    ax.set_ylabel("loss (nats)")
    ax.legend()


def draw_paths(ax: Axes, paths: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> None:
    """Paths in the ratio plane, each a pair (x1, x2) of arrays over steps, with an arrow head."""
    for (name, (first, second)), role in with_looks(paths.items(), LINES):
        x1, x2 = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
        ax.plot(x1, x2, color=colour(role), zorder=4)
        arrow_head(ax, (x1[-2], x2[-2]), (x1[-1], x2[-1]), role=role)
        middle = len(x1) // 2
        note(ax, name, (x1[middle], x2[middle]), (0, 9), role=role, ha="center")
    axis_labels(ax, "ratio")


def draw_reachable(ax: Axes, ref_w: float, ref_l: float, x1: ArrayLike, x2: ArrayLike) -> None:
    """The reachable ratios: sampled policies, the bound of each ratio, and the bound of both.

    `ref_w` and `ref_l` are reference probabilities; `x1`, `x2` are ratios of sampled policies.
    """
    ax.plot(x1, x2, ".", color=colour("model"), markersize=3, alpha=0.6, label="sampled policies")
    ax.plot(
        [1 / ref_w, 0],
        [0, 1 / ref_l],
        color=colour("dispreferred"),
        label=r"$\pi(y_w) + \pi(y_l) = 1$",
    )
    for line, bound in ((ax.axvline, 1 / ref_w), (ax.axhline, 1 / ref_l)):
        line(bound, color=colour("muted"), linestyle="--", linewidth=1.2)
    ax.set_xlim(0, 1.08 / ref_w)
    ax.set_ylim(0, 1.08 / ref_l)
    ax.legend(loc="upper right", bbox_to_anchor=(0.92, 0.92))
    axis_labels(ax, "ratio")
