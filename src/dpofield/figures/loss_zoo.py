"""The gallery of losses (a small field in log-ratios per loss), their speeds, their tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dpofield.field.core import find_loss
from dpofield.field.gallery import GROUPS, PUSHES, effect, group, push, settings
from dpofield.figures.style import colour
from dpofield.formulas import LOSSES, Loss
from dpofield.formulas.losses.classify import pushes, tilt
from dpofield.formulas.printers import latex
from dpofield.lab.conventions import ELSEWHERE, TRL
from dpofield.words import markdown

SHADES: Mapping[str, str] = MappingProxyType(
    {
        "intended": "preferred",
        "preferred_down": "dispreferred",
        "dispreferred_up": "reference",
        "both_wrong": "accent",
    }
)
"""The colour role of each of `PUSHES`."""


def draw_push(ax: Axes, loss: str | Loss, *, window: float = 12.0, n: int = 6) -> None:
    """One panel: arrows along the push, coloured by `effect`, over log-ratios of +-window nats.

    An arrow's length is linear in the logarithm of its size, relative to the panel's largest push.
    Dots mark points without a push; regions with a wrong push are shaded.
    """
    loss = find_loss(loss)
    params = settings(loss)
    fine = np.linspace(-1.08 * window, 1.08 * window, 161)
    kinds = effect(*push(loss, fine[None, :], fine[:, None], **params))
    roles = [SHADES[kind] for kind in PUSHES]
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
    kinds = effect(along_u, along_v)
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


def draw_gallery(losses: Sequence[Loss], *, columns: int = 5, width: float = 7.6) -> Figure:
    """One panel per loss, group by group below a legend; the height follows from their number.

    `width` is in inches. A group without a loss has no heading.
    """
    members = {name: [loss for loss in losses if group(loss) == name] for name in GROUPS}
    # Per row: its height in panels, and its content: losses, a heading, or None (the legend).
    rows: list[tuple[float, str | Sequence[Loss] | None]] = [(0.34, None)]
    for name, here in members.items():
        if here:
            rows.append((0.14, name))
            rows += [(1.0, here[i : i + columns]) for i in range(0, len(here), columns)]
    heights = [height for height, _ in rows]
    fig = plt.figure(figsize=(width, 1.05 * sum(heights) * width / columns))
    cells = fig.add_gridspec(len(rows), columns, height_ratios=heights)
    for row, (_, content) in enumerate(rows):
        if content is None or isinstance(content, str):
            whole = fig.add_subplot(cells[row, :])
            whole.set_axis_off()
            if content is None:
                _legend(whole)
            else:
                whole.text(0, 0, GROUPS[content], fontsize=11, color=colour("text"))
            continue
        for column, loss in enumerate(content):
            ax = fig.add_subplot(cells[row, column])
            draw_push(ax, loss)
            if column == 0 and isinstance(rows[row - 1][1], str):
                ax.set_xlabel("preferred, $u$", fontsize=8, labelpad=2)
                ax.set_ylabel("dispreferred, $v$", fontsize=8, labelpad=2)
    return fig


def _legend(ax: Axes) -> None:
    marks = [
        Line2D([], [], color=colour(role), marker=">", markersize=5, label=PUSHES[kind])
        for kind, role in SHADES.items()
    ]
    still = Line2D([], [], color=colour("muted"), marker=".", linestyle="", label="no push")
    ax.legend(handles=[*marks, still], loc="center", fontsize=8.5, ncols=3)


def draw_speeds(ax: Axes, losses: Mapping[str, str], *, window: float = 30.0) -> None:
    """The push `-dL/dh` of each loss of the margin, against the margin h (nats).

    `losses` maps names to the roles of their colours; the parameters are those of the gallery.
    """
    h = np.linspace(-window, window, 1201)
    for name, role in losses.items():
        if not find_loss(name).margin_only:
            raise ValueError(f"{name} is not a loss of the margin: its push depends on more than h")
        speed, _ = push(name, h, np.zeros_like(h), **settings(name))
        ax.plot(h, speed, color=colour(role), label=find_loss(name).title)
    ax.axhline(0, color=colour("muted"), linewidth=1)
    ax.axvline(0, color=colour("muted"), linewidth=1, linestyle=":")
    ax.set_xlabel("margin $h = u - v$ (nats)")
    ax.set_ylabel(r"push on the margin, $-\partial L/\partial h$")


def classes(losses: Iterable[Loss]) -> str:
    """A table of each loss's pushes, with the ratio of components if the losses differ in it.

    >>> print(classes([LOSSES["dpo"]]).splitlines()[-1])
    | DPO | always up | always down |
    """
    losses = list(losses)
    rows: list[tuple[str, ...]] = [tuple(p.text for p in pushes(loss)) for loss in losses]
    head = ["preferred", "dispreferred"]
    if len({tilt(loss) for loss in losses}) > 1:
        head = ["ratio", *head]
        rows = [(_ratio(loss), *row) for loss, row in zip(losses, rows, strict=True)]
    titled = [(loss.title, *row) for loss, row in zip(losses, rows, strict=True)]
    return markdown(["loss", *head], titled)


def _ratio(loss: Loss) -> str:
    constant = tilt(loss)
    return "varies" if constant is None else f"${latex(constant)}$"


def definitions(losses: Iterable[Loss]) -> str:
    """A table of formulas, defaults and sources.

    >>> definitions([LOSSES["ipo"]]).splitlines()[-1].split(" | ")[3]
    'beta = 0.1'
    """
    rows = []
    for loss in losses:
        defaults = ", ".join(f"{name} = {value:g}" for name, value in loss.defaults.items())
        rows.append((loss.title, f"`{loss.name}`", f"${loss.latex}$", defaults, loss.source))
    return markdown(["loss", "name", "$L$", "defaults", "source"], rows)


def in_trl() -> str:
    """A table of TRL's settings and the losses that they select.

    >>> print(in_trl().splitlines()[2])
    | DPO: `sigmoid` | DPO | sums | `label_smoothing` is ignored: no cDPO |
    """
    rows = []
    for row in TRL:
        title = LOSSES[row.loss].title + (", no reference" if row.free else "")
        chosen = [_setting(name, value) for name, value in row.setting.items()]
        asked = f"{row.trainer}: {', '.join(chosen)}".removesuffix(": ")
        rows.append((asked, title, row.reads, row.note))
    return markdown(["trainer and setting", "here", "reads", "mind"], rows)


def elsewhere() -> str:
    """A table of the names of losses in other projects and papers, with links to the sources.

    >>> print(elsewhere().splitlines()[2].split(" | ")[2:])
    ['IPO', 'sums |']
    """
    rows = [
        (row.name, f"[{row.where}](https://{row.source})", LOSSES[row.loss].title, row.note)
        for row in ELSEWHERE
    ]
    return markdown(["name", "where", "here", "mind"], rows)


def _setting(name: str, value: Any) -> str:
    # the name of a type is omitted: its values are unique within a trainer
    if name.endswith("_type"):
        return " + ".join(f"`{x}`" for x in ([value] if isinstance(value, str) else value))
    return f"`{name}={value}`"
