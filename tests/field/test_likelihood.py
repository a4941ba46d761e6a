"""The Bradley-Terry likelihood: its maximum, its symmetry, and its errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from dpofield.field import likelihood


@given(st.integers(1, 200), st.integers(1, 200))
def test_likelihood_peaks_at_log_odds(wins: int, losses: int) -> None:
    """The maximum is at log(wins/losses), compared with a numerical maximiser."""
    found = minimize_scalar(
        lambda d: -likelihood.win_log_likelihood(d, wins, losses), bracket=(-6, 6)
    )
    assert found.x == pytest.approx(np.log(wins / losses), abs=1e-5)


@given(st.floats(-50, 50), st.integers(0, 50), st.integers(1, 50))
def test_swapping_wins_and_losses_mirrors_the_gap(gap: float, wins: int, losses: int) -> None:
    """Swapping wins and losses only changes the sign of the gap."""
    one = likelihood.win_log_likelihood(gap, wins, losses)
    assert one == pytest.approx(float(likelihood.win_log_likelihood(-gap, losses, wins)))


@pytest.mark.parametrize(("wins", "losses"), [(-1, 2), (0, 0)])
def test_counts_that_are_none_are_refused(wins: int, losses: int) -> None:
    """No judgement, or a negative count, is an error."""
    with pytest.raises(ValueError, match="at least one above 0"):
        likelihood.win_log_likelihood(0.0, wins, losses)
