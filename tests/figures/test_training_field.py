"""The figures of recorded runs show the numbers they were given, and survive dark mode."""

from __future__ import annotations

import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes

from dpofield.field import gradient
from dpofield.figures import style
from dpofield.figures import training_field as fp

LINE = np.array([0.0, 1.0, 2.0])


@pytest.fixture
def ax():
    """One empty Axes in the house style; closed afterwards."""
    style.use()
    yield plt.figure().gca()
    plt.close("all")


def test_arrows_of_the_probability_chart_are_downhill(ax: Axes) -> None:
    """Each arrow is the loss's own field in the probabilities, as a rate of the log-probs."""
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
    """x1^2 + x2^2 stays 2 along it, and both of its branches are the margin apart."""
    fp.draw_by_margin(ax, LINE, [LINE / 2], [-LINE / 2], 0.4, circle=True)
    up, down = (line.get_ydata() for line in ax.lines if line.get_linestyle() == ":")
    np.testing.assert_allclose(up - down, LINE)
    np.testing.assert_allclose(np.exp(2 * up) + np.exp(2 * down), 2)


def test_the_dashed_line_is_the_share(ax: Axes) -> None:
    """The preferred has its share of the margin, the dispreferred what is left."""
    fp.draw_by_margin(ax, LINE, [LINE / 2], [-LINE / 2], 0.4)
    up, down = (line.get_ydata() for line in ax.lines if line.get_linestyle() == "--")
    np.testing.assert_allclose(up, 0.4 * LINE)
    np.testing.assert_allclose(down, -0.6 * LINE)


def test_speeds_are_medians_of_their_class(ax: Axes) -> None:
    """Six pairs in two classes by magnitude, whatever their order."""
    fp.draw_speeds(ax, [9, 1, 8, 2, 7, 3], {"ratios": [90, 10, 80, 20, 70, 30]}, bins=2)
    (line,) = ax.lines
    assert list(line.get_xdata()) == [2, 8]
    assert list(line.get_ydata()) == [20, 80]


def test_bars_end_where_the_shares_do(ax: Axes) -> None:
    """Three shares that add to one fill the bar, one after the other."""
    fp.draw_verdicts(ax, {"law": [0.7, 0.2, 0.1]})
    ends = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches]
    np.testing.assert_allclose(ends, [(0, 0.7), (0.7, 0.9), (0.9, 1.0)])


def test_a_run_of_each_setting_is_a_mark_with_its_interval(ax: Axes) -> None:
    """The mark stands at the value, the whisker from end to end; the first row is on top."""
    fp.draw_parts(ax, {"AdamW": {"own": (2.0, 1.5, 2.5), "together": (-1.0, -2.0, 0.0)}})
    marks = next(line for line in ax.lines if line.get_label() == "AdamW")
    assert list(marks.get_xdata()) == [2.0, -1.0]
    spans = [segment[:, 0].tolist() for segment in ax.collections[0].get_segments()]
    assert spans == [[1.5, 2.5], [-2.0, 0.0]]
    assert ax.yaxis_inverted()


DRAWINGS = {
    "ways": lambda ax: (fp.draw_ways(ax, *[np.ones((3, 2))] * 4), ax.set(xlabel="x", ylabel="y")),
    "arrows": lambda ax: fp.draw_probability_arrows(ax, LINE - 9, LINE - 9),
    "magnitudes": lambda ax: fp.draw_magnitudes(ax, LINE, -LINE, LINE + 1),
    "speeds": lambda ax: fp.draw_speeds(ax, LINE + 1, {"a": LINE + 1, "b": LINE + 2}, bins=3),
    "quotients": lambda ax: fp.draw_quotients(ax, LINE + 1, -LINE, [True, False, False]),
    "by margin": lambda ax: fp.draw_by_margin(ax, LINE, [LINE], [-LINE], 0.5, circle=True),
    "terms": lambda ax: fp.draw_terms(ax, LINE, {"own": [LINE], "together": [LINE]}),
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
