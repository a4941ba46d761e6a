"""The figures of the charts show the right flow lines."""

from __future__ import annotations

import numpy as np
import pytest

from dpofield.field import coordinates, flow, invariant, margin_at
from dpofield.figures import four_charts as fc
from dpofield.figures.style import colour


@pytest.mark.parametrize("chart", fc.WINDOWS)
def test_each_pair_stays_on_its_curve(ax, chart):
    """The line of each pair starts at the pair and conserves the chart's invariant."""
    fc.draw_pairs(ax, chart, beta=0.3)
    lines = [line.get_xydata().T for line in ax.lines if len(line.get_xdata()) > 1]
    assert len(lines) == len(fc.PAIRS)
    for (a, b), pair in zip(lines, fc.PAIRS, strict=True):
        np.testing.assert_allclose((a[0], b[0]), coordinates(chart, *pair), atol=1e-12)
        assert np.ptp(invariant(chart, a, b)) < 1e-8
    for (a, b), head in zip(lines, ax.texts, strict=True):
        assert head.xy == (a[-1], b[-1])
        assert head.xyann[1] > head.xy[1]  # the dispreferred falls


def test_the_two_courses_part(ax):
    """At the end of the ratio flow the solid x2 is 0; the dashed x2 follows the closed form."""
    line = flow("dpo", "ratio", beta=0.1)
    fc.draw_two_courses(ax, line, beta=0.1)
    solid, dashed = ax.lines[2], ax.lines[3]
    assert solid.get_color() == dashed.get_color() == colour("dispreferred")
    assert ax.lines[0].get_color() == ax.lines[1].get_color() == colour("preferred")
    assert solid.get_ydata()[-1] < 1e-8
    at_end = np.interp(line.t[-1], dashed.get_xdata(), dashed.get_ydata())
    assert at_end == pytest.approx(np.exp(-margin_at(line.t[-1], 0.1) / 2), abs=1e-3)


def test_margins_run_off_where_a_chart_has_an_edge(ax):
    """log(a/b) against time (log axis), with a vertical line at the end of each flow."""
    line = flow("dpo", "ratio", beta=0.1)
    fc.draw_margins(ax, {"ratios": line}, beta=0.1)
    exact, drawn, edge = ax.lines
    np.testing.assert_allclose(drawn.get_ydata(), np.log(line.a[1:] / line.b[1:]))
    np.testing.assert_allclose(exact.get_ydata(), margin_at(exact.get_xdata(), 0.1))
    assert set(edge.get_xdata()) == {line.t[-1]}
    assert ax.get_xscale() == "log"
