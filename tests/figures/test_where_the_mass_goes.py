"""The figures of the probability mass show their input."""

from __future__ import annotations

import pytest
from matplotlib.axes import Axes

from dpofield.figures import where_the_mass_goes as fm


def test_bars_share_out_the_whole_width(ax: Axes) -> None:
    """Before and after, the parts of each row fill the range from 0 to 1."""
    parts = {"preferred": ([0.2, 0.1], [0.5, 0.3]), "off_grammar": ([0.8, 0.9], [0.5, 0.7])}
    fm.draw_shares(ax, ["a", "b"], parts, {"off_grammar": "off the grammar"})
    rows: dict[float, list[tuple[float, float]]] = {}
    for bar in ax.patches:
        rows.setdefault(bar.get_y(), []).append((bar.get_x(), bar.get_width()))
    assert len(rows) == 4
    for pieces in rows.values():
        assert min(x for x, _ in pieces) == 0
        assert sum(width for _, width in pieces) == pytest.approx(1)
    assert ax.get_legend_handles_labels()[1] == ["preferred", "off the grammar"]


def test_every_prompt_is_one_mark_of_its_leader(ax: Axes) -> None:
    fm.draw_leaders(ax, [0.1, 0.1, 0.2], [0.2, 0.3, 0.1], ["same", "untrained", "same"], {})
    marks = {line.get_label(): len(line.get_xdata()) for line in ax.lines}
    assert (marks["same"], marks["untrained"]) == (2, 1)
    low, high = ax.get_ylim()
    assert low < 0.1 < 0.3 < high
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    same = next(line for line in ax.lines if line.get_label() == "same")
    assert same.get_xydata().tolist() == [[0.1, 0.2], [0.2, 0.1]]


def test_a_dot_is_a_prompt_that_leaked_and_gained(ax: Axes) -> None:
    """The mass that left the grammar is horizontal, the gain of reward vertical."""
    fm.draw_grammar_and_leak(ax, [0.1, 0.4], [1.0, -0.5], {"b": ([False, True], "model", "s")})
    assert ax.lines[0].get_xydata().tolist() == [[0.4, -0.5]]
    assert "off the grammar" in ax.get_xlabel()


def test_who_falls_is_below_zero(ax: Axes) -> None:
    """The line shows the values, the band the intervals."""
    fm.draw_who_falls(ax, [0.0, 1.0], {"a": [(-3.0, -4.0, -1.0), (-2.0, -2.5, -1.5)]})
    assert ax.lines[0].get_xydata().tolist() == [[0, -3], [1, -2]]
    ends = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert (ends.min(), ends.max()) == (-4.0, -1.0)


def test_the_two_responses_keep_their_colours() -> None:
    """In both tables the preferred is blue and the dispreferred is orange."""
    for name in ("preferred", "dispreferred"):
        assert fm.PARTS[name][0] == name == fm.LEADERS[name][0]
