"""Fixtures of the tests of figures."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dpofield.figures import style


@pytest.fixture
def fig() -> Iterator[Figure]:
    """An empty figure in the house style; all figures are closed afterwards."""
    style.use()
    matplotlib.rcParams["figure.dpi"] = 72  # as in an SVG: the layout is computed once
    yield plt.figure()
    plt.close("all")


@pytest.fixture
def ax(fig: Figure) -> Axes:
    """One empty Axes in the house style."""
    return fig.gca()
