"""The figures inside the book's theme, whose rules for lists and tables reach into them."""

from __future__ import annotations

import browser
import pytest

from dpofield.widgets.demo import DEMOS

pytestmark = [pytest.mark.built, pytest.mark.browser]

SIZES = """() => [...document.querySelectorAll(".dpf")].map((root) => ({
  box: root.closest(".dpofield-widget").offsetHeight,
  has: root.clientHeight, needs: root.scrollHeight,
  wider: [...root.children].filter((e) => !e.matches(".dpf-unseen"))
    .filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.className),
}))"""


def pages():
    """The built pages that show a figure."""
    return [p for p in browser.HTML.rglob("*.html") if "dpofield-widget" in p.read_text("utf8")]


@pytest.mark.parametrize("name", DEMOS)
def test_every_demo_is_published(name):
    """Chapters link it as demos/<name>.html."""
    assert (browser.HTML / "demos" / f"{name}.html").is_file()


@pytest.mark.parametrize("width", [1280, 768, 390])
def test_fills_the_room_that_was_reserved(chrome, width):
    """In every page: as tall as its box, nothing cut below or beside."""
    seen = 0
    context = chrome.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    for path in pages():
        page.goto(path.as_uri())
        for box in page.locator(".dpofield-widget:has(script)").all():
            box.scroll_into_view_if_needed()
            page.wait_for_function(
                "(box) => box.dataset.mounted === '1'", arg=box.element_handle(), timeout=20_000
            )
        for found in page.evaluate(SIZES):
            assert found["box"] == found["has"] == found["needs"], path.name
            assert found["wider"] == [], path.name
            seen += 1
    context.close()
    assert seen >= len(DEMOS), "a figure is not in the book"
