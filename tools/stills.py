"""Save still pictures of the interactive figures, for pages without JavaScript.

`python tools/stills.py` opens every figure of the built site and saves its view, as a reader does
with "Save SVG", to `book/assets/stills`. Run it after a change to a figure, then build again: the
page does not show a picture from other code (tools/ext/widgets.py), and a test fails.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browser
from ext.widgets import STILLS, still_name
from fingerprint import why_not_current
from tqdm import tqdm

FIGURE = 'class="dpofield-widget"'
WIDTH = 1280  # px, of the window; figures are as wide as the text
# Seed Math.random so that element ids, and so the stills, are reproducible.
SAME_LOT = "let lot = 0.5; Math.random = () => (lot = (lot * 9301 + 0.49297) % 1);"
# Figure -> slider that is moved to its end first, because at its start nothing has moved.
TO_THE_END = {"RunPlayer": "step"}


def pages_with_figures() -> list[str]:
    """The book's pages with interactive figures."""
    pages = [name for name in browser.pages() if name.startswith("book/")]
    return [name for name in pages if FIGURE in (browser.HTML / name).read_text("utf8")]


def save(page: Any, box: Any) -> str:
    """The SVG of a figure in an open page, from its button."""
    box.scroll_into_view_if_needed()
    page.wait_for_function(
        "box => box.dataset.mounted && box.dataset.mounted !== ''", arg=box.element_handle()
    )
    slider = TO_THE_END.get(box.get_attribute("id"))
    if slider:
        box.get_by_role("slider", name=slider).press("End")
    with page.expect_download() as download:
        box.get_by_role("button", name="Save SVG").click()
    text: str = Path(download.value.path()).read_text("utf8")
    return text


def figures(chrome: Any, site: str, pages: list[str]) -> Iterator[tuple[str, str]]:
    """Name and SVG of every figure on these pages, in light mode."""
    for name in pages:
        context = chrome.new_context(viewport={"width": WIDTH, "height": 900}, color_scheme="light")
        context.add_init_script(SAME_LOT)
        page = context.new_page()
        page.goto(f"{site}/{name}")
        for box in page.locator(".dpofield-widget").all():
            svg = save(page, box)
            yield still_name(name, box.get_attribute("id"), box.get_attribute("data-code")), svg
        context.close()


def main() -> None:
    """Write the pictures of the built site; remove those of figures that no longer exist."""
    if why := why_not_current():
        sys.exit(f"{why}: run `make book` first")
    pages = pages_with_figures()
    STILLS.mkdir(parents=True, exist_ok=True)
    with browser.serve() as site, browser.browser() as chrome:
        made = dict(tqdm(figures(chrome, site, pages), desc="stills", unit="figure"))
    for path in STILLS.glob("*.svg"):
        if path.name not in made:
            path.unlink()
    for name, svg in made.items():
        (STILLS / name).write_text(svg + "\n", "utf8")
    print(f"{len(made)} pictures in {STILLS.relative_to(browser.ROOT)}")


if __name__ == "__main__":
    main()
