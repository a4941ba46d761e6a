"""Theorem 1: the preferred component is negative, the dispreferred component positive."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from dpofield.figures import theorem_1


def test_each_panel_shows_its_own_component(fig: Figure) -> None:
    """Left: dL/dx1 = -beta/(x1 (x1^beta + 1)) at x2 = 1; right: dL/dx2 at x1 = 1."""
    left, right = fig.subplots(1, 2)
    theorem_1.draw_slices(left, right, betas=(0.5, 1.0))
    for beta, first, second in zip((0.5, 1.0), left.lines, right.lines, strict=False):
        x = first.get_xdata()
        expected = beta / (x * (x**beta + 1))
        np.testing.assert_allclose(first.get_ydata(), -expected)
        np.testing.assert_allclose(second.get_ydata(), beta * x ** (beta - 1) / (1 + x**beta))
        assert f"{beta:g}" in first.get_label()
    assert left.get_xlabel().startswith("preferred")
    assert right.get_xlabel().startswith("dispreferred")
