"""Figures of the law of motion.

K_ab is an inner product of log-probability gradients; changes are in nats.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from dpofield.figures.notes import note
from dpofield.figures.style import LINES, colour, with_looks


def draw_law(
    ax: Axes, predicted: Mapping[str, ArrayLike], observed: Mapping[str, ArrayLike]
) -> None:
    """Observed against predicted changes of many pairs, by role, with a line of equality."""
    values = [np.asarray(v, dtype=float) for v in predicted.values()]
    low, high = min(v.min() for v in values), max(v.max() for v in values)
    ax.plot([low, high], [low, high], color=colour("muted"), linewidth=1.0, zorder=1)
    marks = {"preferred": "o", "dispreferred": "s"}
    for role, said in predicted.items():
        ax.plot(
            said, observed[role], marks[role], color=colour(role), markersize=4, alpha=0.55,
            markeredgewidth=0, label=role,
        )  # fmt: skip
    ax.axhline(0, color=colour("muted"), linewidth=0.7, zorder=0)
    ax.axvline(0, color=colour("muted"), linewidth=0.7, zorder=0)


def draw_miss(ax: Axes, lrs: ArrayLike, miss: ArrayLike, *, limit: float | None = None) -> None:
    """Relative error (S, M) against S step sizes: median, band from 5% to 95%, slope 1 dashed."""
    steps, errors = np.asarray(lrs, dtype=float), np.asarray(miss, dtype=float)
    low, middle, high = np.quantile(errors, [0.05, 0.5, 0.95], axis=1)
    ink = colour("model")
    ax.fill_between(steps, low, high, color=ink, alpha=0.25, linewidth=0, label="5% to 95%")
    ax.plot(steps, middle, "o-", color=ink, label="median")
    guide = 4 * middle.max() / steps[middle.argmax()] * steps
    ax.plot(steps, guide, "--", color=colour("text"), linewidth=1.2, label="slope 1")
    if limit is not None:
        ax.axhline(limit, color=colour("muted"), linewidth=1.2)
        note(ax, f"{limit:.1%}", (float(steps.min()), limit), (0, 4))
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel(r"step size $\eta$")
    ax.set_ylabel("relative error of the law")
    ax.legend()


def draw_miss_counts(ax: Axes, miss: ArrayLike, *, limit: float) -> None:
    """Histogram of M relative errors (log axis), with a line at `limit`."""
    errors = np.asarray(miss, dtype=float)
    bins = np.geomspace(errors.min(), errors.max(), 31)
    ax.hist(errors, bins=list(bins), color=colour("model"), alpha=0.8)
    ax.axvline(float(np.median(errors)), color=colour("text"), linewidth=1.6, label="median")
    ax.axvline(limit, color=colour("muted"), linewidth=1.2)
    note(
        ax, f"{limit:.1%}", (limit, 1), (-4, -4), xycoords=("data", "axes fraction"), ha="right",
        va="top",
    )  # fmt: skip
    ax.set_xscale("log")
    ax.set_xlabel("relative error of the law")
    ax.set_ylabel("log-probabilities")
    ax.legend(loc="upper left")


def draw_regions(ax: Axes, *, right: float = 1.6, top: float = 3.4) -> None:
    """The plane of K_wl/K_ww and K_ll/K_ww, with its three boundaries.

    Shaded: the region that the Cauchy-Schwarz inequality excludes."""
    left, text = -0.75, colour("text")
    x = np.linspace(left, right, 300)
    ax.fill_between(x, 0, np.minimum(x**2, top), color=colour("grid"), linewidth=0, zorder=0)
    ax.plot(x, x**2, color=colour("muted"), linewidth=1.4)
    ax.plot([1, 1], [1, top], color=colour("preferred"), linewidth=1.6)
    ax.plot([0, 1], [0, 1], color=colour("dispreferred"), linewidth=1.6)
    ax.plot([left, 1], [1, 1], color=text, linewidth=1.6, linestyle="--")
    places = (
        ((0.97, top * 0.93), "dispreferred\nmoves more", "right"),
        ((1.04, top * 0.93), "both fall", "left"),
        ((left + 0.04, 0.86), "preferred\nmoves more", "left"),
    )
    for at, words, side in places:
        note(ax, words, at, (0, 0), role="text", ha=side, va="top", fontsize=10)
    ax.annotate("not possible", (right - 0.04, 0.85), ha="right", va="top", color=text, fontsize=10)
    ax.annotate(
        "both rise",
        (0.66, 0.55),
        xytext=(0.72, 0.12),
        arrowprops={"arrowstyle": "-", "color": text, "lw": 0.8},
        ha="left",
        va="center",
        color=text,
        fontsize=10,
        zorder=6,
    )
    ax.set_xlim(left, right)
    ax.set_ylim(0, top)
    ax.set_xlabel("$K_{wl}/K_{ww}$")
    ax.set_ylabel("$K_{ll}/K_{ww}$")


def draw_pairs_in_plane(ax: Axes, groups: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> None:
    """Pairs as points (K_wl/K_ww, K_ll/K_ww), one colour and mark per group."""
    looks = list(zip(LINES, "os^Dv", strict=True))
    for (name, (x, y)), (role, mark) in with_looks(groups.items(), looks):
        ax.plot(
            x, y, mark, color=colour(role), markersize=4.5, alpha=0.8, markeredgewidth=0, label=name
        )


def draw_step_sizes(
    ax: Axes,
    lrs: ArrayLike,
    first_order: Mapping[str, float],
    observed: Mapping[str, ArrayLike],
    split: Mapping[str, ArrayLike],
) -> None:
    """Change divided by step size (nats), by role: the law dashed, observations solid.

    Crosses: `split`, the first order plus the concave part.
    """
    for role, constant in first_order.items():
        ink = colour(role)
        ax.axhline(constant, color=ink, linestyle="--", linewidth=1.4)
        ax.plot(lrs, observed[role], "o-", color=ink, markersize=5, label=role)
        ax.plot(lrs, split[role], "x", color=colour("text"), markersize=8, zorder=5)
    ax.axhline(0, color=colour("muted"), linewidth=1)
    ax.set_xscale("log")
    ax.set_xlabel(r"step size $\eta$")
    ax.set_ylabel("mean change over step size (nats)")
