"""Static figures, one module per chapter that draws, named by the chapter's slug.

Shared by the chapters: `style` (the house style), `field` (arrows and flow lines in a chart),
`notes` (words beside a place), `cover`. Every function draws plain numbers on the `Axes` it is
given; what it draws is computed elsewhere.
"""

from __future__ import annotations

from dpofield.figures import style

__all__ = ["style"]
