"""The law of motion: axes of predictions and observations, and the regions of the theorem."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes

from dpofield.figures import law_of_motion as law
from dpofield.figures.style import colour


def test_predicted_is_across_and_observed_is_up(ax: Axes) -> None:
    """Predictions are horizontal, observations vertical, in the responses' colours."""
    law.draw_law(ax, {"preferred": [1.0], "dispreferred": [-4.0]},
                 {"preferred": [2.0], "dispreferred": [-3.0]})  # fmt: skip
    shown = {line.get_label(): line for line in ax.lines}
    assert shown["preferred"].get_xydata().tolist() == [[1, 2]]
    assert shown["dispreferred"].get_xydata().tolist() == [[-4, -3]]
    for role in ("preferred", "dispreferred"):
        assert shown[role].get_color() == colour(role)
    assert ax.lines[0].get_xydata().tolist() == [[-4, -4], [1, 1]]


def test_the_median_has_the_slope_of_its_guide(ax: Axes) -> None:
    """Errors proportional to the step are parallel to the dashed line of slope 1, on log axes."""
    steps = np.array([1e-4, 1e-3, 1e-2])
    law.draw_miss(ax, steps, steps[:, None] * [1.0, 2.0, 3.0], limit=0.01)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    shown = {line.get_label(): line.get_ydata() for line in ax.lines}
    np.testing.assert_allclose(shown["median"], 2 * steps)
    np.testing.assert_allclose(shown["slope 1"] / steps, shown["slope 1"][0] / steps[0])
    assert [word.get_text() for word in ax.texts] == ["1.0%"]


def test_counts_add_up(ax: Axes) -> None:
    """The bins contain every value, the median is marked, the error axis is logarithmic."""
    law.draw_miss_counts(ax, [1e-6, 1e-5, 2e-5], limit=1e-3)
    assert sum(bar.get_height() for bar in ax.patches) == 3
    assert ax.lines[0].get_xdata()[0] == 1e-5
    assert ax.get_xscale() == "log"


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ((0.0, 3.0), "dispreferred\nmoves more"),
        ((1.3, 3.0), "both fall"),
        ((-0.4, 0.5), "preferred\nmoves more"),
        ((1.5, 0.6), "not possible"),
        ((0.7, 0.55), "both rise"),
    ],
)
def test_a_name_stands_in_its_region(ax: Axes, place: tuple[float, float], words: str) -> None:
    """A point of each region and its label have the right signs of 1 - a and a - b (K_ww = 1)."""
    law.draw_regions(ax)

    def region(a: float, b: float) -> str:
        if b < a**2:
            return "not possible"  # Cauchy-Schwarz
        u, v = 1 - a, a - b
        if u * v > 0:
            return "both rise" if u > 0 else "both fall"
        return "preferred\nmoves more" if abs(u) > abs(v) else "dispreferred\nmoves more"

    assert region(*place) == words
    (name,) = [word for word in ax.texts if word.get_text() == words]
    across = -0.02 if name.get_ha() == "right" else 0.02
    assert region(name.xy[0] + across, name.xy[1] - 0.02) == words


def test_a_boundary_has_the_colour_of_the_response_that_rests_there(ax: Axes) -> None:
    """The preferred does not move on its boundary K_wl = K_ww, the dispreferred on K_wl = K_ll."""
    law.draw_regions(ax, top=3.0)
    shown = {line.get_color(): line.get_xydata().tolist() for line in ax.lines}
    assert shown[colour("preferred")] == [[1, 1], [1, 3]]
    assert shown[colour("dispreferred")] == [[0, 0], [1, 1]]


def test_a_group_of_pairs_keeps_its_axes(ax: Axes) -> None:
    law.draw_pairs_in_plane(ax, {"one word": ([0.8], [1.1]), "any": ([0.1], [2.0])})
    assert [line.get_xydata().tolist() for line in ax.lines] == [[[0.8, 1.1]], [[0.1, 2.0]]]


def test_step_sizes_show_law_observation_and_split(ax: Axes) -> None:
    """Dashed: the law; dots: observations; crosses: with the concave part."""
    law.draw_step_sizes(ax, [1e-3, 1e-2], {"preferred": 1.0}, {"preferred": [0.9, 0.5]},
                        {"preferred": [0.95, 0.55]})  # fmt: skip
    dashed, dots, crosses = ax.lines[:3]
    assert set(dashed.get_ydata()) == {1.0}
    assert dots.get_xydata().tolist() == [[1e-3, 0.9], [1e-2, 0.5]]
    assert crosses.get_ydata().tolist() == [0.95, 0.55]
    assert dots.get_color() == dashed.get_color() == colour("preferred")
    assert ax.get_xscale() == "log"
