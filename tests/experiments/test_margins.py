"""Interpolation of a run at a margin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpofield.experiments.margins import at, reached


@given(st.lists(st.floats(-5, 15), min_size=2, max_size=20), st.floats(0.1, 10))
def test_the_interpolated_margin_is_the_goal(later: list[float], goal: float) -> None:
    """At the step from `reached`, the margin is the goal; at earlier steps it is smaller."""
    margin, step = np.array([0.0, *later]), np.arange(len(later) + 1) * 3
    when = reached(step, margin, goal)
    if np.isnan(when):
        assert (margin < goal).all()
    else:
        assert at(step, margin[:, None], when)[0] == pytest.approx(goal, abs=1e-9)
        assert (margin[step < when] < goal).all()


def test_a_margin_that_is_there_from_the_start() -> None:
    """The step is 0, without extrapolation."""
    assert reached([0, 2], [3.0, 4.0], 2.0) == 0.0


def test_what_is_never_reached_is_nan() -> None:
    """Values at the step nan are nan too."""
    assert np.isnan(at([0, 1], [[0.0, 1.0], [1.0, 2.0]], reached([0, 1], [0.0, 1.0], 5.0))).all()
