"""The laboratory: the running mean, both responses, the prefix tree."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from dpofield.figures import laboratory
from dpofield.figures.style import colour


def test_the_running_mean_stands_at_the_end_of_its_window(ax: Axes) -> None:
    """The mean of the last `smooth` losses, from step `smooth` on; the floor is the entropy."""
    laboratory.draw_sft(ax, {"weak": [4.0, 2.0, 6.0, 1.0]}, 0.5, smooth=2)
    curve, floor = ax.lines
    assert curve.get_xydata().tolist() == [[2, 3], [3, 4], [4, 3.5]]
    assert set(floor.get_ydata()) == {0.5}


def test_both_responses_have_their_colours(ax: Axes) -> None:
    """The means over pairs are blue for u and orange for v."""
    u, v = np.array([[0.0, 0.0], [1.0, 3.0]]), np.array([[0.0, 0.0], [-2.0, -6.0]])
    laboratory.draw_changes(ax, [0, 1], u, v)
    means = {line.get_label(): line for line in ax.lines}
    for role, end in (("preferred", 2.0), ("dispreferred", -4.0)):
        assert means[role].get_ydata()[-1] == end
        assert means[role].get_color() == colour(role)


def test_the_tree_branches_after_the_common_words(ax: Axes) -> None:
    """The prompt and the common words are on one line, the preferred branch above it."""
    laboratory.draw_tree(ax, ["p", ":"], ["b", "c", "e"], ["b", "d", "e"])
    shown = [(word.get_text(), word.get_position()) for word in ax.texts]
    assert shown == [
        ("p", (0, 0)), (":", (1, 0)), ("b", (2, 0)),
        ("c", (3, 1)), ("(e)", (4, 1)), ("d", (3, -1)), ("(e)", (4, -1)),
    ]  # fmt: skip
    inks = {word.get_text(): word.get_color() for word in ax.texts}
    assert (inks["c"], inks["d"]) == (colour("preferred"), colour("dispreferred"))
