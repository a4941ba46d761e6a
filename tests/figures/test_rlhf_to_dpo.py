"""The optimum and its recovery: each path has the colour of its target."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from dpofield.figures import rlhf_to_dpo


def test_five_responses_have_five_colours(ax: Axes) -> None:
    """Five lines have five different colours."""
    rlhf_to_dpo.draw_recovery(ax, [0, 1], np.zeros((2, 5)), range(5), list("ABCDE"))
    assert len({line.get_color() for line in ax.lines}) == 5


def test_recovery_draws_every_path_and_every_target(ax: Axes) -> None:
    """Each path has the colour of its dashed target."""
    rlhf_to_dpo.draw_recovery(ax, [0, 1], np.zeros((2, 3)), [0.1, 0.2, 0.3], ["a", "b", "c"])
    dashed = {line.get_color(): line.get_ydata()[0] for line in ax.lines[::2]}
    solid = [line.get_color() for line in ax.lines[1::2]]
    assert list(dashed) == solid
    assert list(dashed.values()) == [0.1, 0.2, 0.3]


def test_each_response_keeps_its_column_and_its_name(ax: Axes) -> None:
    """Probabilities against beta on a log axis, each line with its label at its end."""
    rlhf_to_dpo.draw_optimum(ax, [0.1, 1.0], [[0.9, 0.1], [0.6, 0.4]], ["a", "b"])
    assert ax.get_xscale() == "log"
    assert [line.get_ydata().tolist() for line in ax.lines] == [[0.9, 0.6], [0.1, 0.4]]
    assert [(word.get_text(), word.xy) for word in ax.texts] == [("a", (1, 0.6)), ("b", (1, 0.4))]
    assert [word.get_color() for word in ax.texts] == [line.get_color() for line in ax.lines]
