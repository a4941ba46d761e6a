"""Likelihood curves have their maximum at 0, and the ridge has a constant gap."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes

from dpofield.figures import preferences
from dpofield.figures.style import colour


def test_a_ridge_needs_both_outcomes(ax: Axes) -> None:
    """Without a loss the best gap is infinite: this raises an error, and nothing is drawn."""
    with pytest.raises(ValueError, match="at least one of each"):
        preferences.draw_ridge(ax, 3, 0)
    assert not ax.lines


def test_likelihood_lines_have_their_maximum_at_zero(ax: Axes) -> None:
    """Each curve is drawn relative to its maximum, so no curve exceeds 0."""
    preferences.draw_likelihood(ax, [(7, 3), (70, 30), (3, 0)])
    curves = [line.get_ydata() for line in ax.lines if len(line.get_ydata()) > 1]
    assert len(curves) == 3
    assert max(float(np.max(y)) for y in curves) <= 1e-12


def test_a_dot_marks_the_log_odds(ax: Axes) -> None:
    """The dot is at log(7/3) for 7 wins of 10; a count without a loss has no maximum."""
    preferences.draw_likelihood(ax, [(7, 3), (3, 0)])
    dots = [line.get_xydata()[0].tolist() for line in ax.lines if len(line.get_xdata()) == 1]
    assert dots == [[pytest.approx(np.log(7 / 3)), 0.0]]


def test_the_ridge_is_where_the_gap_is_the_log_odds(ax: Axes) -> None:
    """r_w - r_l = log(7/3) on the ridge, with r_w on the horizontal axis."""
    preferences.draw_ridge(ax, 7, 3)
    (ridge,) = ax.lines
    r_w, r_l = ridge.get_xydata().T
    np.testing.assert_allclose(r_w - r_l, np.log(7 / 3))
    assert ridge.get_color() == colour("preferred")
    assert "r_w" in ax.get_xlabel()
    assert "r_l" in ax.get_ylabel()
