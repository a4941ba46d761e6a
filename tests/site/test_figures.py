"""Dark copies of the figures: every palette colour is replaced, and nothing else."""

from __future__ import annotations

import io
import re

import matplotlib.pyplot as plt
import pytest
from ext import figures
from hypothesis import given
from hypothesis import strategies as st

from dpofield.figures import style

LIGHT = {light.lower() for light, _ in style.PALETTE.values()}
DARK = {dark.lower() for _, dark in style.PALETTE.values()}


def draw() -> str:
    """A figure that uses every colour of the palette."""
    style.use()
    fig, (ax,) = style.figure()
    for index, role in enumerate(style.PALETTE):
        ax.plot([0, 1], [index, index + 1], color=style.colour(role), label=role)
    ax.set(xlabel="x", ylabel="y (nats)", title="Title")
    ax.legend()
    out = io.StringIO()
    fig.savefig(out, format="svg")
    plt.close(fig)
    return out.getvalue()


def colours(svg: str) -> set[str]:
    """Hexadecimal colours in an SVG."""
    return {found.lower() for found in re.findall(r"#[0-9a-fA-F]{6}\b", svg)}


def test_light_and_dark_do_not_overlap() -> None:
    """A colour that is light for one role and dark for another would be replaced by mistake."""
    assert len(LIGHT) == len(style.PALETTE), "two roles share a light colour"
    assert not LIGHT & DARK


def test_a_matplotlib_figure_changes_all_its_colours() -> None:
    """The style uses only the palette's light colours, and the dark copy only its dark ones."""
    svg = draw()
    assert colours(svg) == LIGHT
    assert colours(figures.darken(svg, style.PALETTE)) == DARK


@given(st.lists(st.sampled_from([*sorted(LIGHT | DARK), "#123456", "url(#p1)", "fill: "])))
def test_one_pass(parts: list[str]) -> None:
    """Colours are replaced in one pass: an inserted dark colour is not replaced again."""
    swap = {light.lower(): dark.lower() for light, dark in style.PALETTE.values()}
    expected = " ".join(swap.get(part, part) for part in parts)
    assert figures.darken(" ".join(parts), style.PALETTE) == expected


def test_pair_of_images() -> None:
    """Both images have the same size and text, and classes by which the theme shows one."""
    tag = '<img alt="Both partials" class="x" src="../_images/ab.svg" style="width: 5px" />'
    pair = figures.pair(tag, '<svg width="360pt" height="180pt">')
    assert pair.count('alt="Both partials"') == 2
    assert pair.count('width="480" height="240" loading="lazy"') == 2
    assert 'src="../_images/ab.svg" class="figure only-light"' in pair
    assert 'src="../_images/ab.dark.svg" class="figure only-dark"' in pair


def test_a_wide_figure_scrolls_on_a_phone() -> None:
    """A wide figure scrolls on a phone instead of shrinking, and is reachable by keyboard."""
    tag = '<img alt="Two panels" src="../_images/ab.svg" />'
    wide, narrow = (figures.pair(tag, f'<svg width="{w}pt" height="180pt">') for w in (540, 400))
    assert wide.startswith(
        '<span class="twins wide" role="group" aria-label="Figure" tabindex="0">'
    )
    assert narrow.startswith('<span class="twins"><img')


def test_an_svg_without_a_size_is_refused() -> None:
    """Without a size the page would jump, so the build fails."""
    with pytest.raises(ValueError, match="no width and height"):
        figures.size('<svg viewBox="0 0 1 1">')
