"""Reading the field: the heat map has the right orientation, and lines agree with labels."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from dpofield.field import extinction_time, magnitude
from dpofield.figures import reading_the_field as reading
from dpofield.figures.style import MAGNITUDE
from tests.figures.test_corollary_1 import at


@pytest.mark.parametrize(("x1", "x2"), [(2.0, 0.1), (0.1, 2.0)])
def test_the_heat_map_is_the_right_way_up(ax: Axes, x1: float, x2: float) -> None:
    """At two points the map shows the magnitude, on a log scale."""
    mappable = reading.draw_magnitude(ax, beta=0.5)
    assert at(ax, x1, x2) == pytest.approx(
        float(magnitude("dpo", "ratio", x1, x2, beta=0.5)), rel=0.2
    )
    assert isinstance(mappable.norm, LogNorm)
    assert mappable.cmap == MAGNITUDE


def test_components_are_powers_of_x2(ax: Axes) -> None:
    """On log axes each line has slope beta - 1 for small x2, and its label shows beta."""
    betas = [0.1, 0.5]
    reading.draw_components(ax, betas)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    for line, word, beta in zip(ax.lines, ax.texts, betas, strict=True):
        x, y = np.log(line.get_xydata()[:2]).T
        assert (y[1] - y[0]) / (x[1] - x[0]) == pytest.approx(beta - 1, abs=0.08)
        assert f"{beta:g}" in word.get_text()
        assert word.get_color() == line.get_color()


def test_marks_of_extinction_are_on_the_curve(ax: Axes) -> None:
    """The curve is the extinction time on a log axis, and each mark shows its time."""
    reading.draw_extinction(ax, marks=(0.5,))
    curve, mark = ax.lines[:2]
    assert ax.get_yscale() == "log"
    assert mark.get_xydata().tolist() == [[0.5, extinction_time(0.5)]]
    assert np.interp(0.5, *curve.get_xydata().T) == pytest.approx(extinction_time(0.5), rel=1e-3)
    assert ax.texts[0].get_text() == f"{extinction_time(0.5):.2f}"
