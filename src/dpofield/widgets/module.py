"""What a figure's JavaScript is made of: printed formulas, palette tokens, hand-written drawing.

No formula stands in a `.js` file. Every function that computes a number of the mathematics is
printed from SymPy here; the files in `js/` only lay out, draw and listen.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import sympy as sp
from matplotlib.colors import to_hex, to_rgb

from dpofield.field.style import MAGNITUDE, PALETTE
from dpofield.formulas import CHARTS, LOSSES, Chart, Loss
from dpofield.formulas.parameters import Parameter
from dpofield.formulas.printers import JS_PRELUDE, js_function
from dpofield.formulas.symbols import u, v

FOLDER = Path(__file__).with_name("js")
MAGNITUDE_STEPS = 6  # colours of the arrows, weakest to strongest
RATIO, PROBABILITY = CHARTS["ratio"], CHARTS["probability"]


def read(name: str) -> str:
    """The text of a file in `js/`."""
    return (FOLDER / name).read_text(encoding="utf-8")


def _function(
    arguments: tuple[sp.Symbol, ...], exprs: tuple[sp.Expr, ...], params: tuple[Parameter, ...]
) -> str:
    names = {p.symbol: p.name for p in params}
    return js_function((*arguments, *names), exprs, names)


def plain(expr: sp.Expr, chart: Chart) -> str:
    """A polynomial of the coordinates as text with `$` around mathematics, preferred first.

    >>> plain(CHARTS["probability"].invariant, CHARTS["probability"])
    '$pi_w² + pi_l²$'
    """
    places = sp.symbols("A B")
    text = str(expr.xreplace(dict(zip(chart.coordinates, places, strict=True))))
    for place, coordinate in zip(places, chart.coordinates, strict=True):
        text = text.replace(str(place), str(coordinate))
    return f"${text.replace('**2', '²')}$"


def chart_functions(chart: Chart, loss: Loss) -> dict[str, str]:
    """The JavaScript functions of a loss in a chart, by name.

    Arguments: the two coordinates (or u, v), then the loss's parameters where the loss enters,
    then the chart's own (`ref_w`, ...). Each returns an array.
    """
    a_b = chart.coordinates
    slopes = tuple(sp.diff(chart.invariant, c) for c in a_b)
    betas = tuple(p.symbol for p in loss.params)
    return {
        "loss": _function((*a_b, *betas), (chart.pull_back(loss.expr),), chart.params),
        "gradient": _function((*a_b, *betas), chart.gradient(loss), chart.params),
        "toLogratios": _function(a_b, chart.logratios, chart.params),
        "fromLogratios": _function((u, v), chart.coordinates_of, chart.params),
        "invariant": _function(a_b, (chart.invariant, *slopes), ()),
    }


def _bound(value: sp.Expr) -> float | None:
    """A finite bound as a number; JSON has no infinity."""
    return float(value) if value.is_finite else None


def chart_facts(chart: Chart) -> dict[str, Any]:
    """What JavaScript must know of a chart beside its functions: names, domain, parameters."""
    return {
        "title": chart.title,
        "coordinates": [f"${c}$" for c in chart.coordinates],
        "low": _bound(chart.domain.start),
        "high": _bound(chart.domain.end),
        "highOpen": bool(chart.domain.right_open),
        "meaning": chart.domain_meaning,
        "params": [p.default for p in chart.params],
        "conserved": plain(chart.invariant, chart),
    }


@cache
def formulas_js(loss: str = "dpo") -> str:
    """`FORMULAS`: every chart with its printed functions; and two numbers every chart shares."""
    parts = []
    for name, chart in CHARTS.items():
        functions = chart_functions(chart, LOSSES[loss])
        body = ",\n".join(f"    {key}: {function}" for key, function in functions.items())
        facts = json.dumps(chart_facts(chart), ensure_ascii=False)
        parts.append(f'  "{name}": {{\n    facts: {facts},\n{body},\n  }}')
    x1, x2 = RATIO.coordinates_of
    both = sum(PROBABILITY.coordinates_of)
    names = PROBABILITY.params
    return (
        f"// Printed from SymPy by dpofield.widgets.module: do not edit.\n{JS_PRELUDE}"
        + "export const FORMULAS = {\n"
        + ",\n".join(parts)
        + "\n};\n"
        + f"const corollaryOne = {js_function((u, v), (x2 / x1,))};\n"
        + f"const bothProbabilities = {_function((u, v), (both,), names)};\n"
        + f"const REFERENCES = {json.dumps([p.default for p in names])};\n"
    )


def tokens_css(scope: str) -> str:
    """The palette as custom properties of `scope`, light and dark, by whatever names the theme.

    The book sets `html[data-theme]`, JupyterLab `body[data-jp-theme-light]`, a bare page nothing:
    there the system decides. Later rules win, so the order below is the order of precedence.
    """

    def rules(dark: bool) -> str:
        colours = {role: pair[dark] for role, pair in PALETTE.items()}
        for step in range(MAGNITUDE_STEPS):
            tone = to_hex(MAGNITUDE(step / (MAGNITUDE_STEPS - 1)))
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

    >>> legible("#c3c34a", "#171b22", "#e8eaef")
    '#c3c34a'
    >>> contrast(legible("#c3c34a", "#fefefe", "#1f2430"), "#fefefe") >= 3
    True
    """
    for share in np.linspace(0, 1, 21):
        mixed = to_hex((1 - share) * np.array(to_rgb(colour)) + share * np.array(to_rgb(text)))
        if contrast(mixed, surface) >= least:
            break
    return str(mixed)
