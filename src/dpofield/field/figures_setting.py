"""Figures of the first three chapters: preferences, the RLHF optimum, ratios and fields.

Every function draws plain arrays or numbers on the `Axes` it is given and returns nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike
from scipy.special import log_expit

from dpofield.field.figures import HALO, axis_labels
from dpofield.field.style import colour

LINES = ("model", "reference", "accent", "muted", "text")
"""Colours of lines that are neither the preferred nor the dispreferred response."""


def win_log_likelihood(gap: ArrayLike, wins: int, losses: int) -> np.ndarray:
    """Bradley-Terry log-likelihood (nats) of `wins` and `losses` at the reward gap(s) `gap`.

    The shape is that of `gap`. `ValueError` when a count is negative or there is no judgement.

    >>> win_log_likelihood(0.0, 1, 1).round(4)
    np.float64(-1.3863)
    """
    if wins < 0 or losses < 0 or wins + losses == 0:
        raise ValueError(f"wins = {wins}, losses = {losses}: both are counts, at least one above 0")
    gap = np.asarray(gap, dtype=float)
    return np.asarray(wins * log_expit(gap) + losses * log_expit(-gap))[()]


def draw_likelihood(ax: Axes, counts: Sequence[tuple[int, int]], *, span: float = 3.0) -> None:
    """Log-likelihood of (wins, losses) against the reward gap, 0 at its maximum, one line a count.

    A dot marks the maximum, log(wins/losses), where there is one.

    >>> import matplotlib.pyplot as plt
    >>> draw_likelihood(plt.figure().gca(), [(7, 3), (3, 0)]); plt.close("all")
    """
    gap = np.linspace(-span, span, 301)
    for (wins, losses), role in zip(counts, cycle(LINES), strict=False):
        value = win_log_likelihood(gap, wins, losses)
        top = 0.0  # the supremum when all judgements agree: never reached
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
    """Contours of the log-likelihood over both rewards: a ridge along equal shifts.

    >>> import matplotlib.pyplot as plt
    >>> draw_ridge(plt.figure().gca(), 7, 3); plt.close("all")
    """
    if not (wins > 0 and losses > 0):
        raise ValueError(f"wins = {wins}, losses = {losses}: a ridge needs at least one of each")
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
    ax.legend(loc="upper left")  # the corner that no contour reaches


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


def draw_loss_curves(ax: Axes, curves: Mapping[str, ArrayLike]) -> None:
    """Loss (nats) against step, one line a run, thinner and thinner so that equal ones show.

    >>> import matplotlib.pyplot as plt
    >>> draw_loss_curves(plt.figure().gca(), {"A": [0.7, 0.6], "B": [0.7, 0.6]}); plt.close("all")
    """
    for i, ((name, loss), role) in enumerate(zip(curves.items(), cycle(LINES), strict=False)):
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
    """Paths in the ratio plane, each a pair (x1, x2) of arrays over steps, with an arrow head.

    >>> import matplotlib.pyplot as plt
    >>> draw_paths(plt.figure().gca(), {"A": ([1, 1.1, 1.2], [1, 0.9, 0.8])}); plt.close("all")
    """
    for (name, (first, second)), role in zip(paths.items(), cycle(LINES), strict=False):
        x1, x2 = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
        ax.plot(x1, x2, color=colour(role), zorder=4)
        ax.annotate(
            "",
            (x1[-1], x2[-1]),
            xytext=(x1[-2], x2[-2]),
            arrowprops={"arrowstyle": "-|>", "color": colour(role), "lw": 2},
            zorder=4,
        )
        middle = len(x1) // 2
        ax.annotate(
            name,
            (x1[middle], x2[middle]),
            xytext=(0, 9),
            textcoords="offset points",
            ha="center",
            color=colour(role),
            path_effects=[HALO],
            zorder=6,
        )
    axis_labels(ax, "ratio")


def draw_reachable(ax: Axes, ref_w: float, ref_l: float, x1: ArrayLike, x2: ArrayLike) -> None:
    """Which ratios a policy can have: sampled ones, the two bounds, and the line beyond which none.

    `ref_w` and `ref_l` are reference probabilities; `x1`, `x2` ratios of sampled policies.

    >>> import matplotlib.pyplot as plt
    >>> draw_reachable(plt.figure().gca(), 0.4, 0.5, [1.0], [1.0]); plt.close("all")
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
