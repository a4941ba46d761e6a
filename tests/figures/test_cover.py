"""The picture in the README is up to date."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np

from dpofield.figures.cover import save_cover

COVER = Path(__file__).parents[2] / "book" / "assets" / "cover.svg"


def coordinates(svg: str) -> np.ndarray:
    """Every coordinate and size in the drawing, in order, without ids and colours."""
    plain = re.sub(r'(id|href|clip-path|xlink:href)="[^"]*"|#[0-9a-f]{6}', "", svg)
    return np.array([float(n) for n in re.findall(r"-?\d+\.?\d*", plain)])


def colours(svg: str) -> np.ndarray:
    """Every colour in the drawing, in order, as red, green and blue from 0 to 255."""
    return np.array([list(bytes.fromhex(n)) for n in re.findall(r"#([0-9a-f]{6})\b", svg)])


def test_committed_cover_is_current():
    """The committed cover equals a new drawing; if not, run `make stills`."""
    out = io.StringIO()
    save_cover(out)
    ours, committed = out.getvalue(), COVER.read_text()
    assert coordinates(ours).shape == coordinates(committed).shape
    np.testing.assert_allclose(coordinates(ours), coordinates(committed), atol=0.05)
    # colours may differ by 1 or 2, as machines round differently
    np.testing.assert_allclose(colours(ours).astype(int), colours(committed), atol=2)
