"""Figures of the chapter on divergences: conserved curves with their caps, clocks, components."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from dpofield.field.caps import cap, conserved_by
from dpofield.field.core import gradient
from dpofield.field.flow import Flow
from dpofield.figures.field import axis_labels
from dpofield.figures.notes import note
from dpofield.figures.style import colour
from dpofield.formulas.divergences import DIVERGENCES

LOOKS = {
    "reverse_kl": ("text", "-"),
    "forward_kl": ("model", "-"),
    "js": ("reference", "-"),
    "alpha": ("muted", "--"),
    "chi2": ("accent", "-"),
}
"""Colour role and dash of each divergence; the responses' colours are not used."""


def title_of(name: str) -> str:
    """The title of a divergence, with its parameters.

    >>> title_of("alpha")
    'alpha, 0.5'
    """
    d = DIVERGENCES[name]
    return ", ".join([d.title, *(f"{p.default:g}" for p in d.params)])


def conserved_curve(name: str, points: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """x1 and x2 on the curve `I(x1) + I(x2) = 2 I(1)` from (1, 1) to the cap, shape (points,).

    >>> x1, x2 = conserved_curve("reverse_kl")
    >>> bool(np.allclose(x1**2 + x2**2, 2))
    True
    """
    x2 = np.linspace(1.0, 0.0, points)
    # x1 solves I(x1) = 2 I(1) - I(x2): interpolate in a table of I.
    table = np.linspace(1.0, cap(name), 20_000)
    kept = 2 * conserved_by(name, 1.0) - conserved_by(name, x2)
    return np.interp(kept, conserved_by(name, table), table), x2


def draw_caps(ax: Axes) -> None:
    """The conserved curve of each divergence from (1, 1), with its cap on the axis."""
    for name in DIVERGENCES:
        role, dash = LOOKS[name]
        x1, x2 = conserved_curve(name)
        top = cap(name)
        label = f"{title_of(name)}: {top:.3f}"
        ax.plot(x1, x2, dash, color=colour(role), label=label)
        ax.plot(top, 0, "o", color=colour(role), markersize=6, clip_on=False, zorder=5)
    ax.plot(1, 1, "o", color=colour("text"), markersize=7, zorder=6)
    note(ax, "start", (1, 1), (8, 2), role="text")
    axis_labels(ax, "ratio")
    ax.set_xlim(0.95, 1.025 * max(cap(name) for name in DIVERGENCES))
    ax.set_ylim(0, 1.1)
    ax.legend(title="divergence: cap", loc="upper right", fontsize=9, title_fontsize=9)


def draw_clocks(ax: Axes, lines: dict[str, Flow], *, late: float = 1e6, low: float = 1e-6) -> None:
    """x2 against time, both axes logarithmic, for flows from (1, 1) by name of the divergence.

    A flow that reaches 0 in finite time leaves the plot at the bottom.
    """
    for name, line in lines.items():
        role, dash = LOOKS[name]
        ax.plot(line.t[1:], line.b[1:], dash, color=colour(role))
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(0.1, late)
    ax.set_ylim(low, 2)
    ax.set_xlabel("time (unit step size)")
    ax.set_ylabel("ratio $x_2$, dispreferred")


def draw_balance(ax: Axes, chart: str, *, beta: float) -> None:
    """The ratio of components, preferred over dispreferred, along each curve.

    `chart` is "ratio" or "log-ratio"; at 1 the two components are equal.
    """
    for name in DIVERGENCES:
        role, dash = LOOKS[name]
        x1, x2 = (values[:-10] for values in conserved_curve(name))  # near 0 the weight underflows
        at = (x1, x2) if chart == "ratio" else (np.log(x1), np.log(x2))
        first, second = gradient(DIVERGENCES[name].loss, chart, *at, beta=beta)
        ax.plot(x2, -first / second, dash, color=colour(role), label=title_of(name))
    ax.set_yscale("log")
    ax.set_xlim(1, 0)
    ax.set_ylim(5e-3, 30)
    ax.set_xlabel("ratio $x_2$, dispreferred (falling)")
    ax.set_ylabel("ratio of components")
