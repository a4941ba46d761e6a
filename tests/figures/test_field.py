"""Arrows point downhill, colours show the size, and a path ends with the flow."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from dpofield.field import flow, gradient
from dpofield.figures import field, notes
from dpofield.figures.style import MAGNITUDE, colour
from dpofield.formulas import LOSSES


@pytest.mark.parametrize(("loss", "low", "high"), [("dpo", -2.0, 5.0), ("nca", -9.0, 30.0)])
def test_arrows_point_downhill(ax: Axes, loss: str, low: float, high: float) -> None:
    """A small step along each arrow lowers the loss more than a perpendicular step."""
    arrows = field.draw_field(ax, loss=loss, chart="log-ratio", low=low, high=high, n=6, beta=0.1)
    (u, v), (right, up) = arrows.get_offsets().T, (arrows.U, arrows.V)
    value = lambda a, b: LOSSES[loss].numpy(a, b, beta=0.1)  # noqa: E731
    step = 1e-4
    ahead, turned = value(u + step * right, v + step * up), value(u + step * up, v - step * right)
    assert (ahead < value(u, v)).all()
    assert (ahead <= turned).all()
    np.testing.assert_allclose(np.hypot(right, up), 1)


def test_colour_is_the_size_on_a_log_scale(ax: Axes) -> None:
    """The colours show the gradient's magnitude at the arrows."""
    arrows = field.draw_field(ax, beta=0.5, n=5)
    sizes = np.hypot(*gradient("dpo", "ratio", *arrows.get_offsets().T, beta=0.5))
    np.testing.assert_allclose(arrows.get_array(), sizes)
    assert isinstance(arrows.norm, LogNorm)
    assert arrows.cmap == MAGNITUDE


def test_a_path_ends_in_its_arrow_head(ax: Axes) -> None:
    """The line is the flow line, with x1 horizontal; the arrow head is at its end."""
    line = flow("dpo", "ratio", beta=1.0)
    field.draw_flow(ax, line)
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), np.transpose([line.a, line.b]))
    (head,) = ax.texts
    assert head.xy == (line.a[-1], line.b[-1])
    assert line.b[-1] < head.xyann[1] < line.b[0]


def test_the_first_axis_is_the_preferred(ax: Axes) -> None:
    """The axis labels are not exchanged."""
    field.axis_labels(ax, "ratio")
    assert "preferred, $x_{1}$" in ax.get_xlabel()
    assert ax.get_ylabel() == "dispreferred, $x_{2}$"


@pytest.mark.parametrize("on_heat", [False, True])
def test_the_start_is_marked_where_it_is(ax: Axes, on_heat: bool) -> None:
    """The mark and its label are at the start, in a colour for the background."""
    field.draw_start(ax, (0.3, 0.7), on_heat=on_heat)
    assert ax.lines[0].get_xydata().tolist() == [[0.3, 0.7]]
    (word,) = ax.texts
    assert word.xy == (0.3, 0.7)
    assert word.get_path_effects()
    assert word.get_color() == (notes.INK_ON_HEAT if on_heat else colour("text"))
