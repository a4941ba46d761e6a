"""The stand-alone pages of the figures, published beside the book as `demos/<name>.html`.

A chapter links to one with plain HTML: `<a href="../demos/field-explorer.html">its own page</a>`.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import fingerprint as fp
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)


def _fingerprint() -> str:
    """Hash of the sources of the pages: the figures, everything they import, and the loader."""
    figures = fp.Snapshot().of_code(Path(__file__).read_text(encoding="utf-8"))
    return fp.hash_files(fp.files_under(fp.ROOT / "tools" / "assets"), fp.ROOT, figures)


def _write(app: Sphinx, error: Exception | None) -> None:
    if error is not None or app.builder.format != "html":
        return
    folder = Path(app.outdir) / "demos"
    # Importing every figure is slow, so the pages are written only after a change.
    mark = Path(app.outdir).with_name("demos.complete")
    made_of = _fingerprint()
    if folder.is_dir() and mark.is_file() and mark.read_text(encoding="utf-8") == made_of:
        return
    mark.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    # A figure prints its formulas when it is imported. If a formula is wrong, the chapters must
    # still be written, because they show the error. No demo is better than an outdated one.
    try:
        from dpofield.widgets.demo import write_demos

        write_demos(folder)
    except Exception as reason:
        shutil.rmtree(folder, ignore_errors=True)  # and no incomplete set
        logger.warning("no demo pages: %s: %s", type(reason).__name__, reason)
    else:
        fp.write_whole(mark, made_of)


def setup(app: Sphinx) -> None:
    """Write the pages after the book."""
    app.connect("build-finished", _write)
