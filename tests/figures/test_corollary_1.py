"""Corollary 1: the map has the right orientation, the responses have their colours."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from dpofield.field import flow
from dpofield.figures import corollary_1
from dpofield.figures.style import colour


def at(ax: Axes, x: float, y: float) -> float:
    """The value of the only image at the point (x, y), as drawn."""
    (image,) = ax.images
    values = np.asarray(image.get_array())
    left, right, bottom, top = image.get_extent()
    rows, columns = values.shape
    row = int((y - bottom) / (top - bottom) * rows)
    if image.origin == "upper":
        row = rows - 1 - row
    return float(values[row, int((x - left) / (right - left) * columns)])


@pytest.mark.parametrize(("x1", "x2"), [(2.0, 0.5), (0.3, 1.6)])
def test_the_map_is_the_right_way_up(ax: Axes, x1: float, x2: float) -> None:
    """At two points the map shows x2/x1, and not x1/x2."""
    mappable = corollary_1.draw_ratio_regions(ax)
    assert at(ax, x1, x2) == pytest.approx(x2 / x1, rel=0.05)
    assert isinstance(mappable.norm, LogNorm)
    assert mappable.norm(1.0) == pytest.approx(0.5)


def test_the_course_has_the_colours_of_its_responses(ax: Axes) -> None:
    """x1 is blue, x2 is orange; time is on the horizontal axis."""
    line = flow("dpo", "ratio", beta=1.0)
    corollary_1.draw_time_course(ax, line, labels=("$x_1$", "$x_2$"))
    shown = {drawn.get_color(): drawn for drawn in ax.lines}
    np.testing.assert_array_equal(shown[colour("preferred")].get_ydata(), line.a)
    np.testing.assert_array_equal(shown[colour("dispreferred")].get_ydata(), line.b)
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), line.t)
    assert {word.get_text(): word.get_color() for word in ax.texts} == {
        "$x_1$": colour("preferred"),
        "$x_2$": colour("dispreferred"),
    }
