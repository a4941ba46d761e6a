"""The field explorer inside the book's theme, whose rules for lists reach into it."""

from __future__ import annotations

import browser
import pytest

pytestmark = [pytest.mark.built, pytest.mark.browser]

SIZES = """() => [...document.querySelectorAll(".dpf-explorer")].map((root) => ({
  box: root.closest(".dpofield-widget").offsetHeight,
  has: root.clientHeight, needs: root.scrollHeight,
  wider: [...root.children].filter((e) => !e.matches(".dpf-unseen"))
    .filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.className),
}))"""


def pages():
    """The built pages that show the figure."""
    return [p for p in browser.HTML.rglob("*.html") if "dpf-explorer" in p.read_text("utf8")]


def test_the_demo_is_published():
    """Chapters link it as demos/field-explorer.html."""
    assert (browser.HTML / "demos" / "field-explorer.html").is_file()


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
    assert seen > 1, "the figure is not in the book"
