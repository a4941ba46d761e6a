"""The picture in the README: one loss in two charts. `make stills` writes it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import IO

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dpofield.field.flow import flow
from dpofield.figures.field import draw_field, draw_flow, draw_start
from dpofield.figures.style import colour, figure, use

BETA = 0.5


def draw_cover(left: Axes, right: Axes) -> None:
    """The field and the flow line from the start, in ratios (left) and log-ratios (right)."""
    draw_field(left, beta=BETA, n=12)
    draw_flow(left, flow("dpo", "ratio", beta=BETA))
    draw_start(left)
    left.set_title("ratios: a circle, and a cap")
    draw_field(right, chart="log-ratio", low=-2.2, high=2.2, beta=BETA, n=12)
    draw_flow(right, flow("dpo", "log-ratio", (0.0, 0.0), beta=BETA, length=2.6))
    draw_start(right, (0.0, 0.0))
    right.set_title("log-ratios: a straight line, and no cap")


def cover() -> Figure:
    """The cover as a separate figure."""
    use()
    fig, (left, right) = figure(2, width=8.4, height=4.0)
    draw_cover(left, right)
    return fig


def save_cover(target: str | Path | IO[str]) -> None:
    """Write the cover as SVG, on a light background: a README does not adapt to the theme."""
    fig = cover()
    fig.savefig(target, format="svg", facecolor=colour("surface"), metadata={"Date": None})
    plt.close(fig)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        "python -m dpofield.figures.cover", description="Draw the cover."
    )
    parser.add_argument("file", type=Path, help="the picture to write (.svg)")
    save_cover(parser.parse_args().file)
