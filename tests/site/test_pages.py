"""Every built page in Chromium, over http and from file://, with the network cut."""

from __future__ import annotations

from typing import Any

import browser
import pytest

pytestmark = [pytest.mark.built, pytest.mark.browser]

PAGES = [name for name in browser.pages() if name != "index.html"]


def address(site: str, name: str, scheme: str) -> str:
    """Where a page is, by either way to it."""
    return f"{site}/{name}" if scheme == "http" else (browser.HTML / name).as_uri()


def scroll_through(page: Any) -> None:
    """Bring every figure near the viewport, as a reader does."""
    page.evaluate(
        """async () => {
          for (let y = 0; y < document.documentElement.scrollHeight; y += 600) {
            scrollTo(0, y);
            await new Promise((done) => setTimeout(done, 30));
          }
        }"""
    )


@pytest.mark.parametrize("scheme", ["http", "file"])
@pytest.mark.parametrize("name", PAGES)
def test_page_is_whole_without_a_network(visit: Any, site: str, name: str, scheme: str) -> None:
    """No request leaves the host, nothing fails, the console is silent, every widget runs, and the
    page does not move under the reader, although its fonts come late."""
    seen = visit(address(site, name, scheme), late_fonts=scheme == "http")
    scroll_through(seen.page)
    widgets = seen.page.locator(".dpofield-widget")
    for index in range(widgets.count()):
        widget = widgets.nth(index)
        widget.scroll_into_view_if_needed()
        seen.page.wait_for_function(
            "box => box.dataset.mounted && box.dataset.mounted !== ''",
            arg=widget.element_handle(),
            timeout=20_000,
        )
        assert widget.get_attribute("data-mounted") == "1", widget.inner_text()
    assert not seen.outside, seen.outside
    assert not seen.failed, seen.failed
    assert not seen.errors, seen.errors
    assert seen.page.evaluate("typeof MathJax") == "undefined"
    if scheme == "http":
        shift, first = seen.moved()
        assert shift < 0.01, first


# The theme lets the keyboard into a code block that scrolls, but 0.3 s after a change of width.
REACHED = """() => [...document.querySelectorAll("pre")].every((block) =>
  block.scrollWidth <= block.clientWidth || block.tabIndex === 0)"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_page_is_for_everybody(visit: Any, site: str, name: str, scheme: str) -> None:
    """On a desk and a phone, light and dark: axe finds nothing and nothing sticks out sideways."""
    page = visit(address(site, name, "http"), scheme=scheme).page
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    for width in (1280, 390):  # wide formulas and tables scroll in themselves
        page.set_viewport_size({"width": width, "height": 900})
        scroll_through(page)
        page.wait_for_function(REACHED)
        found = [f"{f['id']} ({f['impact']}): {f['nodes'][:3]}" for f in browser.axe(page)]
        assert not found, f"at {width} pixels:\n" + "\n".join(found)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    stuck = page.evaluate(
        """() => [...document.querySelectorAll(".math-scroll")].filter((box) =>
          box.scrollWidth > box.clientWidth + 1 && box.tabIndex !== 0).length"""
    )
    assert stuck == 0, "a formula wider than the page cannot be scrolled by keyboard"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_one_side_of_a_figure_is_seen(visit: Any, site: str, scheme: str) -> None:
    """In either theme one of a figure's two images is shown, on the page's own ground."""
    figures = 0
    for name in PAGES:
        page = visit(address(site, name, "http"), scheme=scheme).page
        for twins in page.locator(".twins").all():
            shown = [image for image in twins.locator("img").all() if image.is_visible()]
            assert len(shown) == 1, name
            assert f"only-{scheme}" in shown[0].get_attribute("class")
            ground = shown[0].evaluate("image => getComputedStyle(image).backgroundColor")
            assert ground == "rgba(0, 0, 0, 0)", f"{name}: {ground} behind a figure"
            figures += 1
        for caption in page.locator("figcaption").all():
            assert caption.is_visible() or caption.locator("xpath=ancestor::details").count()
    assert figures


def test_search_finds_a_word_of_the_book(visit: Any, site: str) -> None:
    """The search page works although no other page loads its index."""
    seen = visit(f"{site}/book/index.html")
    seen.page.locator("button.search-button__button:visible").first.click()
    field = seen.page.locator("dialog input[name=q]")
    field.fill("corollary")
    field.press("Enter")
    seen.page.locator("#search-results li").first.wait_for(timeout=20_000)
    assert "corollary" in seen.page.locator("#search-results").inner_text().lower()
    assert not seen.errors, seen.errors


def test_launch_and_download(visit: Any, site: str) -> None:
    """The rocket opens this page on Binder in JupyterLab; the source can be downloaded."""
    name = next(name for name in PAGES if name.startswith("book/theorem"))
    page = visit(f"{site}/{name}").page
    rocket = page.locator("a[href*='mybinder.org']").get_attribute("href")
    assert "urlpath=lab/tree/" in rocket
    assert rocket.endswith(name.replace(".html", ".md"))
    source = page.locator("a.btn-download-source-button").get_attribute("href")
    assert (browser.HTML / name).parent.joinpath(source).is_file()
