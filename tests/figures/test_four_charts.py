"""The figures of the charts draw the flows they are given."""

from __future__ import annotations

import numpy as np
import pytest

from dpofield.field import coordinates, flow, invariant, margin_at
from dpofield.figures import four_charts as fc


@pytest.mark.parametrize("chart", fc.WINDOWS)
def test_each_pair_stays_on_its_curve(ax, chart):
    """The drawn line of each pair starts at the pair and keeps the chart's invariant."""
    fc.draw_pairs(ax, chart, beta=0.3)
    lines = [line.get_xydata().T for line in ax.lines if len(line.get_xdata()) > 1]
    assert len(lines) == len(fc.PAIRS)
    for (a, b), pair in zip(lines, fc.PAIRS, strict=True):
        np.testing.assert_allclose((a[0], b[0]), coordinates(chart, *pair), atol=1e-12)
        assert np.ptp(invariant(chart, a, b)) < 1e-8


def test_the_two_courses_part(ax):
    """At the end of the ratio flow the dashed x2 is still far from 0, as the closed form says."""
    line = flow("dpo", "ratio", beta=0.1)
    fc.draw_two_courses(ax, line, beta=0.1)
    solid, dashed = ax.lines[2], ax.lines[3]
    assert solid.get_ydata()[-1] < 1e-8
    at_end = np.interp(line.t[-1], dashed.get_xdata(), dashed.get_ydata())
    assert at_end == pytest.approx(np.exp(-margin_at(line.t[-1], 0.1) / 2), abs=1e-3)
