"""Text beside a point of a figure, with a halo that keeps it legible; arrow heads."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from dpofield.figures.style import colour
from dpofield.palette import ON_HEAT

HALO = withStroke(linewidth=3, foreground=colour("surface"))
INK_ON_HEAT, PALE_ON_HEAT = ON_HEAT
HALO_ON_HEAT = withStroke(linewidth=3, foreground=PALE_ON_HEAT)


def note(
    ax: Axes,
    text: str,
    at: tuple[float, float],
    shift: tuple[float, float] = (4, 4),
    *,
    role: str = "muted",
    on_heat: bool = False,
    **text_options: Any,
) -> None:
    """A short text with a halo, `shift` points away from `at` (data coordinates).

    `role` is the colour role; `on_heat` uses the colours for a heat map instead. `text_options`
    are options of `Axes.annotate`.
    """
    ax.annotate(
        text,
        at,
        xytext=shift,
        textcoords="offset points",
        color=INK_ON_HEAT if on_heat else colour(role),
        path_effects=[HALO_ON_HEAT if on_heat else HALO],
        zorder=6,
        **text_options,
    )


def arrow_head(ax: Axes, tail: tuple[float, float], tip: tuple[float, float], *, role: str) -> None:
    """The head of an arrow at `tip`, as seen from `tail` (data coordinates)."""
    style = {"arrowstyle": "-|>", "color": colour(role), "lw": 2}
    ax.annotate("", tip, xytext=tail, arrowprops=style, zorder=4)
