"""Intervals: each mark is at its value, each line joins the ends, each row has its name."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes

from dpofield.figures import edit_distance, remedies, robustness, sft_quality
from dpofield.figures.intervals import LOOKS, draw_along, draw_intervals
from dpofield.figures.style import colour

FOUND = {
    "a": [(1.0, 0.0, 2.5), (2.0, 1.0, 3.0)],
    "b": [(3.0, 2.0, 4.0), (4.0, 3.0, 5.0)],
    "c": [(-1.0, -3.0, 0.0), (0.0, -1.0, 7.0)],
}


def whiskers(ax: Axes) -> list[list[list[float]]]:
    return [[part[:, 0].tolist() for part in lines.get_segments()] for lines in ax.collections]


@pytest.mark.parametrize("keys", ["a", "ab", "abc"])
def test_every_value_stands_in_its_row(ax: Axes, keys: str) -> None:
    """The first name is on top; the marks of a row do not overlap and are nearest to its name."""
    found = {key: FOUND[key] for key in keys}
    draw_intervals(ax, ["x", "y"], found)
    marks = {line.get_label(): line.get_xydata() for line in ax.lines if line.get_label() in found}
    for key, whisker in zip(found, whiskers(ax), strict=True):
        np.testing.assert_array_equal(marks[key][:, 0], [value for value, _, _ in found[key]])
        assert whisker == [[low, high] for _, low, high in found[key]]
        assert np.abs(marks[key][:, 1] - [0, 1]).max() < 0.35
    places = np.sort([place for xy in marks.values() for place in xy[:, 1]])
    assert np.diff(places).min() > 0.15
    assert [text.get_text() for text in ax.get_yticklabels()] == ["x", "y"]
    assert ax.yaxis_inverted()


def test_each_key_has_its_look(ax: Axes) -> None:
    """Colours and marks follow the order of the keys."""
    draw_intervals(ax, ["x", "y"], FOUND, [("accent", "D"), ("text", "^"), ("model", "o")])
    shown = {line.get_label(): (line.get_color(), line.get_marker()) for line in ax.lines}
    assert shown["a"] == (colour("accent"), "D")
    assert shown["c"] == (colour("model"), "o")
    assert len(set(LOOKS)) == len(LOOKS)


@pytest.mark.parametrize("zero", [True, False])
def test_zero_is_marked_where_it_is_asked_for(ax: Axes, zero: bool) -> None:
    draw_intervals(ax, ["x", "y"], FOUND, zero=zero)
    upright = [line for line in ax.lines if list(line.get_xdata()) == [0, 0]]
    assert len(upright) == zero


def test_a_row_too_many_is_an_error(ax: Axes) -> None:
    """Three intervals for two names raise an error."""
    with pytest.raises(ValueError, match="shape"):
        draw_intervals(ax, ["x", "y"], {"a": [*FOUND["a"], (0.0, 0.0, 0.0)]})


def test_a_value_outside_of_its_interval_is_drawn_there(ax: Axes) -> None:
    """A percentile interval need not contain the value; both are drawn unchanged."""
    draw_along(ax, [0.0], [(5.0, 1.0, 2.0)], ("model", "o"), line="-", label="a")
    assert ax.lines[0].get_ydata().tolist() == [5.0]
    assert ax.collections[0].get_segments()[0][:, 1].tolist() == [1.0, 2.0]


def test_levels_have_the_place_of_their_rank(ax: Axes) -> None:
    """A level is at its rank among all levels, even if not all are drawn."""
    sft_quality.draw_levels(ax, [0, 25, 1200], [25, 1200], FOUND["a"], "on-policy", shift=0.1)
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[1.1, 1.0], [2.1, 2.0]])
    assert ax.lines[0].get_color() == colour(sft_quality.SOURCES["on-policy"][0])


@pytest.mark.parametrize("longest", ["8", "16"])
def test_any_distance_stands_apart(ax: Axes, longest: str) -> None:
    """The distance "any" is to the right of all others, without a line to it."""
    found = {"any": (9.0, 8.0, 10.0), "1": (1.0, 0.0, 2.0), longest: (3.0, 2.0, 4.0)}
    edit_distance.draw_distances(ax, found, "unmatched")
    joined, alone = ax.lines
    assert joined.get_xydata().tolist() == [[1, 1], [float(longest), 3]]
    assert joined.get_linestyle() == "-"
    assert alone.get_xydata().tolist() == [[float(longest) + 2, 9]]
    ticks = {
        text.get_text(): place
        for text, place in zip(ax.get_xticklabels(), ax.get_xticks(), strict=True)
    }
    assert ticks["any"] == float(longest) + 2


@pytest.mark.parametrize("names", [["1", "2", "4", "any"], ["1", "2", "4"]])
def test_each_distance_has_a_colour_of_its_own(ax: Axes, names: list[str]) -> None:
    """Each distance has its own colour, also without the distance "any"."""
    edit_distance.draw_dots(ax, [1] * len(names), [1] * len(names), names, rho=0.5)
    assert len({tuple(dots.get_facecolor()[0]) for dots in ax.collections}) == len(names)
    assert [dots.get_label() for dots in ax.collections] == names


def test_models_keep_their_looks(ax: Axes) -> None:
    """The look of a model depends on its name, not on its position."""
    robustness.draw_shapes(ax, ["x", "y"], {"Llama": FOUND["a"]})
    assert ax.lines[0].get_color() == colour(robustness.SHAPES["Llama"][0])


def test_a_frontier_begins_before_training(ax: Axes) -> None:
    """Each line goes from the start through all its rates; marks grow with the rate."""
    points = [[1.0, 0.5], [2.0, 0.7], [3.0, 0.1], [4.0, -1.0]]
    remedies.draw_frontier(ax, {"dpo": points, "ipo": points, "exo": points}, {"dpo": "DPO"}, 0.2)
    lines = [line for line in ax.lines if len(line.get_xdata()) == 5]
    assert len(lines) == 3
    for line in lines:
        np.testing.assert_array_equal(line.get_xydata(), [[0.0, 0.2], *points])
    sizes = [
        line.get_markersize()
        for line in ax.lines
        if line.get_marker() == "o" and len(line.get_xdata())
    ]
    assert sizes == sorted(sizes)
    assert len(sizes) == 4
    shown = [text for text in ax.get_legend_handles_labels()[1] if not text.startswith("_")]
    assert sorted(shown) == ["DPO", "all others"]
