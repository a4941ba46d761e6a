"""Figures of recorded training runs: plain arrays in, one `Axes` drawn on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from dpofield.field.figures import HALO, axis_labels
from dpofield.field.style import colour

Groups = Mapping[str, NDArray[np.bool_]]
"""Name of a kind of pairs -> which of the N pairs are of that kind."""

GROUP_ROLES = ("model", "reference", "accent")


def draw_sft(ax: Axes, curves: Mapping[str, ArrayLike], floor: float, *, smooth: int = 40) -> None:
    """SFT loss (nats a response) against step, one running mean a level, above the entropy.

    >>> import matplotlib.pyplot as plt
    >>> draw_sft(plt.figure().gca(), {"weak": [9.0, 8.0]}, 7.5, smooth=1); plt.close("all")
    """
    for (name, losses), role in zip(curves.items(), GROUP_ROLES, strict=False):
        kernel = np.ones(smooth) / smooth
        mean = np.convolve(np.asarray(losses, dtype=float), kernel, mode="valid")
        ax.plot(np.arange(len(mean)) + smooth, mean, color=colour(role), label=f"{name} SFT")
    ax.axhline(floor, color=colour("muted"), linestyle="--", linewidth=1.4)
    ax.annotate(
        "entropy of the grammar",
        (1, floor),
        xycoords=("axes fraction", "data"),
        xytext=(-4, -5),
        textcoords="offset points",
        ha="right",
        va="top",
        color=colour("muted"),
    )
    ax.set_xlabel("SFT step")
    ax.set_ylabel("loss (nats a response)")
    ax.set_ylim(floor - 1, floor + 6)  # the first steps stand far above and say nothing
    ax.legend()


def draw_pair_paths(ax: Axes, a: ArrayLike, b: ArrayLike, groups: Groups, *, chart: str) -> None:
    """One path a pair in the named chart, (T, N) coordinates, a dot at each end.

    >>> import matplotlib.pyplot as plt
    >>> path, all_ = np.ones((3, 2)).cumsum(axis=0), np.array([True, True])
    >>> draw_pair_paths(plt.figure().gca(), path, path, {"all": all_}, chart="ratio")
    >>> plt.close("all")
    """
    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    for (name, members), role in zip(groups.items(), GROUP_ROLES, strict=False):
        ink = colour(role)
        lines = ax.plot(first[:, members], second[:, members], color=ink, linewidth=1.3, zorder=3)
        lines[0].set_label(name)
        ax.plot(first[-1, members], second[-1, members], "o", color=ink, markersize=3.5, zorder=4)
    axis_labels(ax, chart)


def draw_changes(ax: Axes, step: ArrayLike, u: ArrayLike, v: ArrayLike) -> None:
    """Change of both log-probs since the start, (T, N), in nats: thin a pair, thick the mean.

    >>> import matplotlib.pyplot as plt
    >>> draw_changes(plt.figure().gca(), [0, 1], np.zeros((2, 3)), np.zeros((2, 3)))
    >>> plt.close("all")
    """
    for values, role in ((u, "preferred"), (v, "dispreferred")):
        change = np.asarray(values, dtype=float)
        ax.plot(step, change, color=colour(role), linewidth=0.7, alpha=0.35)
        ax.plot(step, change.mean(axis=1), color=colour(role), linewidth=2.8, label=role)
    ax.axhline(0, color=colour("muted"), linewidth=1)
    ax.set_xlabel("training step")
    ax.set_ylabel("change of log-probability (nats)")
    ax.legend()


def draw_rates(
    ax: Axes, predicted: ArrayLike, measured: ArrayLike, start: ArrayLike, groups: Groups
) -> None:
    """Measured rate of the preferred over that of the dispreferred, against x2/x1, (T, N) each.

    `start` (T,) says which rows are the first step; they are drawn large. Dashed: the identity,
    where training would move the ratios as their own field says.

    >>> import matplotlib.pyplot as plt
    >>> one, all_ = np.ones((2, 3)), np.array([True, True, True])
    >>> draw_rates(plt.figure().gca(), one, one, [True, False], {"all": all_}); plt.close("all")
    """
    x, y = np.asarray(predicted, dtype=float), np.asarray(measured, dtype=float)
    first = np.asarray(start, dtype=bool)
    for (name, members), role in zip(groups.items(), GROUP_ROLES, strict=False):
        ink = colour(role)
        later = ax.plot(x[~first][:, members], y[~first][:, members], ".", color=ink, alpha=0.4)
        for line in later:
            line.set_markersize(5)
        large = ax.plot(
            x[first][:, members], y[first][:, members], "o", color=ink, markersize=7, zorder=4
        )
        large[0].set_label(name)
    ends = np.geomspace(x.min(), max(1.0, x.max()), 200)
    ax.plot(ends, ends, "--", color=colour("text"), linewidth=1.4, zorder=3)
    ax.axhline(0, color=colour("muted"), linewidth=1)
    ax.set_xscale("log")
    ax.set_yscale("symlog", linthresh=1, linscale=1)
    ax.set_xlabel("$x_2/x_1$ before the step")
    ax.set_ylabel(r"$-\Delta x_1/\Delta x_2$ over the step")


def draw_prediction(
    ax: Axes, predicted: Mapping[str, ArrayLike], observed: Mapping[str, ArrayLike]
) -> None:
    """Observed against predicted changes, one mark a pair, one role a colour; dashed: equality.

    >>> import matplotlib.pyplot as plt
    >>> draw_prediction(plt.figure().gca(), {"preferred": [1.0]}, {"preferred": [1.0]})
    >>> plt.close("all")
    """
    for role, values in predicted.items():
        ax.plot(values, observed[role], "o", color=colour(role), markersize=6, label=role)
    low, high = ax.get_xlim()
    ax.plot([low, high], [low, high], "--", color=colour("text"), linewidth=1.2, zorder=1)
    ax.axhline(0, color=colour("muted"), linewidth=1, zorder=1)
    ax.axvline(0, color=colour("muted"), linewidth=1, zorder=1)


def annotate_start(ax: Axes, text: str, at: tuple[float, float], shift: tuple[int, int]) -> None:
    """A short label beside a point, with a halo so that lines under it do not hide it.

    >>> import matplotlib.pyplot as plt
    >>> annotate_start(plt.figure().gca(), "start", (1, 1), (5, 5)); plt.close("all")
    """
    ax.annotate(text, at, xytext=shift, textcoords="offset points", path_effects=[HALO], zorder=6)
