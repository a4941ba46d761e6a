"""Figures of where the mass goes: what is drawn is what was given."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

from dpofield.figures import where_the_mass_goes as fm


@pytest.fixture
def ax():
    yield plt.figure().gca()
    plt.close("all")


def test_bars_share_out_the_whole_width(ax) -> None:
    """Before and after, each row's parts lie end to end from 0 to 1."""
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


def test_every_prompt_is_one_mark_of_its_leader(ax) -> None:
    fm.draw_leaders(ax, [0.1, 0.1, 0.2], [0.2, 0.3, 0.1], ["same", "untrained", "same"], {})
    marks = {line.get_label(): len(line.get_xdata()) for line in ax.lines}
    assert (marks["same"], marks["untrained"]) == (2, 1)
    low, high = ax.get_ylim()
    assert low < 0.1 < 0.3 < high


def test_intervals_keep_their_rows(ax) -> None:
    """Each key's marks stay within half a row of the row's name."""
    values = {"a": [(1.0, 0.0, 2.0), (2.0, 1.0, 3.0)], "b": [(3.0, 2.0, 4.0), (4.0, 3.0, 5.0)]}
    fm.draw_intervals(ax, ["x", "y"], values, {"a": ("model", "o"), "b": ("accent", "s")})
    for line in ax.lines:
        assert np.abs(np.asarray(line.get_ydata()) - [0, 1]).max() < 0.5
