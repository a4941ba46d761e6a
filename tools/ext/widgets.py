"""Reserve the space of each widget, so that the page does not jump when its script runs.

The space also has a still picture, for paper and for pages without scripts.

MyST-NB writes one view script per widget and one state script per page. The view script is put in a
box whose height comes from the widget's traits `_height` and `_height_narrow` (px). The id of the
box is the figure's name in the page's address: its class, with a number from the second box on. No
heading has such an id, because Sphinx writes the ids of headings in lower case.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections import Counter
from html import escape, unescape
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

STATE = "application/vnd.jupyter.widget-state+json"
VIEW = re.compile(
    r'<script type="application/vnd\.jupyter\.widget-view\+json">(.*?)</script>', re.DOTALL
)
HEIGHT = 420  # px, for a widget without these traits
STILLS = Path(__file__).parents[2] / "book" / "assets" / "stills"  # made by tools/stills.py


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


def code(state: dict[str, Any]) -> str:
    """Short hash of a figure's script and style sheet."""
    text = json.dumps([state.get("_esm"), state.get("_css")])
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def still_name(page: str, figure: str, code: str) -> str:
    """File name of the picture of a figure on a page, drawn by this code.

    >>> still_name("book/index.html", "FieldExplorer", "0a1b2c3d")
    'book-index-FieldExplorer-0a1b2c3d.svg'
    """
    return f"{page.removesuffix('.html').replace('/', '-')}-{figure}-{code}.svg"


def still(svg: str, address: str) -> str:
    """The picture as an `img` tag whose alt text is the description of the figure.

    >>> still('<svg width="700" height="60"><desc>u &lt; v</desc></svg>', "a.svg")
    '<img class="still" loading="lazy" src="a.svg" width="700" height="60" alt="u &lt; v"/>'
    """
    size = re.search(r'<svg[^>]* width="(\d+)" height="(\d+)"', svg)
    words = re.search(r"<desc[^>]*>(.*?)</desc>", svg, re.DOTALL)
    if not (size and words):
        raise ValueError("this picture was not made by tools/stills.py: make it again")
    alt = escape(unescape(words[1]))
    return (  # lazy: fetched only when shown, on paper or without scripts
        f'<img class="still" loading="lazy" src="{address}" '
        f'width="{size[1]}" height="{size[2]}" alt="{alt}"/>'
    )


def box(script: str, state: dict[str, Any], name: str, picture: str = "") -> str:
    """The view script inside a box of the widget's height, with the widget's name as id."""
    wide = int(state.get("_height", HEIGHT))
    narrow = int(state.get("_height_narrow", wide))
    return (
        f'<div class="dpofield-widget" id="{name}" data-code="{code(state)}" '
        f'style="--wide:{wide}px;--narrow:{narrow}px">{script}{picture}'
        "<noscript><p>This figure moves with JavaScript, which is off in this browser."
        "</p></noscript></div>"
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
        figure = name(state, seen)
        path = STILLS / still_name(f"{pagename}.html", figure, code(state))
        if not path.is_file():  # made after the site is built; a test requires all of them
            return box(view[0], state, figure)
        address = context["pathto"](f"_static/stills/{path.name}", 1)
        return box(view[0], state, figure, still(path.read_text("utf8"), address))

    context["body"] = VIEW.sub(place, body)


def _finish(app: Sphinx, error: Exception | None) -> None:
    if error is not None or app.builder.format != "html":
        return
    folder = Path(app.outdir, "_static", "stills")
    shutil.rmtree(folder, ignore_errors=True)
    if STILLS.is_dir():
        shutil.copytree(STILLS, folder)


def _pictures(_: Sphinx, config: Any) -> None:
    # changed pictures change the pages: Sphinx compares this value with the last build's
    config["dpofield_stills"] = [
        hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(STILLS.glob("*.svg"))
    ]


def setup(app: Sphinx) -> None:
    """Put each widget of a page in a box."""
    app.add_config_value("dpofield_stills", [], "env", frozenset({list}))
    app.connect("config-inited", _pictures)
    app.connect("html-page-context", _page, priority=800)
    app.connect("build-finished", _finish)
