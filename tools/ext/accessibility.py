"""Corrections of what axe finds in the pages of the theme and the extensions."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx


def mend(body: str) -> str:
    """The body of a page with corrected roles, names and keyboard access.

    >>> mend('<div role="list" class="citation-list"><div role="doc-biblioentry">')
    '<div class="citation-list"><div>'
    >>> mend('<th class="head"><p></p></th>')
    '<td></td>'
    >>> mend("<pre>x</pre>")
    '<pre tabindex="0">x</pre>'
    """
    # docutils writes lists without list items, and entries outside a bibliography
    body = re.sub(r'\srole="(?:list|doc-biblioentry|doc-backlink|doc-noteref)"', "", body)
    # the visible text is the accessible name
    body = body.replace('<summary aria-label="Toggle hidden content">', "<summary>")
    # the empty corner above an index is not a header
    body = re.sub(r"<th[^>]*>\s*(?:<p>\s*</p>)?\s*</th>", "<td></td>", body)
    # wide tables scroll, and must be reachable by keyboard
    body = body.replace(
        '<div class="output text_html">', '<div class="output text_html" tabindex="0">'
    )
    # a code block wider than the page must be reachable by keyboard
    return body.replace("<pre>", '<pre tabindex="0">')


def _page(app: Sphinx, pagename: str, _: str, context: dict[str, Any], __: Any) -> None:
    if "body" in context:
        context["body"] = mend(context["body"])


def setup(app: Sphinx) -> None:
    """Correct the body of each page."""
    app.connect("html-page-context", _page, priority=820)
