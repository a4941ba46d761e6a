"""The two ratios: the reachable region, paths and loss curves."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from dpofield.figures import ratios_and_fields


def test_the_border_of_the_reachable_ratios_sums_to_one(ax: Axes) -> None:
    """On the drawn border the two probabilities sum to 1."""
    ref_w, ref_l = 0.3, 0.5
    ratios_and_fields.draw_reachable(ax, ref_w, ref_l, [1.0], [1.0])
    border = next(line for line in ax.lines if "pi" in str(line.get_label()))
    total = ref_w * np.asarray(border.get_xdata()) + ref_l * np.asarray(border.get_ydata())
    np.testing.assert_allclose(total, 1.0)


def test_a_path_goes_from_its_start_to_its_arrow_head(ax: Axes) -> None:
    """x1 is horizontal, x2 vertical, and the arrow head is at the last point."""
    ratios_and_fields.draw_paths(ax, {"A": ([1, 1.1, 1.2], [1, 0.9, 0.7])})
    (line,) = ax.lines
    assert line.get_xydata().tolist() == [[1, 1], [1.1, 0.9], [1.2, 0.7]]
    head = next(text for text in ax.texts if not text.get_text())
    assert (head.xy, head.xyann) == ((1.2, 0.7), (1.1, 0.9))
    name = next(text for text in ax.texts if text.get_text())
    assert name.get_color() == line.get_color()


def test_equal_runs_both_show(ax: Axes) -> None:
    """The second of two equal curves is thinner, so that both are visible."""
    ratios_and_fields.draw_loss_curves(ax, {"A": [0.7, 0.6], "B": [0.7, 0.6]})
    first, second = ax.lines
    assert first.get_linewidth() > second.get_linewidth() + 1
    np.testing.assert_array_equal(first.get_ydata(), second.get_ydata())
