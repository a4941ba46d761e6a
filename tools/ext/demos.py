"""The figures' stand-alone pages, published beside the book as `demos/<name>.html`.

A chapter links one with plain HTML: `<a href="../demos/field-explorer.html">its own page</a>`.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)


def _write(app: Sphinx, error: Exception | None) -> None:
    if error is not None or app.builder.format != "html":
        return
    folder = Path(app.outdir) / "demos"
    shutil.rmtree(folder, ignore_errors=True)
    # A figure prints its formulas when it is imported. Where one of them is wrong the chapters must
    # still be written, for they show what failed; no demo is better than an old one.
    try:
        from dpofield.widgets.demo import write_demos

        write_demos(folder)
    except Exception as reason:
        shutil.rmtree(folder, ignore_errors=True)  # not half of them either
        logger.warning("no demo pages: %s: %s", type(reason).__name__, reason)


def setup(app: Sphinx) -> None:
    """Write the pages once the book is written."""
    app.connect("build-finished", _write)
