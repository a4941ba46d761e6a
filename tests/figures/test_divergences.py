"""Divergences: conserved curves, caps on the axis, courses in time, ratios of components."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes

from dpofield.field import flow
from dpofield.field.caps import cap, conserved_by
from dpofield.figures import divergences
from dpofield.figures.style import colour
from dpofield.formulas import DIVERGENCES


def test_each_curve_is_conserved_and_ends_at_its_cap(ax: Axes) -> None:
    """Each curve goes from (1, 1) to x2 = 0; the label and the dot show the cap."""
    divergences.draw_caps(ax)
    curves = [line for line in ax.lines if len(line.get_xdata()) > 1]
    dots = [line.get_xydata()[0] for line in ax.lines if len(line.get_xdata()) == 1]
    for name, line in zip(DIVERGENCES, curves, strict=True):
        x1, x2 = line.get_xydata().T
        kept = conserved_by(name, x1) + conserved_by(name, x2)
        np.testing.assert_allclose(kept, 2 * conserved_by(name, 1.0), rtol=1e-3, atol=1e-6)
        assert (x1[0], x2[0], x2[-1]) == (1, 1, 0)
        assert any(np.allclose(dot, (cap(name), 0)) for dot in dots)
        assert line.get_label().endswith(f"{cap(name):.3f}")
        assert ax.get_xlim()[0] < cap(name) < ax.get_xlim()[1]


def test_clocks_show_the_dispreferred_on_log_axes(ax: Axes) -> None:
    """x2 against time, without the point at time 0, in the colour of the divergence."""
    line = flow("chi2", "ratio")
    divergences.draw_clocks(ax, {"chi2": line})
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), np.transpose([line.t, line.b])[1:])
    assert ax.lines[0].get_color() == colour(divergences.LOOKS["chi2"][0])
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


@pytest.mark.parametrize("chart", ["ratio", "log-ratio"])
def test_components_are_equal_at_the_start(ax: Axes, chart: str) -> None:
    """At x2 = 1 the ratio is 1; for reverse KL it is x2/x1 in ratios and 1 in log-ratios."""
    divergences.draw_balance(ax, chart, beta=0.1)
    for line in ax.lines:
        assert line.get_ydata()[0] == pytest.approx(1)
    x2, balance = ax.lines[list(DIVERGENCES).index("reverse_kl")].get_xydata().T
    expected = x2 / np.sqrt(2 - x2**2) if chart == "ratio" else np.ones_like(x2)
    np.testing.assert_allclose(balance, expected, rtol=1e-3)
    assert ax.xaxis_inverted()
