"""The gallery of losses: the field of each in the plane of log-ratios, small, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dpofield.field.core import Array, find_loss, gradient
from dpofield.field.style import colour
from dpofield.formulas import Loss
from dpofield.formulas.losses.classify import tilt

PAIR: Mapping[str, float] = MappingProxyType(
    {"ref_w": -30.0, "ref_l": -50.0, "len_w": 10.0, "len_l": 20.0}
)
"""The pair of the gallery, for losses that read more than u and v: nats, tokens."""

SETTINGS: Mapping[str, float] = MappingProxyType({"beta": 0.1, "epsilon": 0.1, "shift": 5.0})
"""One value of each shared parameter, so that panels can be compared."""

PER_TOKEN: Mapping[str, float] = MappingProxyType({"beta": 2.0})
"""... but for losses of means per token, whose beta is on another scale."""

GROUPS = (
    "Same direction everywhere: only the speed differs",
    "Straight, but tilted",
    "Direction depends on the place",
)

SHADES: Mapping[str, str] = MappingProxyType(
    {
        "both as intended": "preferred",
        "preferred pushed down": "dispreferred",
        "dispreferred pushed up": "reference",
        "both the wrong way": "accent",
    }
)
"""What an arrow does, and the colour of its role."""


def group(loss: Loss) -> str:
    """The group of a loss in the gallery, by its tilt.

    >>> from dpofield.formulas import LOSSES
    >>> group(LOSSES["ipo"]), group(LOSSES["dpo_shift"]), group(LOSSES["kto"])
    ('Same direction everywhere: only the speed differs', 'Straight, but tilted', \
'Direction depends on the place')
    """
    constant = tilt(loss)
    return GROUPS[2 if constant is None else 0 if constant == 1 else 1]


def gallery_params(loss: str | Loss) -> dict[str, float]:
    """The parameters and inputs under which the gallery shows a loss.

    >>> gallery_params("simpo")["beta"], gallery_params("nca")
    (2.0, {'beta': 0.1})
    """
    loss = find_loss(loss)
    lengths = {p.name for p in loss.inputs} >= {"len_w", "len_l"}
    shared = {**SETTINGS, **(PER_TOKEN if lengths else {}), **PAIR}
    return {p.name: shared[p.name] for p in loss.arguments if p.name in shared}


def push(loss: str | Loss, u: Array, v: Array, **params: Any) -> tuple[Array, Array]:
    """The push on the two log-ratios, `-dL/du` and `-dL/dv` (nats per nat).

    >>> along_u, along_v = push("dpo", 0.0, 0.0, beta=0.1)
    >>> float(along_u), float(along_v)
    (0.05, -0.05)
    """
    along_u, along_v = gradient(loss, "log-ratio", u, v, **params)
    return -along_u, -along_v


def verdict(along_u: Array, along_v: Array) -> Array:
    """0 to 3 in the order of `SHADES`: what a push does to the two responses.

    >>> verdict(np.array([1.0, -1.0, 1.0, -1.0]), np.array([-1.0, -1.0, 1.0, 1.0]))
    array([0, 1, 2, 3])
    """
    return np.asarray((along_u < 0) + 2 * (along_v > 0), dtype=int)


def draw_push(ax: Axes, loss: str | Loss, *, window: float = 12.0, n: int = 6) -> None:
    """One panel: arrows along the push, coloured by `verdict`, over log-ratios of +-window nats.

    An arrow's length falls with the logarithm of its size below the panel's largest; a dot stands
    where nothing is pushed. Regions of a wrong push are shaded.

    >>> import matplotlib.pyplot as plt
    >>> draw_push(plt.figure().gca(), "nca"); plt.close("all")
    """
    loss = find_loss(loss)
    params = gallery_params(loss)
    fine = np.linspace(-1.08 * window, 1.08 * window, 161)
    kinds = verdict(*push(loss, fine[None, :], fine[:, None], **params))
    roles = list(SHADES.values())
    for kind in np.unique(kinds[kinds > 0]):
        ax.contourf(
            fine, fine, kinds == kind, levels=[0.5, 1.5], colors=[colour(roles[kind])], alpha=0.25
        )
    line = np.linspace(-window, window, n) * (1 - 1 / n)
    u, v = np.meshgrid(line, line)
    along_u, along_v = push(loss, u, v, **params)
    size = np.hypot(along_u, along_v)
    still = size < 1e-12 * size.max()
    size = np.where(still, 1, size)
    length = np.clip(1 + np.log10(size / size[~still].max()) / 5, 0.35, 1)
    scale = (line[1] - line[0]) * length / size
    kinds = verdict(along_u, along_v)
    for kind in np.unique(kinds[~still]):
        here = (kinds == kind) & ~still
        ax.quiver(
            u[here], v[here], (along_u * scale)[here], (along_v * scale)[here],
            color=colour(roles[kind]), angles="xy", scale_units="xy", scale=1.05, pivot="mid",
            width=0.022, headwidth=3.6, headlength=3.6, headaxislength=3.2, minlength=0.5,
        )  # fmt: skip
    ax.plot(u[still], v[still], ".", color=colour("muted"), markersize=2.5)
    ax.plot(0, 0, "o", color=colour("text"), markersize=3, zorder=5)
    ax.set(xlim=(fine[0], fine[-1]), ylim=(fine[0], fine[-1]), aspect="equal", xticks=[], yticks=[])
    ax.grid(False)
    ax.spines[:].set_visible(True)
    ax.set_title(loss.title, fontsize=9, pad=3, loc="center")


def draw_gallery(fig: Figure, losses: Sequence[Loss], *, columns: int = 5) -> None:
    """Every loss as a panel, in the three groups; the legend stands in the first group's free row.

    >>> from dpofield.formulas import LOSSES
    >>> import matplotlib.pyplot as plt
    >>> draw_gallery(plt.figure(), [LOSSES[n] for n in ("dpo", "sft", "kto")]); plt.close("all")
    """
    members = {name: [loss for loss in losses if group(loss) == name] for name in GROUPS}
    # None is a heading, which is lower than a row of panels
    rows: list[tuple[str, int | None]] = []
    for name, here in members.items():
        rows += [(name, None), *((name, first) for first in range(0, len(here), columns))]
    heights = [0.14 if first is None else 1.0 for _, first in rows]
    cells = fig.add_gridspec(len(rows), columns, height_ratios=heights)
    for row, (name, first) in enumerate(rows):
        if first is None:
            heading = fig.add_subplot(cells[row, :])
            heading.set_axis_off()
            heading.text(0, 0, name, fontsize=11, color=colour("text"))
            continue
        for column, loss in enumerate(members[name][first : first + columns]):
            ax = fig.add_subplot(cells[row, column])
            draw_push(ax, loss)
            if first == column == 0:
                ax.set_xlabel("preferred, $u$", fontsize=8, labelpad=2)
                ax.set_ylabel("dispreferred, $v$", fontsize=8, labelpad=2)
    _legend(fig.add_subplot(cells[2, -2:]))


def _legend(ax: Axes) -> None:
    ax.set_axis_off()
    marks = [
        Line2D([], [], color=colour(role), marker=">", markersize=5, label=name)
        for name, role in SHADES.items()
    ]
    still = Line2D([], [], color=colour("muted"), marker=".", linestyle="", label="no push")
    ax.legend(handles=[*marks, still], loc="center", fontsize=8.5).set_in_layout(False)


def draw_speeds(ax: Axes, losses: Mapping[str, str], *, window: float = 30.0) -> None:
    """How hard each loss of the margin pushes it, `-dL/dh`, against the margin h (nats).

    `losses` are names and the roles of their colours; parameters are the gallery's.

    >>> import matplotlib.pyplot as plt
    >>> draw_speeds(plt.figure().gca(), {"dpo": "text", "ipo": "model"}); plt.close("all")
    """
    h = np.linspace(-window, window, 1201)
    for name, role in losses.items():
        speed, _ = push(name, h, np.zeros_like(h), **gallery_params(name))
        ax.plot(h, speed, color=colour(role), label=find_loss(name).title)
    ax.axhline(0, color=colour("muted"), linewidth=1)
    ax.axvline(0, color=colour("muted"), linewidth=1, linestyle=":")
    ax.set_xlabel("margin $h = u - v$ (nats)")
    ax.set_ylabel(r"push on the margin, $-\partial L/\partial h$")
