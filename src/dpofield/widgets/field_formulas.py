"""The formulas of the field explorer, printed from SymPy: charts, and losses in each chart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import sympy as sp

from dpofield.formulas import CHARTS, LOSSES, Chart, Loss
from dpofield.formulas.losses import BETA
from dpofield.formulas.symbols import u, v
from dpofield.widgets.figure import Code, bound, printed

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


def of_beta(loss: Loss, params: Mapping[str, float] | None = None) -> Loss:
    """The loss with numbers for all parameters but beta: those of `params`, else the defaults.

    >>> [p.name for p in of_beta(LOSSES["cdpo"]).params]
    ['beta']
    """
    numbers = loss.defaults | dict(params or {})
    fixed = {p.symbol: numbers[p.name] for p in loss.params if p.name != BETA.name}
    return replace(loss, expr=loss.expr.subs(fixed), params=(BETA,), inputs=(), signs=(None,) * 2)


def loss_functions(chart: Chart, loss: Loss) -> dict[str, Code | None]:
    """The JavaScript functions of a loss in a chart, by name, each returning an array.

    Arguments: the two coordinates, the loss's parameters, then the chart's own (`ref_w`, ...).
    """
    betas = tuple(p.symbol for p in loss.params)
    arguments = (*chart.coordinates, *betas)
    return {
        "loss": printed(arguments, (chart.pull_back(loss.expr),), chart.params),
        "gradient": printed(arguments, chart.gradient(loss), chart.params),
    }


def chart_functions(chart: Chart) -> dict[str, Code]:
    """The JavaScript functions of a chart, by name, each returning an array.

    Arguments: the two coordinates (or u, v), then the chart's own parameters (`ref_w`, ...).
    """
    a_b = chart.coordinates
    slopes = tuple(sp.diff(chart.invariant, c) for c in a_b)
    return {
        "toLogratios": printed(a_b, chart.logratios, chart.params),
        "fromLogratios": printed((u, v), chart.coordinates_of, chart.params),
        "invariant": printed(a_b, (chart.invariant, *slopes)),
    }


def chart_facts(chart: Chart) -> dict[str, Any]:
    """The facts of a chart that JavaScript needs beside its functions: names, domain, parameters,
    and whether a gradient step on a loss of the margin moves the two coordinates unequally.

    >>> [name for name, chart in CHARTS.items() if chart_facts(chart)["uneven"]]
    ['ratio', 'probability']
    """
    margin = sp.Add(chart.logratios[0], -chart.logratios[1])
    uneven = sp.simplify(sum(sp.diff(margin, c) for c in chart.coordinates)) != 0
    return {
        "uneven": uneven,
        "title": chart.title,
        "coordinates": [f"${c}$" for c in chart.coordinates],
        "low": bound(chart.domain.start),
        "high": bound(chart.domain.end),
        "highOpen": bool(chart.domain.right_open),
        "meaning": chart.domain_meaning,
        "params": [p.default for p in chart.params],
        "conserved": plain(chart.invariant, chart),
    }


SHOWN = tuple(name for name, loss in LOSSES.items() if loss.margin_only and not loss.inputs)
"""Losses of the margin alone: their flow conserves the invariant of each chart."""


@cache
def formulas() -> dict[str, Any]:
    """`FORMULAS`: the facts and printed functions of each chart, with those of each loss under
    `losses`; then the functions and numbers that all charts share."""
    x1, x2 = RATIO.coordinates_of
    both = sum(PROBABILITY.coordinates_of)
    return {
        "FORMULAS": {
            name: {
                "facts": chart_facts(chart),
                "losses": {loss: loss_functions(chart, of_beta(LOSSES[loss])) for loss in SHOWN},
                **chart_functions(chart),
            }
            for name, chart in CHARTS.items()
        },
        "corollaryOne": printed((u, v), (x2 / x1,)),
        "bothProbabilities": printed((u, v), (both,), PROBABILITY.params),
        "REFERENCES": [p.default for p in PROBABILITY.params],
    }
