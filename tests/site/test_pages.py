"""Every built page in Chromium, over http and from file://, without other hosts."""

from __future__ import annotations

from typing import Any

import browser
import pytest

from dpofield.widgets.demo import DEMOS
from tests.site.conftest import CHAPTERS

pytestmark = [pytest.mark.built, pytest.mark.browser]

OTHERS = ["genindex.html", "prf-prf.html", "search.html"]
PAGES = [*CHAPTERS, *(f"demos/{name}.html" for name in DEMOS), *OTHERS]
SIZES = """() => [...document.querySelectorAll(".dpf")].map((root) => ({
  box: root.closest(".dpofield-widget").offsetHeight,
  has: root.clientHeight, needs: root.scrollHeight,
  wider: [...root.children].filter((e) => !e.matches(".dpf-unseen"))
    .filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.className),
}))"""
# The theme makes a scrolling code block focusable only 0.3 s after a change of width.
REACHED = """() => [...document.querySelectorAll("pre")].every((block) =>
  block.scrollWidth <= block.clientWidth || block.tabIndex === 0)"""


def scroll_through(page: Any) -> None:
    """Bring every figure near the viewport, as a reader does, and wait until it runs."""
    page.evaluate(
        """async () => {
          for (let y = 0; y < document.documentElement.scrollHeight; y += 600) {
            scrollTo(0, y);
            await new Promise((done) => setTimeout(done, 30));
          }
        }"""
    )
    for widget in page.locator(".dpofield-widget").all():
        widget.scroll_into_view_if_needed()
        page.wait_for_function(
            "box => box.dataset.mounted && box.dataset.mounted !== ''",
            arg=widget.element_handle(),
            timeout=20_000,
        )
        assert widget.get_attribute("data-mounted") == "1", widget.inner_text()


def test_every_page_is_visited() -> None:
    """PAGES, from the table of contents, has all pages of the site, so the tests below miss none;
    every demo has the name that the links in chapters use."""
    assert sorted([*PAGES, "index.html"]) == browser.pages()


def test_figures_are_in_the_book() -> None:
    """The chapters have at least as many figures as demos, so the tests below check figures."""
    texts = [(browser.HTML / name).read_text("utf8") for name in CHAPTERS]
    assert sum(text.count('class="dpofield-widget') for text in texts) >= len(DEMOS)


@pytest.mark.parametrize("name", PAGES)
def test_page_is_whole_from_a_folder(visit: Any, name: str) -> None:
    """From file://, no request goes to another host, nothing fails, the console is empty, and every
    widget runs."""
    seen = visit((browser.HTML / name).as_uri())
    scroll_through(seen.page)
    assert (seen.outside, seen.failed, seen.errors) == ([], [], [])


@pytest.mark.parametrize(("scheme", "widths"), [("light", (1280, 768, 390)), ("dark", (390, 1280))])
@pytest.mark.parametrize("name", PAGES)
def test_page_is_for_everybody(
    visit: Any, site: str, subtests: Any, name: str, scheme: str, widths: tuple[int, ...]
) -> None:
    """Over http, on wide and narrow screens, light and dark. No request goes to another host,
    nothing fails, the console is empty and every widget runs. The page does not move, although its
    fonts arrive late. axe finds nothing, and nothing is wider than the page. Scrolling boxes are
    reachable by keyboard. Figures fill their reserved space, and one of two images is visible."""
    seen = visit(f"{site}/{name}", scheme=scheme, width=widths[0], late_fonts=True)
    page = seen.page
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    scroll_through(page)
    with subtests.test("the page does not move"):
        shift, first = seen.moved()
        assert shift < 0.01, first
    with subtests.test("one side of a figure is seen"):
        one_side_of_each_figure(page, scheme)
    for width in widths:  # wide formulas and tables scroll in their boxes
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(REACHED)
        with subtests.test(f"nothing sticks out at {width}"):
            assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        with subtests.test(f"figures fill their room at {width}"):
            page.evaluate("() => new Promise((r) => requestAnimationFrame(() => setTimeout(r)))")
            for found in page.evaluate(SIZES):
                assert found["box"] == found["has"] == found["needs"]
                assert found["wider"] == []
        if width in (1280, 390):
            with subtests.test(f"axe at {width}"):
                found = [f"{f['id']} ({f['impact']}): {f['nodes'][:3]}" for f in browser.axe(page)]
                assert not found, "\n".join(found)
        if width == 390:
            with subtests.test("a wide formula is reached by keyboard"):
                assert (
                    page.evaluate(
                        """() => [...document.querySelectorAll(".math-scroll")].filter((box) =>
                      box.scrollWidth > box.clientWidth + 1 && box.tabIndex !== 0).length"""
                    )
                    == 0
                )
    assert (seen.outside, seen.failed, seen.errors) == ([], [], [])
    assert page.evaluate("typeof MathJax") == "undefined"


def one_side_of_each_figure(page: Any, scheme: str) -> None:
    """In either theme one of a figure's two images is visible, on the background of the page, with
    its caption."""
    for twins in page.locator(".twins").all():
        shown = [image for image in twins.locator("img").all() if image.is_visible()]
        assert len(shown) == 1
        assert f"only-{scheme}" in shown[0].get_attribute("class")
        ground = shown[0].evaluate("image => getComputedStyle(image).backgroundColor")
        assert ground == "rgba(0, 0, 0, 0)", f"{ground} behind a figure"
    for caption in page.locator("figcaption").all():
        assert caption.is_visible() or caption.locator("xpath=ancestor::details").count()


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
    """The rocket button opens this page on Binder in JupyterLab; the source can be downloaded."""
    name = next(name for name in CHAPTERS if name.startswith("book/theorem"))
    page = visit(f"{site}/{name}").page
    rocket = page.locator("a[href*='mybinder.org']").get_attribute("href")
    assert "urlpath=lab/tree/" in rocket
    assert rocket.endswith(name.replace("book/", "notebooks/").replace(".html", ".ipynb"))
    source = page.locator("a.btn-download-source-button").get_attribute("href")
    assert (browser.HTML / name).parent.joinpath(source).is_file()
