"""Bradley-Terry's likelihood of judgements: its maximum, its symmetry, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from dpofield.field import likelihood


@given(st.integers(1, 200), st.integers(1, 200))
def test_likelihood_peaks_at_log_odds(wins: int, losses: int) -> None:
    """Bradley-Terry's maximum is log(wins/losses): held against a numerical maximiser."""
    found = minimize_scalar(
        lambda d: -likelihood.win_log_likelihood(d, wins, losses), bracket=(-6, 6)
    )
    assert found.x == pytest.approx(np.log(wins / losses), abs=1e-5)


@given(st.floats(-50, 50), st.integers(0, 50), st.integers(1, 50))
def test_swapping_wins_and_losses_mirrors_the_gap(gap: float, wins: int, losses: int) -> None:
    """Naming the other response the winner changes the sign of the gap and nothing else."""
    one = likelihood.win_log_likelihood(gap, wins, losses)
    assert one == pytest.approx(float(likelihood.win_log_likelihood(-gap, losses, wins)))


@pytest.mark.parametrize(("wins", "losses"), [(-1, 2), (0, 0)])
def test_counts_that_are_none_are_refused(wins: int, losses: int) -> None:
    """A likelihood of no judgement, or of a negative count, is an error and not a flat line."""
    with pytest.raises(ValueError, match="at least one above 0"):
        likelihood.win_log_likelihood(0.0, wins, losses)
