"""Figures of many recorded runs.

u and v are the changes of log pi of the preferred and the dispreferred response since the start, in
nats. A margin is the mean of u - v over the pairs of a run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.ticker import FixedLocator
from numpy.typing import ArrayLike, NDArray

from dpofield.figures.intervals import draw_intervals
from dpofield.figures.style import MAGNITUDE, colour, with_looks

Floats = NDArray[np.float64]
Whiskers = tuple[float, float, float]
"""A value and the ends of its interval."""

ROLES = {"u": "preferred", "v": "dispreferred"}


def draw_ways(ax: Axes, a: ArrayLike, b: ArrayLike, mean_a: ArrayLike, mean_b: ArrayLike) -> None:
    """Thin paths of N pairs (T, N), thick mean paths of S runs (T, S), with a dot at the end."""
    ends = np.asarray(mean_a)[-1], np.asarray(mean_b)[-1]
    thin = ax.plot(a, b, color=colour("text"), linewidth=0.7, alpha=0.45, zorder=3)
    thick = ax.plot(mean_a, mean_b, color=colour("reference"), linewidth=1.8, zorder=4)
    ax.plot(*ends, "o", color=colour("reference"), markersize=4, zorder=5)
    thin[0].set_label("a pair")
    thick[0].set_label("mean of a run")


def draw_probability_arrows(
    ax: Axes,
    w: ArrayLike,
    l: ArrayLike,  # noqa: E741 - the usual letter
) -> None:
    """The direction of the loss's field in probabilities, on axes of log-probabilities (nats).

    The field -(dL/dpi_w, dL/dpi_l) is divided by pi again to get the rate of log pi, so the arrows
    point along (1/pi_w^2, -1/pi_l^2). All arrows have the same length.
    """
    at_w, at_l = np.meshgrid(np.asarray(w, dtype=float), np.asarray(l, dtype=float))
    # The factor pi_w pi_l keeps the directions and delays overflow.
    gap = np.clip(at_l - at_w, -300, 300)
    right, down = np.exp(gap), -np.exp(-gap)
    size = np.hypot(right, down)
    ax.quiver(
        at_w, at_l, right / size, down / size, pivot="mid", scale=1.45 * len(at_w), width=0.006,
        headwidth=4, color=colour("muted"), alpha=0.8,
    )  # fmt: skip
    ax.set_aspect("equal")
    ax.set_xlabel(r"preferred, $\log\pi_\theta(y_w \mid x)$")
    ax.set_ylabel(r"dispreferred, $\log\pi_\theta(y_l \mid x)$")


def draw_magnitudes(ax: Axes, u: ArrayLike, v: ArrayLike, magnitude: ArrayLike) -> ScalarMappable:
    """Pairs in the log-ratio plane, coloured by the length of the ratio gradient.

    Returns the mappable for a colour bar (nats per unit of the ratios, log scale).
    """
    size = np.asarray(magnitude, dtype=float)
    for line in (ax.axhline, ax.axvline):
        line(0, color=colour("muted"), linewidth=1.2, zorder=1)
    dots = ax.scatter(
        u, v, c=size, cmap=MAGNITUDE, norm=LogNorm(size.min(), size.max()), s=14, linewidths=0,
        zorder=2,
    )  # fmt: skip
    ax.set_xlabel(r"preferred, $u = \log x_1$ (nats)")
    ax.set_ylabel(r"dispreferred, $v = \log x_2$ (nats)")
    return dots


def draw_speeds(
    ax: Axes, magnitude: ArrayLike, speeds: Mapping[str, ArrayLike], *, bins: int = 14
) -> None:
    """Distance per step against the length of the ratio gradient, both axes logarithmic.

    One line per chart: the median in each of `bins` equally large classes of magnitude, and a band
    from 5% to 95%.
    """
    size = np.asarray(magnitude, dtype=float)
    order = np.array_split(size.argsort(), bins)
    middle = [float(np.median(size[i])) for i in order]
    for (name, values), role in with_looks(speeds.items(), ("reference", "model")):
        way = np.asarray(values, dtype=float)
        low, half, high = np.array([np.quantile(way[i], [0.05, 0.5, 0.95]) for i in order]).T
        ax.fill_between(middle, low, high, color=colour(role), alpha=0.2, linewidth=0)
        ax.plot(middle, half, "o-", color=colour(role), markersize=4, label=name)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("length of the gradient by the ratios (nats per unit)")
    ax.set_ylabel("way per step")
    ax.legend()


def draw_quotients(ax: Axes, said: ArrayLike, measured: ArrayLike, first: ArrayLike) -> None:
    """Measured -dx1/dx2 against the prediction of the field in the ratios; dashed: equality.

    `first` marks the first interval of each run, drawn large. The vertical axis is linear between
    -1 and 1, and logarithmic beyond.
    """
    x, y, start = (np.asarray(values) for values in (said, measured, first))
    ends = np.geomspace(x.min(), x.max(), 200)
    ax.plot(x[~start], y[~start], ".", color=colour("reference"), alpha=0.5, markersize=4)
    ax.plot(
        x[start], y[start], "o", color=colour("accent"), markersize=4, alpha=0.8,
        label="first interval",
    )  # fmt: skip
    ax.plot(ends, ends, "--", color=colour("text"), linewidth=1.4, label="Corollary 1")
    ax.axhline(0, color=colour("muted"), linewidth=1)
    ax.set_xscale("log")
    ax.set_yscale("symlog", linthresh=1, linscale=1.5)
    powers = (1, 1e5, 1e10, 1e15)
    ax.yaxis.set_major_locator(FixedLocator([-p for p in powers[::-1]] + [0, *powers]))
    ax.set_xlabel("$x_2/x_1$ on the way")
    ax.set_ylabel(r"measured $-\Delta x_1/\Delta x_2$")
    ax.legend(loc="lower right")


def draw_verdicts(ax: Axes, shares: Mapping[str, Sequence[float]]) -> None:
    """One bar per prediction: the shares within a factor of 2, farther off, and of wrong sign."""
    names = list(shares)
    left = np.zeros(len(names))
    looks = (("within a factor of 2", "model"), ("farther off", "accent"), ("wrong sign", "muted"))
    for (label, role), widths in zip(looks, np.array(list(shares.values())).T, strict=True):
        ax.barh(names, widths, left=left, color=colour(role), label=label, height=0.62)
        left += widths
    ax.set_xlim(0, 1)
    ax.invert_yaxis()
    ax.grid(False)
    ax.set_xlabel("share of pairs and intervals")


def draw_by_margin(
    ax: Axes, margins: ArrayLike, u: ArrayLike, v: ArrayLike, share: float, *, circle: bool = False
) -> None:
    """Mean u and v, (S, M), of S runs against the margin (M,); thin: each run, thick: their mean.

    Dashed: u and v if the preferred always took this `share` of the margin. Dotted, with `circle`:
    u and v under flow in the ratios from (1, 1), where x1^2 + x2^2 = 2.
    """
    m = np.asarray(margins, dtype=float)
    for values, letter in ((u, "u"), (v, "v")):
        lines, role = np.asarray(values, dtype=float), ROLES[letter]
        ax.plot(m, lines.T, color=colour(role), linewidth=0.8, alpha=0.4)
        ax.plot(m, lines.mean(axis=0), color=colour(role), linewidth=2.6, label=role)
    said = {"kernel of the start": ("--", share * m)}
    if circle:
        said["flow in the ratios"] = (":", np.log(2 / (1 + np.exp(-2 * m))) / 2)
    for name, (dash, up) in said.items():
        ax.plot(m, up, dash, color=colour("text"), linewidth=1.5, label=name)
        ax.plot(m, up - m, dash, color=colour("text"), linewidth=1.5)
    ax.axhline(0, color=colour("muted"), linewidth=1)
    ax.set_xlabel("mean margin (nats)")
    ax.set_ylabel("mean change (nats)")


def draw_parts(ax: Axes, columns: Mapping[str, Mapping[str, Whiskers]]) -> None:
    """Values with intervals (nats), one row per part and one mark per column; the sum is last."""
    rows = list(next(iter(columns.values())))
    if any(list(parts) != rows for parts in columns.values()):
        raise ValueError("the columns do not have the same parts in the same order")
    found = {name: list(parts.values()) for name, parts in columns.items()}
    draw_intervals(ax, rows, found)
    ax.axhline(len(rows) - 1.5, color=colour("muted"), linewidth=1)
    ax.set_xlabel("nats")


def draw_terms(ax: Axes, step: ArrayLike, lines: Mapping[str, ArrayLike]) -> None:
    """Shares of the margin's gain against the step, (S, T) per term, one colour per term.

    Thin: each run. Thick: their mean. The line "together" is the sum of the others.
    """
    roles = ("model", "preferred", "dispreferred", "text")
    for (name, values), role in with_looks(lines.items(), roles):
        runs = np.asarray(values, dtype=float)
        ax.plot(step, runs.T, color=colour(role), linewidth=0.8, alpha=0.5)
        ax.plot(step, runs.mean(axis=0), "o-", color=colour(role), markersize=4, label=name)
    ax.axhline(0, color=colour("muted"), linewidth=1)
    ax.set_xlabel("training step")
    ax.set_ylabel("share of the margin's gain")
