"""The figures' stand-alone pages, published beside the book as `demos/<name>.html`.

A chapter links one with plain HTML: `<a href="../demos/field-explorer.html">its own page</a>`.
"""

from __future__ import annotations

from pathlib import Path

from sphinx.application import Sphinx

from dpofield.widgets.demo import write_demos


def _write(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        write_demos(Path(app.outdir) / "demos")


def setup(app: Sphinx) -> None:
    """Write the pages once the book is written."""
    app.connect("build-finished", _write)
