"""The notebooks that readers download: each page as `takeaway` writes it, with its outputs.

The theme offers `_sources/book/SLUG.ipynb`, which MyST-NB made of the page's MyST Markdown. This
module replaces these files, and leads the rocket to the notebooks that `postBuild` makes on Binder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
from fingerprint import ROOT, write_whole
from jupyter_cache import get_cache
from pages import Book
from sphinx.application import Sphinx
from sphinx.util import logging
from takeaway import notebook

logger = logging.getLogger(__name__)


def _write(app: Sphinx, error: Exception | None) -> None:
    if error is not None or app.builder.format != "html":
        return
    book, cache = Book(ROOT), get_cache(Path(app.env.mystnb_config.execution_cache_path))
    for slug, source in book.sources.items():
        try:
            executed = cache.merge_match_into_notebook(source, cell_meta=())[1]
        except KeyError:  # built without execution
            executed = None
        try:
            text = nbformat.writes(notebook(book, slug, executed))
        except ValueError as reason:
            logger.warning("no notebook to download: %s", reason)
        else:
            write_whole(Path(app.outdir) / "_sources" / "book" / f"{slug}.ipynb", f"{text}\n")


def _rocket(_: Sphinx, page: str, __: str, context: dict[str, Any], ___: object) -> None:
    for group in context.get("header_buttons", []):
        for button in group.get("buttons", []):
            if button.get("url", "").endswith(f"lab/tree/{page}.md"):
                slug = page.removeprefix("book/")
                button["url"] = button["url"].replace(f"{page}.md", f"notebooks/{slug}.ipynb")


def setup(app: Sphinx) -> None:
    """Replace the files after the theme has copied them, and before the build counts as whole."""
    app.connect("html-page-context", _rocket, priority=900)
    app.connect("build-finished", _write, priority=900)
