"""The gallery: panels do not overlap, and arrows have the direction of the push."""

from __future__ import annotations

import dataclasses
from itertools import combinations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.quiver import Quiver

from dpofield.field.gallery import GROUPS, PUSHES, push, settings
from dpofield.figures import loss_zoo
from dpofield.figures.style import colour
from dpofield.formulas import LOSSES, Loss

OF_A_GROUP = {"margin": "dpo", "tilted": "sft", "turning": "sppo"}


def bare(ax: Axes, loss: Loss) -> None:
    """A panel without the slow arrows, which do not affect the layout."""
    ax.set(aspect="equal", xticks=[], yticks=[])
    ax.set_title(loss.title, fontsize=9, pad=3, loc="center")


@pytest.mark.parametrize(
    "sizes", [(1, 11, 6), (2, 10, 7), (3, 9, 8), (4, 8, 9), (5, 7, 10), (11, 11, 11)]
)
def test_nothing_lies_on_a_panel(
    sizes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch, fig: Figure
) -> None:
    """With groups of 1 to 11 losses, no panel, title, heading or legend overlaps another."""
    monkeypatch.setattr(loss_zoo, "draw_push", bare)
    losses = [
        dataclasses.replace(LOSSES[OF_A_GROUP[name]], title=f"{name} {i}")
        for name, size in zip(GROUPS, sizes, strict=True)
        for i in range(size)
    ]
    shown = loss_zoo.draw_gallery(losses)
    shown.canvas.draw()
    titles = [ax.get_title() for ax in shown.axes if ax.get_title()]
    assert titles == [loss.title for loss in losses]
    boxes = [ax.get_tightbbox() for ax in shown.axes]
    for one, two in combinations(boxes, 2):
        width = min(one.x1, two.x1) - max(one.x0, two.x0)
        height = min(one.y1, two.y1) - max(one.y0, two.y0)
        assert width < 1 or height < 1
    for box in boxes:
        assert shown.bbox.padded(1).contains(box.x0, box.y0)
        assert shown.bbox.padded(1).contains(box.x1, box.y1)
    panels = [ax.get_window_extent().width for ax in shown.axes if ax.get_title()]
    assert max(panels) - min(panels) < 1
    assert min(panels) > 0.14 * shown.bbox.width, "the height does not follow from the rows"
    (legend,) = [ax.get_legend() for ax in shown.axes if ax.get_legend()]
    assert [text.get_text() for text in legend.get_texts()] == [*PUSHES.values(), "no push"]


def test_a_group_is_under_its_own_heading(fig: Figure) -> None:
    """The heading above the losses of a group is its label, not its key."""
    shown = loss_zoo.draw_gallery([LOSSES["sppo"], LOSSES["dpo"]])
    words = [
        (ax.get_title() or ax.texts[0].get_text())
        for ax in shown.axes
        if ax.get_title() or ax.texts
    ]
    assert words == [GROUPS["margin"], "DPO", GROUPS["turning"], "SPPO (hard)"]


@pytest.mark.parametrize("name", LOSSES)
def test_arrows_go_where_the_loss_pushes(ax: Axes, name: str) -> None:
    """Each arrow has the direction of the push at its point, and the colour of its effect."""
    loss_zoo.draw_push(ax, name)
    seen = 0
    for arrows in (found for found in ax.collections if isinstance(found, Quiver)):
        u, v = arrows.get_offsets().T
        along_u, along_v = push(name, u, v, **settings(name))
        size = np.hypot(along_u, along_v)
        np.testing.assert_allclose(arrows.U * along_v, arrows.V * along_u, atol=1e-6 * size.max())
        assert (arrows.U * along_u + arrows.V * along_v > 0).all()
        kind = 1 * (along_u[0] < 0) + 2 * (along_v[0] > 0)
        ink = colour(loss_zoo.SHADES[list(PUSHES)[kind]])
        np.testing.assert_allclose(arrows.get_facecolor()[0][:3], _rgb(ink))
        seen += len(u)
    assert seen > 0


def _rgb(ink: str) -> list[float]:
    return [int(ink[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def test_a_region_of_wrong_push_is_shaded_where_it_is(ax: Axes) -> None:
    """SPPO pushes the preferred down for u > 1/(2 beta) only."""
    loss_zoo.draw_push(ax, "sppo")
    shades = [found for found in ax.collections if not isinstance(found, Quiver)]
    (down,) = [
        s for s in shades if np.allclose(s.get_facecolor()[0][:3], _rgb(colour("dispreferred")))
    ]
    reach = np.concatenate([path.vertices for path in down.get_paths()])
    assert reach[:, 0].min() == pytest.approx(5, abs=0.2)
    assert reach[:, 1].min() == pytest.approx(-5, abs=0.2)


def test_speeds_are_pushes_on_the_margin(ax: Axes) -> None:
    """DPO's push at margin 0 is beta/2; IPO's push changes sign at 1/(2 beta)."""
    loss_zoo.draw_speeds(ax, {"dpo": "text", "ipo": "model"})
    dpo, ipo = (line.get_xydata().T for line in ax.lines[:2])
    assert np.interp(0, *dpo) == pytest.approx(0.05)
    assert np.interp(5, *ipo) == pytest.approx(0, abs=1e-9)
    assert np.interp(0, *ipo) > 0 > np.interp(10, *ipo)


def test_speeds_want_a_loss_of_the_margin(ax: Axes) -> None:
    """A loss that is not of the margin raises an error: its push depends on more than h."""
    with pytest.raises(ValueError, match="nca is not a loss of the margin"):
        loss_zoo.draw_speeds(ax, {"nca": "text"})
