"""The formulas of the field explorer, printed from SymPy: every chart with one loss."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import sympy as sp

from dpofield.formulas import CHARTS, LOSSES, Chart, Loss
from dpofield.formulas.symbols import u, v
from dpofield.widgets.figure import bound, printed

RATIO, PROBABILITY = CHARTS["ratio"], CHARTS["probability"]


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
        "loss": printed((*a_b, *betas), (chart.pull_back(loss.expr),), chart.params),
        "gradient": printed((*a_b, *betas), chart.gradient(loss), chart.params),
        "toLogratios": printed(a_b, chart.logratios, chart.params),
        "fromLogratios": printed((u, v), chart.coordinates_of, chart.params),
        "invariant": printed(a_b, (chart.invariant, *slopes)),
    }


def chart_facts(chart: Chart) -> dict[str, Any]:
    """What JavaScript must know of a chart beside its functions: names, domain, parameters."""
    return {
        "title": chart.title,
        "coordinates": [f"${c}$" for c in chart.coordinates],
        "low": bound(chart.domain.start),
        "high": bound(chart.domain.end),
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
        "export const FORMULAS = {\n"
        + ",\n".join(parts)
        + "\n};\n"
        + f"const corollaryOne = {printed((u, v), (x2 / x1,))};\n"
        + f"const bothProbabilities = {printed((u, v), (both,), names)};\n"
        + f"const REFERENCES = {json.dumps([p.default for p in names])};\n"
    )
