"""The interactive figures without JavaScript."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import stills
from ext.widgets import still, still_name

pytestmark = [pytest.mark.built, pytest.mark.browser]
NUMBER = re.compile(r"[−-]?\d+(?:\.\d+)?(?:e[−-]?\d+)?")


def numbers(words: str) -> list[float]:
    """The numbers in a sentence."""
    return [float(found.replace("−", "-")) for found in NUMBER.findall(words)]


def test_every_figure_has_its_picture(chrome: Any, site: str) -> None:
    """Each figure of each page has a picture, drawn by its current code, with the description of
    the figure. (Numbers from a training may differ slightly between machines.)"""
    names = set()
    for name, svg in stills.figures(chrome, site, stills.pages_with_figures()):
        path = stills.STILLS / name
        assert path.is_file(), f"run `make stills` and commit {name}"
        there, now = (
            unescape(re.search("<desc>(.*?)</desc>", text, re.DOTALL)[1])
            for text in (path.read_text("utf8"), svg)
        )
        assert NUMBER.sub("#", there) == NUMBER.sub("#", now), f"run `make stills`: {name}"
        assert numbers(there) == pytest.approx(numbers(now), rel=0.1, abs=0.05), name
        names.add(name)
    assert len(names) > 8
    assert {path.name for path in stills.STILLS.iterdir()} == names, "run `make stills`"


@pytest.mark.parametrize("width", [1280, 390])
def test_pages_without_scripts(visit: Any, site: str, width: int) -> None:
    """Without JavaScript each figure is a picture that loads, has alt text, and fits the page."""
    pages = stills.pages_with_figures()
    assert len(pages) > 8
    for name in pages:
        seen = visit(f"{site}/{name}", width=width, java_script_enabled=False)
        boxes = seen.page.locator(".dpofield-widget")
        assert boxes.count(), name
        for box in boxes.all():
            picture = box.locator(".still")
            picture.scroll_into_view_if_needed()
            assert picture.is_visible(), name
            assert len(picture.get_attribute("alt")) > 60, name
            at, around = picture.bounding_box(), seen.page.locator("article").bounding_box()
            assert at["width"] > 300, name
            assert at["x"] + at["width"] <= around["x"] + around["width"] + 1, name
            assert "off in this browser" in box.inner_text(), name
        assert not seen.failed, name
        seen.page.close()


def test_a_page_on_paper(visit: Any, site: str) -> None:
    """On paper, a figure that has not started is replaced by its picture; on a screen, never."""
    page = visit(f"{site}/book/corollary-1.html").page
    picture = page.locator(".dpofield-widget > .still")
    assert picture.count() == 1
    assert not picture.is_visible()
    page.emulate_media(media="print")
    assert picture.is_visible()
    page.emulate_media(media="screen")
    page.locator(".dpofield-widget").scroll_into_view_if_needed()
    page.wait_for_selector('[data-mounted="1"]')
    page.emulate_media(media="print")
    assert not picture.is_visible()


def test_a_picture_knows_its_code(tmp_path: Path) -> None:
    """A picture from other code has another name; an SVG without a description is rejected."""
    assert still_name("book/a.html", "X", "00000000") != still_name("book/a.html", "X", "00000001")
    with pytest.raises(ValueError, match="make it again"):
        still("<svg></svg>", "a.svg")
