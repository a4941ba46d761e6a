"""Figures of the probability mass before and after training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import ArrayLike

from dpofield.figures.style import colour, with_looks

PARTS: dict[str, tuple[str, str]] = {
    "preferred": ("preferred", ""),
    "both": ("model", ""),
    "dispreferred": ("dispreferred", ""),
    "untrained": ("grid", ""),
    "off_grammar": ("reference", "////"),
    "better": ("model", ""),
    "worse": ("accent", ""),
}
"""Part of the total probability -> (colour role, hatching)."""


def draw_shares(
    ax: Axes,
    rows: Sequence[str],
    parts: Mapping[str, tuple[ArrayLike, ArrayLike]],
    labels: Mapping[str, str],
) -> None:
    """Two stacked bars per row, before (thin, above) and after.

    `parts` maps a name of `PARTS` to its masses (before, after), one per row; they add up to 1.
    """
    place = np.arange(len(rows), dtype=float)
    for when, (shift, height) in enumerate(((-0.33, 0.16), (0.05, 0.5))):
        left = np.zeros(len(rows))
        for name, masses in parts.items():
            role, hatch = PARTS[name]
            width = np.asarray(masses[when], dtype=float)
            ax.barh(
                place + shift, width, height, left=left, color=colour(role), hatch=hatch,
                edgecolor=colour("surface"), linewidth=0.8,
                label=labels.get(name, name) if when else None,
            )  # fmt: skip
            left += width
    ax.set_yticks(place, list(rows))
    ax.set_ylim(len(rows) - 0.5, -0.6)
    ax.set_xlim(0, 1)
    ax.grid(False, axis="y")
    ax.set_xlabel("probability")


def draw_grammar_and_leak(
    ax: Axes, leak: ArrayLike, gain: ArrayLike, groups: Mapping[str, tuple[ArrayLike, str, str]]
) -> None:
    """Change of reward on the grammar (N,) against the mass that left it (N,), one dot per prompt.

    `groups` maps a name to (members (N,) of bool, colour role, marker).
    """
    x, y = np.asarray(leak, dtype=float), np.asarray(gain, dtype=float)
    for name, (members, role, marker) in groups.items():
        m = np.asarray(members, dtype=bool)
        ax.plot(
            x[m], y[m], marker, color=colour(role), markersize=5, alpha=0.7, markeredgewidth=0,
            label=name,
        )  # fmt: skip
    ax.axhline(0, color=colour("muted"), linewidth=1)
    ax.axvline(0, color=colour("muted"), linewidth=1)
    ax.set_xlabel("change of mass off the grammar")
    ax.set_ylabel("change of expected true reward\ngiven a response on the grammar")


LEADERS: dict[str, tuple[str, str]] = {
    "same": ("accent", "D"),
    "preferred": ("preferred", "o"),
    "untrained": ("muted", "s"),
    "both": ("model", "^"),
    "dispreferred": ("dispreferred", "v"),
}
"""Kind of the most likely response after training -> (colour role, marker)."""


def draw_leaders(
    ax: Axes, before: ArrayLike, after: ArrayLike, leader: Sequence[str], labels: Mapping[str, str]
) -> None:
    """Probability of each prompt's most likely response, after against before, by its kind."""
    x, y, who = np.asarray(before), np.asarray(after), np.asarray(leader)
    if unknown := sorted(set(leader) - set(LEADERS)):
        raise ValueError(f"LEADERS has no entry for {', '.join(unknown)}")
    for name, (role, marker) in LEADERS.items():
        here = who == name
        if here.any():
            ax.plot(
                x[here], y[here], marker, color=colour(role), markersize=6, alpha=0.75,
                markeredgewidth=0, label=labels.get(name, name),
            )  # fmt: skip
    ends = [min(x.min(), y.min()) * 0.8, max(x.max(), y.max()) * 1.2]
    ax.plot([ends[0], 2.5 * x.max()], [ends[0], 2.5 * x.max()], "--", color=colour("text"), lw=1.2)
    ax.set(xscale="log", yscale="log", ylim=ends, xlim=(x.min() * 0.85, x.max() * 1.15))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:g}%"))
        axis.set_minor_locator(NullLocator())
    ax.set_xlabel("probability of the most likely response, before")
    ax.set_ylabel("probability of the most likely one, after")


def draw_who_falls(
    ax: Axes, reward: ArrayLike, lines: Mapping[str, Sequence[tuple[float, float, float]]]
) -> None:
    """Mean change of log pi(yw) (nats) against the preferred's true reward, one line per name."""
    looks = (
        ("model", "o", "-"),
        ("reference", "s", "--"),
        ("preferred", "^", "-"),
        ("accent", "D", "--"),
    )
    for (name, intervals), (role, marker, line) in with_looks(lines.items(), looks):
        value, low, high = np.asarray(intervals, dtype=float).T
        ax.fill_between(reward, low, high, color=colour(role), alpha=0.15, linewidth=0)
        ax.plot(reward, value, marker + line, color=colour(role), markersize=6, label=name)
    ax.axhline(0, color=colour("muted"), linewidth=1)
    ax.set_xlabel("true reward of the preferred response")
    ax.set_ylabel("mean change of its\nlog-probability (nats)")
