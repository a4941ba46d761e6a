"""Static figures of room and price: the plane of the two means, and divergence against margin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from dpofield.field.price import Course
from dpofield.figures.style import LINES, colour, with_looks

_MARKS = "osD"


def draw_plane(
    ax: Axes,
    border: Course,
    ceiling: float,
    courses: Mapping[str, Course],
    points: Mapping[str, ArrayLike],
    *,
    reach: float = 2.4,
) -> None:
    """The plane of mean u and mean v (nats): the part that no policy reaches, courses and points.

    `border` has the largest u at each margin, from margin 0 on; the line `u = ceiling` continues
    it. `courses` are lines and `points` (k, 2) marks, by their words in the legend. The plane is
    shown down to `v = -reach`.
    """
    left, right, low, high = -0.6 * reach, 0.4 * reach, -reach, 0.1 * reach
    u, v = np.append(border.u, ceiling), np.append(border.v, -2 * reach)
    # Exchanging preferred and dispreferred mirrors the border.
    ax.fill(
        [*v[::-1], *u, right, right, left], [*u[::-1], *v, -2 * reach, high, high],
        color=colour("muted"), alpha=0.18, linewidth=0, label="no policy is here",
    )  # fmt: skip
    ax.plot(u, v, color=colour("model"), label="highest u at its margin")
    ax.axvline(ceiling, color=colour("preferred"), linestyle="--", linewidth=1.5,
               label=f"ceiling, u = {ceiling:.3f}")  # fmt: skip
    for (name, course), role in with_looks(courses.items(), ("reference", "accent")):
        ax.plot(course.u, course.v, color=colour(role), linestyle="-.", label=name)
    for (name, where), mark in with_looks(points.items(), _MARKS):
        ax.plot(*np.atleast_2d(where).T, mark, color=colour("text"), markersize=5, label=name)
    for m in range(1, int(reach) + 1):
        ax.plot([left, right], [left - m, right - m], color=colour("grid"), linewidth=1, zorder=0)
        if right - m > low:
            ax.annotate(f"m = {m}", (right, right - m), (-3, -3), textcoords="offset points",
                        fontsize=9.5, color=colour("text"), ha="right", va="top")  # fmt: skip
    ax.grid(False)
    ax.set_xlim(left, right)
    ax.set_ylim(low, high)
    ax.set_aspect("equal")
    ax.set_xlabel("mean u, preferred (nats)")
    ax.set_ylabel("mean v, dispreferred (nats)")


def draw_prices(ax: Axes, courses: Mapping[str, Course]) -> None:
    """KL(ref || pi) against the mean margin, both in nats, one line per course."""
    for (name, course), role in with_looks(courses.items(), ("model", "reference", "muted")):
        style = {"model": "-", "reference": "-.", "muted": ":"}[role]
        ax.plot(course.margin, course.kl, style, color=colour(role), label=name)
    ax.set_xlabel("mean margin m (nats)")
    ax.set_ylabel(r"KL$(\pi_{\mathrm{ref}}\,\|\,\pi)$ (nats)")
    ax.legend(loc="upper left", fontsize=10)


def draw_accounts(
    ax: Axes,
    margin: ArrayLike,
    sampled: Mapping[str, tuple[ArrayLike, ArrayLike]],
    exact: Mapping[str, tuple[ArrayLike, Sequence[float]]],
) -> None:
    """Means on sampled pairs against the margin, with two standard errors, and exact curves (nats).

    `sampled`: values and standard errors by name. `exact`: margins and values by name.
    """
    looks = [(role, mark) for role, mark in zip(("preferred", *LINES), "osD^v<", strict=False)]
    for (name, (values, errors)), (role, mark) in with_looks(sampled.items(), looks):
        ax.errorbar(margin, values, 2 * np.asarray(errors), fmt=mark, color=colour(role),
                    markersize=5, linestyle="none", label=name)  # fmt: skip
    for (name, (at, values)), (role, _) in with_looks(exact.items(), looks):
        ax.plot(at, values, color=colour(role), linewidth=1.3, label=name)
    ax.axhline(0, color=colour("muted"), linewidth=1)
    ax.set_xlabel("mean margin m (nats)")
    ax.set_ylabel("mean log-ratio (nats)")
    ax.legend(loc="lower left", fontsize=10)
