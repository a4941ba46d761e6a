"""The book's own Sphinx extension: mathematics, figures, widgets and the trimmed theme.

Each module has one task and its own `setup`; `_config.yml` loads this package once.
"""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx

from . import (
    accessibility,
    demos,
    figures,
    fonts,
    freshness,
    mathml,
    notebooks,
    palette,
    styles,
    theme,
    widgets,
)

PARTS = (
    freshness, mathml, theme, widgets, demos, figures, accessibility, palette, styles, fonts,
    notebooks,
)  # fmt: skip


def setup(app: Sphinx) -> dict[str, Any]:
    """Load every part; the priorities set the order of the page handlers."""
    for part in PARTS:
        part.setup(app)
    # The writer uses one Node process, so only one process may write pages.
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": False}
