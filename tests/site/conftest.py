"""The built site over http and from file://, and a Chromium whose requests are recorded."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import browser
import pytest
import yaml

TOC = yaml.safe_load((browser.ROOT / "_toc.yml").read_text("utf8"))
CHAPTERS = [
    f"{file}.html"
    for file in [TOC["root"], *(c["file"] for part in TOC["parts"] for c in part["chapters"])]
]
"""The pages of the table of contents; the list of tests then needs no built site."""

LATE = 0.15  # s, by which fonts are delayed; they must not move the page then
# Layout shifts as the browser counts them for CLS; the tests use their sum.
MOVES = """window.moves = [];
new PerformanceObserver((list) => window.moves.push(...list.getEntries())).observe(
  { type: "layout-shift", buffered: true });"""


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    """Address of the built site on loopback."""
    with browser.serve() as address:
        yield address


@dataclass
class Visit:
    """An open page with its requests to other hosts, failed requests and console errors."""

    page: Any
    outside: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def moved(self) -> tuple[float, str]:
        """Sum of layout shifts without user input (fractions of the window), and the first text."""
        moves = self.page.evaluate(
            """() => moves.filter((move) => !move.hadRecentInput).map((move) => [move.value,
              move.sources.map(({ node }) => node?.textContent?.slice(0, 60)).join("; ")])"""
        )
        return sum(value for value, _ in moves), moves[0][1] if moves else ""


@pytest.fixture
def visit(chrome: Any) -> Iterator[Any]:
    """Open a page; requests to other hosts are blocked and recorded."""
    contexts = []

    def go(
        url: str,
        *,
        width: int = 1280,
        scheme: str = "light",
        late_fonts: bool = False,
        **options: Any,
    ) -> Visit:
        context = chrome.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, **options
        )
        contexts.append(context)
        seen = Visit(context.new_page())
        home = url.split("/", 3)[:3]

        def watch(route: Any) -> None:
            address = route.request.url
            if late_fonts and address.endswith(".woff2"):
                time.sleep(LATE)
            if address.split("/", 3)[:3] == home or address.startswith(("data:", "blob:")):
                route.continue_()
            else:
                seen.outside.append(address)
                route.abort()

        context.route("**/*", watch)
        context.add_init_script(MOVES)
        seen.page.on("requestfailed", lambda request: seen.failed.append(request.url))
        seen.page.on(
            "response",
            lambda answer: seen.failed.append(answer.url) if answer.status >= 400 else None,
        )
        seen.page.on(
            "console",
            lambda said: seen.errors.append(said.text) if said.type == "error" else None,
        )
        seen.page.on("pageerror", lambda error: seen.errors.append(str(error)))
        seen.page.goto(url, wait_until="load")
        return seen

    yield go
    for context in contexts:
        context.close()


@pytest.fixture
def built() -> Path:
    """Folder of the built site."""
    return browser.HTML
