"""Figures of what losses other than DPO buy, and at what price: arrays in, one `Axes` drawn on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from dpofield.figures.notes import HALO
from dpofield.figures.style import colour

MARKED = {
    "dpo": ("text", "o"),
    "chi2": ("accent", "D"),
    "rpo": ("model", "s"),
    "orpo": ("reference", "^"),
    "dpop": ("preferred", "v"),
    "apo_zero": ("dispreferred", "P"),
}
"""Losses that are told apart in the figures: role of the colour, and mark. Others are grey."""

LOOKS = (("dispreferred", "o"), ("preferred", "s"), ("muted", "D"))
"""Colour role and mark of each criterion in `draw_against`."""


def draw_frontier(
    ax: Axes, lines: Mapping[str, ArrayLike], names: Mapping[str, str], start: float
) -> None:
    """Loss -> (R, 2) KL in nats and reward at R learning rates, ascending: one line a loss.

    All lines begin at the model before training, KL 0 and reward `start`. Marks grow with the rate.

    >>> import matplotlib.pyplot as plt
    >>> draw_frontier(plt.figure().gca(), {"dpo": [[1, 0.5]]}, {"dpo": "DPO"}, 0.0)
    >>> plt.close("all")
    """
    others = "all others"
    for loss, points in sorted(lines.items(), key=lambda item: item[0] in MARKED):
        role, mark = MARKED.get(loss, ("muted", "."))
        marked = loss in MARKED
        kl, reward = np.vstack([(0.0, start), np.asarray(points, dtype=float)]).T
        ax.plot(
            kl, reward, color=colour(role), linewidth=1.8 if marked else 0.8,
            zorder=4 if marked else 2,
        )  # fmt: skip
        label = names[loss] if marked else others
        others = "_" if not marked else others
        ax.plot([], [], mark, linestyle="-", color=colour(role), linewidth=1.4, label=label)
        for place, size in zip(range(1, len(kl)), (4.5, 6.5, 9), strict=False):
            ax.plot(
                kl[place], reward[place], mark, color=colour(role), zorder=5 if marked else 3,
                markersize=size if marked else 0.8 * size,
            )  # fmt: skip
    ax.plot(0, start, "*", color=colour("text"), markersize=11, zorder=6)
    ax.annotate(
        "before", (0, start), xytext=(6, -14), textcoords="offset points", color=colour("muted"),
        fontsize=10, path_effects=[HALO], zorder=6,
    )  # fmt: skip
    ax.set_xlabel("KL to the reference, lower bound (nats)")


def draw_against(
    ax: Axes, rows: Sequence[str], looks: Mapping[str, Sequence[tuple[float, float, float]]]
) -> None:
    """Differences against DPO with their intervals: one row a loss, one mark a criterion.

    >>> import matplotlib.pyplot as plt
    >>> draw_against(plt.figure().gca(), ["IPO"], {"worst": [(0.1, 0.0, 0.2)]}); plt.close("all")
    """
    place = np.arange(len(rows))
    aside = np.linspace(-0.22, 0.22, len(looks)) if len(looks) > 1 else [0.0]
    for (name, found), shift, (role, mark) in zip(looks.items(), aside, LOOKS, strict=False):
        value, low, high = np.asarray(found, dtype=float).T
        ax.errorbar(
            value, place + shift, xerr=[value - low, high - value], color=colour(role),
            marker=mark, linestyle="none", elinewidth=1.6, markersize=5.5, label=name,
        )  # fmt: skip
    ax.axvline(0, color=colour("text"), linewidth=1)
    for edge in place[:-1] + 0.5:
        ax.axhline(edge, color=colour("grid"), linewidth=0.7)
    ax.set_yticks(place, rows)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
