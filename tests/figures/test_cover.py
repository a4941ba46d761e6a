"""The picture in the README is the one that the library draws."""

from __future__ import annotations

import io
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from dpofield.figures.cover import cover

COVER = Path(__file__).parents[2] / "book" / "assets" / "cover.svg"


def numbers(svg: str) -> np.ndarray:
    """Every coordinate and size in the drawing, in order (ids and colours left out)."""
    plain = re.sub(r'(id|href|clip-path|xlink:href)="[^"]*"|#[0-9a-f]{6}', "", svg)
    return np.array([float(n) for n in re.findall(r"-?\d+\.?\d*", plain)])


def test_committed_cover_is_current():
    """A changed field must not leave an old picture at the door: remake it with field.cover."""
    out = io.StringIO()
    fig = cover()
    fig.savefig(out, format="svg", facecolor="#fefefe", metadata={"Date": None})
    plt.close(fig)
    ours, committed = numbers(out.getvalue()), numbers(COVER.read_text())
    assert ours.shape == committed.shape
    np.testing.assert_allclose(ours, committed, atol=0.05)
