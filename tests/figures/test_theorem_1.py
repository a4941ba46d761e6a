"""Theorem 1's signs in the picture: the preferred's component is negative, the other's positive."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from dpofield.figures import theorem_1


def test_each_panel_shows_its_own_component(fig: Figure) -> None:
    """dL/dx1 = -beta/(x1 (x1^beta + 1)) at x2 = 1, on the left; dL/dx2 mirrored, on the right."""
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
