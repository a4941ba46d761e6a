"""Figures about floating point: step sizes, and the failure of a naive formula."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from dpofield.figures.style import LINES, colour, with_looks

Floats = NDArray[np.floating]
FLOOR = 1e-17
"""The value at which an error of 0 is drawn on a logarithmic axis."""


def draw_step_size(ax: Axes, steps: Floats, errors: Mapping[str, Floats]) -> None:
    """Relative error of numerical derivatives against the step; all arrays of shape (n,)."""
    roles = ("dispreferred", "reference", "preferred", *LINES[2:])
    for (name, error), role in with_looks(errors.items(), roles):
        ax.loglog(steps, np.maximum(error, FLOOR), color=colour(role), label=name)
    ax.set_xlabel("step $h$ (units of $x_1$)")
    ax.set_ylabel("relative error")
    ax.legend()


def draw_precision(
    ax: Axes, margin: Floats, textbook: Floats, stable: Floats, truth: Floats
) -> None:
    """Relative error of two forms of the loss against the margin (nats), shape (n,) each."""
    with np.errstate(invalid="ignore"):
        for values, role, name in (
            (textbook, "dispreferred", "textbook form"),
            (stable, "preferred", "stable form"),
        ):
            error = np.abs(values.astype(float) / truth - 1)
            error[~np.isfinite(error)] = np.nan
            ax.semilogy(margin, np.maximum(error, FLOOR), color=colour(role), label=name)
    for lost in (~np.isfinite(textbook), textbook == 0):
        if lost.any():
            ax.axvspan(
                margin[lost].min(), margin[lost].max(), color=colour("dispreferred"), alpha=0.13
            )
    ax.set_ylim(1e-9, 10)
    ax.set_xlabel(r"margin $u - v$ (nats)")
    ax.set_ylabel("relative error")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
