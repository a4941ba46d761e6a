"""Room for each widget before its script runs, so that the page does not jump.

MyST-NB writes a view script where the widget goes and one state script a page. The view is put in
a box of the height the widget asks for in its traits `_height` and `_height_narrow` (px). The box's
id is the figure's name in the page's address: its class, and a number from the second one on. No
heading has such an id, for Sphinx writes them in lower case.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

STATE = "application/vnd.jupyter.widget-state+json"
VIEW = re.compile(
    r'<script type="application/vnd\.jupyter\.widget-view\+json">(.*?)</script>', re.DOTALL
)
HEIGHT = 420  # px, for a widget that does not say


def name(state: dict[str, Any], before: Counter[str]) -> str:
    """The id of a widget's box; `before` counts the boxes of the page so far, by class.

    >>> seen = Counter()
    >>> state = {"_anywidget_id": "dpofield.widgets.cap_explorer.CapExplorer"}
    >>> name(state, seen), name(state, seen)
    ('CapExplorer', 'CapExplorer-2')
    """
    kind = state.get("_anywidget_id", "Widget").rpartition(".")[2]
    before[kind] += 1
    return kind if before[kind] == 1 else f"{kind}-{before[kind]}"


def box(script: str, state: dict[str, Any], name: str) -> str:
    """The view script inside a box as tall as the widget will be, with its name as id."""
    wide = int(state.get("_height", HEIGHT))
    narrow = int(state.get("_height_narrow", wide))
    return (
        f'<div class="dpofield-widget" id="{name}" style="--wide:{wide}px;--narrow:{narrow}px">'
        f"{script}"
        "<noscript>This figure moves with JavaScript, which is off in this browser."
        "</noscript></div>"
    )


def _page(app: Sphinx, pagename: str, _: str, context: dict[str, Any], __: Any) -> None:
    body = context.get("body", "")
    if not VIEW.search(body):
        return
    models: dict[str, Any] = {}
    for script in context.get("script_files", []):
        if script.attributes.get("type") == STATE:
            models.update(json.loads(script.attributes["body"])["state"])

    seen: Counter[str] = Counter()

    def place(view: re.Match[str]) -> str:
        state = models.get(json.loads(view[1])["model_id"], {}).get("state", {})
        if "_esm" not in state:
            logger.warning(
                "a widget that is not an anywidget cannot run in this page", location=pagename
            )
        return box(view[0], state, name(state, seen))

    context["body"] = VIEW.sub(place, body)


def setup(app: Sphinx) -> None:
    """Box the widgets of each page."""
    app.connect("html-page-context", _page, priority=800)
