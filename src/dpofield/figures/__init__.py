"""Static figures, one module per chapter with figures, named by the chapter's slug.

Shared modules: `style` (the house style), `field` (arrows and flow lines in a chart), `intervals`
(values with intervals), `notes` (text beside a point), `cover`. The functions draw on the `Axes`
that the caller passes.
"""

from __future__ import annotations

from dpofield.figures import style

__all__ = ["style"]
