"""The colours of the book; no other file defines one.

Static figures and their dark copies, moving figures, style sheets, the favicon and the cover use
them. The data colours are based on Okabe and Ito's palette, which is distinct under the common
forms of colour blindness.
"""

from __future__ import annotations

PALETTE: dict[str, tuple[str, str]] = {
    "text": ("#1f2430", "#e8eaef"),
    "muted": ("#5b6472", "#a3acba"),
    "grid": ("#d9dde4", "#3a4150"),
    "surface": ("#fefefe", "#171b22"),
    "preferred": ("#0072b2", "#56b4e9"),
    "dispreferred": ("#c44e00", "#ff9248"),
    "model": ("#00795a", "#2fc79a"),
    "reference": ("#8a4f7d", "#d69ac9"),
    "accent": ("#946800", "#f0c244"),
}
"""Colour by role: (on a light page, on a dark page)."""

PAGE: dict[str, tuple[str, str]] = {
    "heading": (PALETTE["text"][0], "#f4f5f8"),
    "aside": ("#525b69", "#a9b2bf"),
    "panel": ("#f3f5f8", "#20262f"),
    "raised": (PALETTE["surface"][0], "#1f2530"),
    "link": ("#00629b", "#6cbef0"),
    "hover": ("#b34700", "#ffa569"),
    "code": ("#7a3e00", "#f3c98b"),
    "target": ("#fff3d1", "#4a3d17"),
    "exercise": ("#0e9f76", "#0e9f76"),
}
"""Colours of page elements that figures do not have, as above: captions, code, links, boxes."""

MAGNITUDE = ("#3b4a8c", "#2f7f9e", "#3fae8a", "#c3c34a", "#f0a030")
"""Stops of the sequential map for magnitudes; mid-tones, as light and dark pages share it."""

ON_HEAT = ("#10131a", "#f4f5f7")
"""Text and halo over a heat map; these keep their colours in dark mode, as the heat map does."""
