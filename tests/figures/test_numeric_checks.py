"""Errors on log axes: 0 is drawn at the floor, overflow and underflow are shaded."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from dpofield.figures import numeric_checks as checks


def test_an_error_of_zero_is_on_the_floor(ax: Axes) -> None:
    """An error of 0, which a log axis cannot show, is drawn at the floor."""
    checks.draw_step_size(ax, np.array([1e-3, 1e-2]), {"forward": np.array([0.0, 1e-3])})
    assert ax.lines[0].get_xydata().tolist() == [[1e-3, checks.FLOOR], [1e-2, 1e-3]]
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


def test_overflow_and_underflow_are_shaded(ax: Axes) -> None:
    """The textbook form is inf on the left and 0 on the right; the stable form is exact."""
    margin, truth = np.linspace(-2, 2, 5), np.array([5.0, 4.0, 3.0, 2.0, 1.0])
    textbook = np.array([np.inf, np.inf, 3.3, 2.0, 0.0])
    checks.draw_precision(ax, margin, textbook, truth, truth)
    wrong, right = (line.get_ydata() for line in ax.lines)
    assert np.isnan(wrong[:2]).all()
    np.testing.assert_allclose(wrong[2:], [0.1, checks.FLOOR, 1])
    np.testing.assert_allclose(right, checks.FLOOR)
    assert [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches] == [
        (-2, -1),
        (2, 2),
    ]
    assert ax.get_yscale() == "log"
