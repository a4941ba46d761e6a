"""The figures of the setting show the numbers they were given, in the house colours."""

from __future__ import annotations

import matplotlib

matplotlib.use("Agg")

import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from scipy.optimize import minimize_scalar

from dpofield.field import likelihood
from dpofield.figures import preferences, ratios_and_fields, rlhf_to_dpo, style


@pytest.fixture
def ax():
    """One empty Axes in the house style; closed afterwards."""
    style.use()
    yield plt.figure().gca()
    plt.close("all")


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


def test_a_ridge_needs_both_outcomes(ax: Axes) -> None:
    """Without a loss the best gap is infinite: an error says so, and nothing is drawn."""
    with pytest.raises(ValueError, match="at least one of each"):
        preferences.draw_ridge(ax, 3, 0)
    assert not ax.lines


def test_five_responses_have_five_colours(ax: Axes) -> None:
    """Each of five lines is told apart by its colour."""
    rlhf_to_dpo.draw_recovery(ax, [0, 1], np.zeros((2, 5)), range(5), list("ABCDE"))
    assert len({line.get_color() for line in ax.lines}) == 5


def test_likelihood_lines_have_their_maximum_at_zero(ax: Axes) -> None:
    """Each curve is drawn relative to its own best, so none rises above 0."""
    preferences.draw_likelihood(ax, [(7, 3), (70, 30), (3, 0)])
    curves = [line.get_ydata() for line in ax.lines if len(line.get_ydata()) > 1]
    assert len(curves) == 3
    assert max(float(np.max(y)) for y in curves) <= 1e-12


def test_recovery_draws_every_path_and_every_target(ax: Axes) -> None:
    """A path and its dashed target share a colour, so that the reader can pair them."""
    rlhf_to_dpo.draw_recovery(ax, [0, 1], np.zeros((2, 3)), [0.1, 0.2, 0.3], ["a", "b", "c"])
    dashed = {line.get_color(): line.get_ydata()[0] for line in ax.lines[::2]}
    solid = [line.get_color() for line in ax.lines[1::2]]
    assert list(dashed) == solid
    assert list(dashed.values()) == [0.1, 0.2, 0.3]


def test_the_border_of_the_reachable_ratios_sums_to_one(ax: Axes) -> None:
    """Along the drawn border the two responses hold the whole probability."""
    ref_w, ref_l = 0.3, 0.5
    ratios_and_fields.draw_reachable(ax, ref_w, ref_l, [1.0], [1.0])
    border = next(line for line in ax.lines if "pi" in str(line.get_label()))
    total = ref_w * np.asarray(border.get_xdata()) + ref_l * np.asarray(border.get_ydata())
    np.testing.assert_allclose(total, 1.0)


DRAWINGS = {
    "likelihood": lambda ax: preferences.draw_likelihood(ax, [(7, 3)]),
    "ridge": lambda ax: preferences.draw_ridge(ax, 7, 3),
    "optimum": lambda ax: rlhf_to_dpo.draw_optimum(
        ax, [0.1, 1], [[0.9, 0.1], [0.5, 0.5]], ["a", "b"]
    ),
    "recovery": lambda ax: rlhf_to_dpo.draw_recovery(ax, [0, 1], [[0], [1]], [1.0], ["a"]),
    "curves": lambda ax: ratios_and_fields.draw_loss_curves(ax, {"A": [1, 0.5]}),
    "paths": lambda ax: ratios_and_fields.draw_paths(ax, {"A": ([1, 1.1], [1, 0.9])}),
    "reachable": lambda ax: ratios_and_fields.draw_reachable(ax, 0.4, 0.5, [1.0], [1.0]),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_drawings_are_labelled_and_survive_dark_mode(name: str, ax: Axes) -> None:
    """Both axes are named, and nothing is drawn in black, which has no dark twin."""
    DRAWINGS[name](ax)
    assert ax.get_xlabel()
    assert ax.get_ylabel()
    page = io.StringIO()
    ax.figure.savefig(page, format="svg")
    assert "#000000" not in page.getvalue()
