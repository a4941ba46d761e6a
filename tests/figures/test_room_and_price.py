"""Room and price: the unreachable region, the colours and the marks are where the numbers are."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.path import Path

from dpofield.field.price import Course, gaussian_optimum, least_kl
from dpofield.field.room import CEILING
from dpofield.figures import room_and_price
from dpofield.figures.style import colour

MARGINS = np.linspace(0, 3, 200)


def frontier() -> Course:
    kl = least_kl(MARGINS)
    return Course(MARGINS, MARGINS / 2 - kl, -MARGINS / 2 - kl, kl)


def test_no_reachable_point_is_shaded(ax: Axes) -> None:
    """Points of the optimum and of random policies lie outside of the shaded region, points beyond
    the border and beyond the ceiling inside."""
    room_and_price.draw_plane(ax, frontier(), CEILING, {"optimum": gaussian_optimum(MARGINS)}, {})
    (region,) = ax.patches
    shaded = Path(region.get_xy())
    best, edge = gaussian_optimum(MARGINS[1:]), frontier()
    assert not shaded.contains_points(np.column_stack([best.u - 1e-3, best.v - 1e-3])).any()
    beyond = np.column_stack([edge.u + 0.02, edge.v + 0.01])[1:]
    assert shaded.contains_points(beyond[beyond[:, 1] > -2.3]).all()
    assert shaded.contains_points([[CEILING + 0.01, -2.0], [0.1, 0.1], [-0.1, 0.21]]).all()
    assert not shaded.contains_points([[CEILING - 0.01, -2.0], [-0.5, -0.5]]).any()


def test_ceiling_and_marks(ax: Axes) -> None:
    """The ceiling is vertical and blue; u and v have one scale; marks are exact."""
    room_and_price.draw_plane(
        ax, frontier(), CEILING, {}, {"SFT on the preferred": [CEILING, CEILING - 1]}
    )
    line = next(one for one in ax.lines if "ceiling" in str(one.get_label()))
    assert (np.asarray(line.get_xdata()) == CEILING).all()
    assert line.get_color() == colour("preferred")
    mark = next(one for one in ax.lines if "SFT" in str(one.get_label()))
    np.testing.assert_allclose(mark.get_xydata(), [[CEILING, CEILING - 1]])
    assert ax.get_aspect() == 1
    assert "preferred" in ax.get_xlabel()


def test_two_standard_errors(ax: Axes) -> None:
    """Error bars reach two standard errors to both sides, and the first series is blue."""
    room_and_price.draw_accounts(ax, [1.0, 2.0], {"u": ([0.1, 0.2], [0.01, 0.02])}, {})
    (bars,) = ax.containers
    (ends,) = bars.lines[2]
    (low, high) = np.array(ends.get_segments())[1][:, 1]
    np.testing.assert_allclose([low, high], [0.16, 0.24])
    assert bars.lines[0].get_color() == colour("preferred")


def test_prices_against_margin(ax: Axes) -> None:
    """Each course is drawn as KL against margin."""
    room_and_price.draw_prices(ax, {"least": frontier()})
    np.testing.assert_allclose(ax.lines[0].get_xydata(), np.column_stack([MARGINS, frontier().kl]))
