"""The figures of recorded runs show their input."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes

from dpofield.field import gradient
from dpofield.figures import training_field as fp
from dpofield.figures.style import colour

LINE = np.array([0.0, 1.0, 2.0])


def test_arrows_of_the_probability_chart_are_downhill(ax: Axes) -> None:
    """The arrows have the direction of the field in probabilities, as rates of log-probs."""
    w, low = np.array([-4.0, -2.0]), np.array([-3.0, -2.5])
    fp.draw_probability_arrows(ax, w, low)
    drawn = ax.collections[0]
    at_w, at_l = np.meshgrid(w, low)
    pi_w, pi_l = np.exp(at_w), np.exp(at_l)
    along_w, along_l = gradient("dpo", "probability", pi_w, pi_l, beta=0.1, ref_w=-2.0, ref_l=-3.0)
    rates = np.array([-along_w / pi_w, -along_l / pi_l])
    expected = (rates / np.hypot(*rates)).reshape(2, -1)
    np.testing.assert_allclose([drawn.U, drawn.V], expected, atol=1e-12)


def test_the_dotted_line_is_on_the_circle(ax: Axes) -> None:
    """x1^2 + x2^2 = 2 on the dotted lines, and their distance is the margin."""
    fp.draw_by_margin(ax, LINE, [LINE / 2], [-LINE / 2], 0.4, circle=True)
    up, down = (line.get_ydata() for line in ax.lines if line.get_linestyle() == ":")
    np.testing.assert_allclose(up - down, LINE)
    np.testing.assert_allclose(np.exp(2 * up) + np.exp(2 * down), 2)


def test_the_dashed_line_is_the_share(ax: Axes) -> None:
    """The dashed lines divide the margin between the responses by `share`."""
    fp.draw_by_margin(ax, LINE, [LINE / 2], [-LINE / 2], 0.4)
    up, down = (line.get_ydata() for line in ax.lines if line.get_linestyle() == "--")
    np.testing.assert_allclose(up, 0.4 * LINE)
    np.testing.assert_allclose(down, -0.6 * LINE)


def test_speeds_are_medians_of_their_class(ax: Axes) -> None:
    """Six pairs form two classes by magnitude, in any order."""
    fp.draw_speeds(ax, [9, 1, 8, 2, 7, 3], {"ratios": [90, 10, 80, 20, 70, 30]}, bins=2)
    (line,) = ax.lines
    assert list(line.get_xdata()) == [2, 8]
    assert list(line.get_ydata()) == [20, 80]
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


def test_bars_end_where_the_shares_do(ax: Axes) -> None:
    """The three shares of a bar follow each other and fill it."""
    fp.draw_verdicts(ax, {"law": [0.7, 0.2, 0.1]})
    ends = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches]
    np.testing.assert_allclose(ends, [(0, 0.7), (0.7, 0.9), (0.9, 1.0)])


def test_the_sum_of_the_parts_stands_below_a_line(ax: Axes) -> None:
    """The parts keep their order, and a line separates the last row, the sum."""
    fp.draw_parts(ax, {"AdamW": {"own": (2.0, 1.5, 2.5), "together": (-1.0, -2.0, 0.0)}})
    assert [text.get_text() for text in ax.get_yticklabels()] == ["own", "together"]
    marks = next(line for line in ax.lines if line.get_label() == "AdamW")
    assert list(marks.get_xdata()) == [2.0, -1.0]
    rules = [line for line in ax.lines if line.get_color() == colour("muted")]
    assert [0.5, 0.5] in [list(line.get_ydata()) for line in rules]


def test_terms_are_told_by_their_colour(ax: Axes) -> None:
    """Thick lines are means of runs; terms of preferred responses are blue, of others orange."""
    runs = [np.array([[0.0, 1.0, 2.0], [2.0, 3.0, 4.0]]) * k for k in (1, 2, 3, 4)]
    names = ["own", "preferred of others", "dispreferred of others", "together"]
    fp.draw_terms(ax, LINE, dict(zip(names, runs, strict=True)))
    thick = {line.get_label(): line for line in ax.lines if line.get_label() in names}
    np.testing.assert_array_equal(thick["own"].get_ydata(), [1, 2, 3])
    assert thick["preferred of others"].get_color() == colour("preferred")
    assert thick["dispreferred of others"].get_color() == colour("dispreferred")


def test_preferred_and_dispreferred_by_margin(ax: Axes) -> None:
    """The mean of u over runs is blue, the mean of v orange."""
    fp.draw_by_margin(ax, LINE, [LINE / 2, LINE], [-LINE / 2, -LINE], 0.4)
    thick = {line.get_label(): line for line in ax.lines}
    for role, end in (("preferred", 1.5), ("dispreferred", -1.5)):
        assert thick[role].get_color() == colour(role)
        assert thick[role].get_ydata()[-1] == end


def test_magnitudes_are_colours_on_a_log_scale(ax: Axes) -> None:
    """Each dot is at (u, v), and its colour is its magnitude on a log scale."""
    dots = fp.draw_magnitudes(ax, [0, 1], [0, -9], [0.1, 10.0])
    assert dots.get_offsets().tolist() == [[0, 0], [1, -9]]
    assert list(dots.get_array()) == [0.1, 10.0]
    assert dots.norm(1.0) == pytest.approx(0.5)


def test_paths_end_in_dots(ax: Axes) -> None:
    """Each mean path of a run ends in a dot; the first coordinate is horizontal."""
    a, b = LINE[:, None] * [1.0, 2.0], -LINE[:, None] * [3.0, 4.0]
    fp.draw_ways(ax, a, b, a, b)
    assert ax.lines[-1].get_xydata().tolist() == [[2, -6], [4, -8]]


def test_measured_quotients_against_what_the_field_predicts(ax: Axes) -> None:
    """The diagonal is equality; first intervals have their own marks; both signs are visible."""
    fp.draw_quotients(ax, LINE + 1, -LINE, [True, False, False])
    rest, first, equal = ax.lines[:3]
    assert first.get_xydata().tolist() == [[1, 0]]
    assert rest.get_xydata().tolist() == [[2, -1], [3, -2]]
    np.testing.assert_array_equal(*equal.get_xydata().T)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "symlog")
