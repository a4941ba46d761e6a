"""The built pages without a browser: valid links, titles, alt texts, no third party.

The standard library's parser reads the pages, independently of the code that wrote them.
"""

from __future__ import annotations

import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import browser
import pytest

pytestmark = pytest.mark.built


class Page(HTMLParser):
    """Ids, links, loaded files and images of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.meta: dict[str, str] = {}
        self.title = ""
        self.text = path.read_text("utf8")
        self.feed(self.text)
        found = re.search(r"<title>(.*?)</title>", self.text, flags=re.DOTALL)
        self.title = found[1].strip() if found else ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect what the tests need."""
        values = dict(attrs)
        if values.get("id"):
            self.ids.add(values["id"] or "")
        if tag == "a" and values.get("href"):
            self.links.append(values["href"] or "")
        if tag in ("script", "img", "iframe", "source") and values.get("src"):
            self.loaded.append(values["src"] or "")
        if tag == "link" and values.get("rel") not in ("canonical", "next", "prev", "search"):
            self.loaded.append(values.get("href") or "")
        if tag == "img":
            self.images.append(values)
        if tag == "meta" and values.get("name"):
            self.meta[values["name"] or ""] = values.get("content") or ""


@cache
def read(path: Path) -> Page:
    """A page, parsed once."""
    return Page(path)


def pages() -> list[str]:
    """All pages except the redirect at the root, which has no content."""
    return [name for name in browser.pages() if name != "index.html"]


def test_internal_links_and_anchors_resolve(built: Path) -> None:
    """Every internal link has an existing page and an existing anchor."""
    broken = []
    for name in pages():
        here = built / name
        for link in read(here).links + read(here).loaded:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (here.parent / unquote(parts.path)).resolve() if parts.path else here
            if not target.is_file():
                broken.append(f"{name}: {link}")
            elif parts.fragment and target.suffix == ".html":
                ids = read(target).ids
                if unquote(parts.fragment) not in ids:
                    broken.append(f"{name}: {link} has no such anchor")
    assert not broken, "\n".join(broken)


def test_nothing_is_loaded_from_another_host(built: Path) -> None:
    """No page refers to a script, style, font or image on another host."""
    outside = [
        f"{name}: {address}"
        for name in pages()
        for address in read(built / name).loaded
        if urlsplit(address).netloc
    ]
    assert not outside, "\n".join(outside)


def test_no_mathjax_and_no_widget_manager(built: Path) -> None:
    """Mathematics is in the page as MathML; widgets need only the book's own loader."""
    for name in pages():
        loaded = " ".join(read(built / name).loaded).lower()
        for word in ("mathjax", "require", "html-manager", "thebe", "fontawesome.js"):
            assert word not in loaded, f"{name} loads {word}"
        assert "math-error" not in read(built / name).text, f"{name} has a formula not typeset"


def test_titles_and_descriptions(built: Path) -> None:
    """Each page has the title of the book and its own description for search engines."""
    seen: dict[str, str] = {}
    for name in pages():
        page = read(built / name)
        assert "DPO Gradient Field" in page.title, f"{name} has the title {page.title!r}"
        description = page.meta.get("description", "")
        assert 10 < len(description) <= 160, f"{name} has the description {description!r}"
        assert not re.search(r"[$\\{}]", description), f"{name}: TeX in {description!r}"
        assert description not in seen, f"{name} and {seen.get(description)} say the same"
        seen[description] = name


def test_images_have_words_and_a_size(built: Path) -> None:
    """Every image has alt text that is not the hash of its file; figures have a size."""
    for name in pages():
        for image in read(built / name).images:
            alt = image.get("alt")
            assert alt, f"{name}: {image.get('src')} has no alt text"
            assert not re.search(r"[0-9a-f]{16}|_images/", alt), f"{name}: alt text {alt!r}"
            if "only-light" in (image.get("class") or ""):
                assert image.get("width"), f"{name}: {image.get('src')} has no width"
                assert image.get("height"), f"{name}: {image.get('src')} has no height"


def test_dark_twins_are_there(built: Path) -> None:
    """Each light figure has a dark copy on disk with other contents."""
    twins = 0
    for name in pages():
        for image in read(built / name).images:
            source = image.get("src") or ""
            if source.endswith(".dark.svg"):
                dark = (built / name).parent / source
                light = dark.with_name(dark.name.replace(".dark.svg", ".svg"))
                assert dark.read_bytes() != light.read_bytes(), dark.name
                twins += 1
    assert twins, "no page has a figure"


def test_fonts_are_small(built: Path) -> None:
    """The mathematics font is smaller than 100 KB, and icon fonts than 10 KB."""
    static = built / "_static"
    assert (static / "stix-math.woff2").stat().st_size < 100_000
    for icons in static.glob("vendor/fontawesome/webfonts/*"):
        assert icons.stat().st_size < 10_000, icons.name
