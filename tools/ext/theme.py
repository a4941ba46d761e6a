"""Remove from the theme what the book does not need: blocking scripts and thebe.

The templates beside this file override blocks of the theme; this module sets their variables.
"""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

DESCRIPTION_LENGTH = 160  # what search engines show


def description(text: str) -> str:
    """The text cut at a word, to the length that search engines show.

    >>> description("one  two\\nthree")
    'one two three'
    >>> len(description("word " * 100)) <= DESCRIPTION_LENGTH
    True
    """
    text = " ".join(text.split())
    if len(text) <= DESCRIPTION_LENGTH:
        return text
    return text[: DESCRIPTION_LENGTH - 1].rsplit(" ", 1)[0].rstrip(",;:") + "…"


def _first_paragraph(doctree: nodes.document | None) -> str:
    if doctree is None:
        return ""
    for paragraph in doctree.findall(nodes.paragraph):
        prose = not isinstance(paragraph.parent, (nodes.list_item, nodes.entry, nodes.admonition))
        text = " ".join(
            child.astext()
            for child in paragraph.children
            if not isinstance(child, (nodes.math_block, nodes.raw))
        )
        if prose and len(text) > 40:
            return re.sub(r"\\[a-zA-Z]+|[${}]", "", text)
    return ""


def _page(
    app: Sphinx, pagename: str, _: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    scripts = []
    for script in context.get("script_files", []):
        body, name = script.attributes.get("body") or "", str(script.filename or "")
        # sphinx-thebe defines its constants twice, and no page runs code
        if "thebe" in body.lower() or "thebe" in name:
            continue
        # only the version switcher uses it, and it would run before the deferred options
        if body.startswith("DOCUMENTATION_OPTIONS."):
            continue
        # inline scripts of the search page and the indices do not wait for deferred scripts
        if (
            name
            and pagename in app.env.all_docs
            and not {"defer", "async"} & set(script.attributes)
        ):
            # a copy, because all pages share the object
            words = {**script.attributes, "defer": "defer"}
            script = type(script)(script.filename, priority=script.priority, **words)
        scripts.append(script)
    context["script_files"] = scripts

    metatags = context.get("metatags", "")
    if 'name="description"' not in metatags:
        meta = app.env.metadata.get(pagename, {}).get("description", "")
        text = description(
            meta or _first_paragraph(doctree) or f"{pagename}: {app.config.html_title}"
        )
        metatags += f'\n<meta name="description" content="{escape(text)}" />'
    context["metatags"] = metatags
    context["fonts"] = fonts(context.get("body", ""))


def fonts(body: str) -> list[dict[str, str]]:
    """The fonts that a page needs at once, as CSS descriptors with their files.

    >>> [font["file"] for font in fonts("<p>An <em>edit</em> of <math>x</math>")]
    ['text', 'text-bold', 'text-italic', 'math']
    """
    text = {"family": "STIX Two Text"}
    found = [text | {"file": "text"}, text | {"file": "text-bold", "weight": "600 700"}]
    if re.search(r"<(em|i|cite)\b", body) or "dpofield-widget" in body:
        found.append(text | {"file": "text-italic", "style": "italic"})
    if "<math" in body:
        found.append({"family": "STIX2", "file": "math"})
    return found


def _templates(app: Sphinx, config: Any) -> None:
    config.templates_path.append(str(Path(__file__).with_name("templates")))
    config.html_context["default_mode"] = "auto"


def setup(app: Sphinx) -> None:
    """Use our templates before the theme's, and change the context of each page."""
    app.connect("config-inited", _templates)
    app.connect("html-page-context", _page, priority=900)
