"""Room for each widget before its script runs, so that the page does not jump.

MyST-NB writes a view script where the widget goes and one state script a page. The view is put in
a box of the height the widget asks for in its traits `_height` and `_height_narrow` (px).
"""

from __future__ import annotations

import json
import re
from typing import Any

from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

STATE = "application/vnd.jupyter.widget-state+json"
VIEW = re.compile(
    r'<script type="application/vnd\.jupyter\.widget-view\+json">(.*?)</script>', re.DOTALL
)
HEIGHT = 420  # px, for a widget that does not say


def box(script: str, state: dict[str, Any]) -> str:
    """The view script inside a box as tall as the widget will be."""
    wide = int(state.get("_height", HEIGHT))
    narrow = int(state.get("_height_narrow", wide))
    return (
        f'<div class="dpofield-widget" style="--wide:{wide}px;--narrow:{narrow}px">{script}'
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

    def place(view: re.Match[str]) -> str:
        state = models.get(json.loads(view[1])["model_id"], {}).get("state", {})
        if "_esm" not in state:
            logger.warning(
                "a widget that is not an anywidget cannot run in this page", location=pagename
            )
        return box(view[0], state)

    context["body"] = VIEW.sub(place, body)


def setup(app: Sphinx) -> None:
    """Box the widgets of each page."""
    app.connect("html-page-context", _page, priority=800)
