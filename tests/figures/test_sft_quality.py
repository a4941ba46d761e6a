"""SFT levels: colours in order, paths with their ends, marks by source."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes

from dpofield.figures import sft_quality as sft
from dpofield.figures.style import MAGNITUDE


def test_paths_end_large_and_are_dashed_without_sft(ax: Axes) -> None:
    """The margin is horizontal, u vertical."""
    sft.draw_paths(ax, {0: [[0, 0], [2, 1]], 25: [[0, 0], [3, -1]]})
    none, end_of_none, some, end_of_some = ax.lines[:4]
    assert none.get_xydata().tolist() == [[0, 0], [2, 1]]
    assert (none.get_linestyle(), some.get_linestyle()) == ("--", "-")
    assert end_of_none.get_xydata().tolist() == [[2, 1]]
    assert end_of_some.get_xydata().tolist() == [[3, -1]]
    assert (none.get_label(), some.get_label()) == ("none", "25")


def test_colours_go_from_the_first_level_to_the_last() -> None:
    """The colours cover the whole sequential map, for any number of levels."""
    ends = [np.round(255 * np.array(MAGNITUDE(x)[:3])) for x in (0.0, 1.0)]
    for n in (2, 3, 7):
        inks = sft.level_colours(list(range(n)))
        assert len(set(inks)) == n
        for ink, end in zip((inks[0], inks[-1]), ends, strict=True):
            np.testing.assert_allclose([int(ink[i : i + 2], 16) for i in (1, 3, 5)], end, atol=1)


def test_pace_is_logarithmic_and_every_run_is_a_mark(ax: Axes) -> None:
    """Dots are off-policy runs and open squares on-policy runs."""
    sft.draw_pace(ax, [1, 2, 3], [5, 9, 20], [25, 50, 50], [True, False, True])
    marks = {(line.get_marker(), *xy) for line in ax.lines for xy in line.get_xydata().tolist()}
    assert marks == {("s", 1, 5), ("o", 2, 9), ("s", 3, 20)}
    assert ax.get_yscale() == "log"


def test_predictions_are_over_the_whole_range(ax: Axes) -> None:
    """The axis covers all rank correlations, from -1 to 1."""
    sft.draw_predictions(ax, ["push"], {"pairs": [[0.9, 0.8, 1.0]]})
    assert ax.get_xlim() == pytest.approx((-1.05, 1.05))
    assert ax.lines[0].get_xdata().tolist() == [0.9]
