"""The palette as custom properties of CSS, light and dark."""

from __future__ import annotations

from functools import cache

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_hex, to_rgb

from dpofield.palette import MAGNITUDE, PALETTE

MAGNITUDE_STEPS = 6  # colours of the arrows, weakest to strongest


@cache
def tokens_css(scope: str) -> str:
    """The palette as custom properties of `scope`, light and dark, for each way to set the theme.

    The book sets `html[data-theme]`, JupyterLab `body[data-jp-theme-light]`. A bare page sets
    neither and follows the system. Later rules have precedence.
    """

    magnitude = LinearSegmentedColormap.from_list("magnitude", MAGNITUDE)

    def rules(dark: bool) -> str:
        colours = {role: pair[dark] for role, pair in PALETTE.items()}
        for step in range(MAGNITUDE_STEPS):
            tone = to_hex(magnitude(step / (MAGNITUDE_STEPS - 1)))
            colours[f"magnitude-{step}"] = legible(tone, colours["surface"], colours["text"])
        return " ".join(f"--{role}: {colour};" for role, colour in colours.items())

    light, dark = rules(False), rules(True)
    system = f"html:not([data-theme]) {scope}"
    return (
        f"{scope} {{ {light} color-scheme: light; }}\n"
        f"@media (prefers-color-scheme: dark) {{ {system} {{ {dark} color-scheme: dark; }} }}\n"
        f'html[data-theme="dark"] {scope}, html body[data-jp-theme-light="false"] {scope} '
        f"{{ {dark} color-scheme: dark; }}\n"
        f'html body[data-jp-theme-light="true"] {scope} {{ {light} color-scheme: light; }}\n'
    )


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, 1 to 21 (WCAG 2.2).

    >>> round(contrast("#000000", "#ffffff"), 1)
    21.0
    """

    def luminance(colour: str) -> float:
        rgb = np.array(to_rgb(colour))
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def legible(colour: str, surface: str, text: str, least: float = 3.0) -> str:
    """`colour`, mixed with the text's colour until it stands out from the surface.

    >>> legible("#aaaaaa", "#000000", "#ffffff")
    '#aaaaaa'
    >>> contrast(legible("#aaaaaa", "#ffffff", "#000000"), "#ffffff") >= 3
    True
    """
    for share in np.linspace(0, 1, 21):
        mixed = to_hex((1 - share) * np.array(to_rgb(colour)) + share * np.array(to_rgb(text)))
        if contrast(mixed, surface) >= least:
            break
    return str(mixed)
