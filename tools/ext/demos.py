"""The figures' stand-alone pages, published beside the book as `demos/<name>.html`.

A chapter links one with plain HTML: `<a href="../demos/field-explorer.html">its own page</a>`.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import fingerprint as fp
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)


def _fingerprint() -> str:
    """Hash of what the pages are made of: the figures and all that they import, and the loader."""
    figures = fp.Snapshot().of_code(Path(__file__).read_text(encoding="utf-8"))
    return fp.hash_files(fp.files_under(fp.ROOT / "tools" / "assets"), fp.ROOT, figures)


def _write(app: Sphinx, error: Exception | None) -> None:
    if error is not None or app.builder.format != "html":
        return
    folder = Path(app.outdir) / "demos"
    # To import every figure takes longer than to read a page, so this is done when one changed.
    mark = Path(app.outdir).with_name("demos.complete")
    made_of = _fingerprint()
    if folder.is_dir() and mark.is_file() and mark.read_text(encoding="utf-8") == made_of:
        return
    mark.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    # A figure prints its formulas when it is imported. Where one of them is wrong the chapters must
    # still be written, for they show what failed; no demo is better than an old one.
    try:
        from dpofield.widgets.demo import write_demos

        write_demos(folder)
    except Exception as reason:
        shutil.rmtree(folder, ignore_errors=True)  # not half of them either
        logger.warning("no demo pages: %s: %s", type(reason).__name__, reason)
    else:
        fp.write_whole(mark, made_of)


def setup(app: Sphinx) -> None:
    """Write the pages once the book is written."""
    app.connect("build-finished", _write)
