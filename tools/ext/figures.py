"""Figures for dark mode: each SVG in palette colours gets a copy in the dark colours, its twin.

The page has both images, and the theme hides one (`display: none`, so it is neither loaded nor read
aloud). Both tags have a size, so that nothing moves when the images arrive.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

PIXELS = {"": 1.0, "px": 1.0, "pt": 4 / 3, "in": 96.0}
WIDE = 600
"""Width in CSS pixels above which a figure scrolls on a phone, because it would be illegible."""


def darken(svg: str, palette: Mapping[str, tuple[str, str]]) -> str:
    """The SVG with every light colour of the palette replaced by its dark colour, in one pass.

    >>> darken("fill: #AAAAAA; stroke: #bbbbbb", {"a": ("#aaaaaa", "#bbbbbb")})
    'fill: #bbbbbb; stroke: #bbbbbb'
    """
    twins = {light.lower(): dark.lower() for light, dark in palette.values()}
    return re.sub(r"#[0-9a-fA-F]{6}\b", lambda colour: twins.get(colour[0].lower(), colour[0]), svg)


def size(svg: str) -> tuple[int, int]:
    """Width and height in CSS pixels from the root element.

    >>> size('<svg width="72pt" height="36pt" viewBox="0 0 72 36">')
    (96, 48)
    """
    root = re.search(r"<svg\b[^>]*>", svg)
    found = [
        re.search(rf'\s{side}="([\d.]+)(px|pt|in)?"', root[0] if root else "")
        for side in ("width", "height")
    ]
    if not all(found):
        raise ValueError("the svg element has no width and height in px, pt or in")
    width, height = (round(float(m[1]) * PIXELS[m[2] or ""]) for m in found if m)
    return width, height


def pair(tag: str, svg: str) -> str:
    """Two `img` tags, light and dark, made from one tag."""
    width, height = size(svg)
    tag = re.sub(r'\s(?:width|height|loading|class)="[^"]*"', "", tag)
    tag = re.sub(r'\sstyle="[^"]*"', "", tag).rstrip("/> ")
    light = f'{tag} class="figure only-light" width="{width}" height="{height}" loading="lazy" />'
    dark = re.sub(r'(src="[^"]*)\.svg"', r'\1.dark.svg"', light)
    # wrapped, because the theme hides every caption that follows an only-light image
    box = 'class="twins"'
    if width > WIDE:
        box = 'class="twins wide" role="group" aria-label="Figure" tabindex="0"'
    return f"<span {box}>{light}{dark.replace('only-light', 'only-dark')}</span>"


def _page(app: Sphinx, pagename: str, _: str, context: dict[str, Any], __: Any) -> None:
    from dpofield.palette import PALETTE

    sources = {name: Path(app.srcdir, source) for source, name in app.builder.images.items()}
    lights = {light.lower() for light, _ in PALETTE.values()}

    def twin(img: re.Match[str]) -> str:
        source = sources.get(img[1].rsplit("/", 1)[-1])
        if source is None:
            return img[0]
        svg = source.read_text("utf8")
        if not any(light in svg.lower() for light in lights):
            return img[0]
        if "#000000" in svg:
            logger.warning(
                "figure %s has black, which is invisible on a dark page: use figures.style",
                source.name,
                location=pagename,
            )
        target = Path(app.outdir, app.builder.imagedir, img[1].rsplit("/", 1)[-1])
        target.parent.mkdir(parents=True, exist_ok=True)
        target.with_suffix(".dark.svg").write_text(darken(svg, PALETTE), "utf8")
        return pair(img[0], svg)

    context["body"] = re.sub(
        r'<img\b[^>]*\bsrc="([^"]+\.svg)"[^>]*>', twin, context.get("body", "")
    )


def setup(app: Sphinx) -> None:
    """Add the dark copies to the figures of each page."""
    app.connect("html-page-context", _page, priority=810)
