"""Charts: coordinate systems for a preference pair.

A chart has one coordinate per response, a (preferred) and b (dispreferred), and a map from (a, b)
to the log-ratios (u, v). The gradient of a loss in a chart is the gradient of
`loss(u(a, b), v(a, b))` with respect to a and b. Coordinates are defined in this module only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import sympy as sp

from dpofield.formulas import symbols as s
from dpofield.formulas.losses.core import NONPOSITIVE, REAL, Loss
from dpofield.formulas.parameters import Parameter
from dpofield.formulas.stable import logaddexp

REFERENCE = (
    Parameter("ref_w", s.ref_w, -math.log(4), NONPOSITIVE, "a reference log-probability is <= 0"),
    Parameter("ref_l", s.ref_l, -math.log(4), NONPOSITIVE, "a reference log-probability is <= 0"),
)
REST = Parameter("rest", s.rest, 0.0, REAL, "log-sum-exp of the other logits is a finite number")


@dataclass(frozen=True)
class Chart:
    """Two coordinates, their interval, and the map to and from log-ratios.

    `logratios` is (u, v) in terms of the coordinates; `coordinates_of` is the inverse, in terms
    of the symbols `u`, `v`. `invariant` is a function of the coordinates that gradient flow in
    this chart conserves for every loss of the margin `u - v`. `within`, if there is one, is an
    expression that is at most 1 for every policy.
    """

    name: str
    title: str
    coordinates: tuple[sp.Symbol, sp.Symbol]
    logratios: tuple[sp.Expr, sp.Expr]
    coordinates_of: tuple[sp.Expr, sp.Expr]
    invariant: sp.Expr
    domain: sp.Interval
    domain_meaning: str
    params: tuple[Parameter, ...] = ()
    within: sp.Expr | None = None

    def pull_back(self, expr: sp.Expr) -> sp.Expr:
        """An expression in u and v, rewritten in this chart's coordinates.

        >>> CHARTS["ratio"].pull_back(s.u - s.v)
        log(x_1) - log(x_2)
        """
        return expr.subs(dict(zip((s.u, s.v), self.logratios, strict=True)), simultaneous=True)

    def gradient(self, loss: Loss) -> tuple[sp.Expr, sp.Expr]:
        """The two partial derivatives of `loss` with respect to this chart's coordinates.

        >>> from dpofield.formulas.losses import LOSSES
        >>> CHARTS["log-ratio"].gradient(LOSSES["dpo"])
        (-beta*sigmoid(-beta*(u - v)), beta*sigmoid(-beta*(u - v)))
        """
        return _gradient(self, loss)


@cache
def _gradient(chart: Chart, loss: Loss) -> tuple[sp.Expr, sp.Expr]:
    value = chart.pull_back(loss.expr)
    a, b = chart.coordinates
    return sp.diff(value, a), sp.diff(value, b)


_LOG_Z = logaddexp(logaddexp(s.z_w, s.z_l), s.rest)
_PI_REST = 1 - sp.exp(s.u + s.ref_w) - sp.exp(s.v + s.ref_l)

_ALL = (
    Chart(
        name="ratio",
        title="ratios",
        coordinates=(s.x1, s.x2),
        logratios=(sp.log(s.x1), sp.log(s.x2)),
        coordinates_of=(sp.exp(s.u), sp.exp(s.v)),
        invariant=s.x1**2 + s.x2**2,
        domain=sp.Interval.open(0, sp.oo),
        domain_meaning="a probability ratio is positive and finite",
    ),
    Chart(
        name="probability",
        title="probabilities",
        coordinates=(s.pi_w, s.pi_l),
        logratios=(sp.log(s.pi_w) - s.ref_w, sp.log(s.pi_l) - s.ref_l),
        coordinates_of=(sp.exp(s.u + s.ref_w), sp.exp(s.v + s.ref_l)),
        invariant=s.pi_w**2 + s.pi_l**2,
        domain=sp.Interval.Lopen(0, 1),
        domain_meaning="a response's probability is positive and at most 1",
        params=REFERENCE,
        within=s.pi_w + s.pi_l,
    ),
    Chart(
        name="log-ratio",
        title="log-ratios",
        coordinates=(s.u, s.v),
        logratios=(s.u, s.v),
        coordinates_of=(s.u, s.v),
        invariant=s.u + s.v,
        domain=REAL,
        domain_meaning="a log-ratio is a finite number",
    ),
    Chart(
        name="logit",
        title="logits",
        coordinates=(s.z_w, s.z_l),
        logratios=(s.z_w - _LOG_Z - s.ref_w, s.z_l - _LOG_Z - s.ref_l),
        coordinates_of=(
            s.u + s.ref_w + s.rest - sp.log(_PI_REST),
            s.v + s.ref_l + s.rest - sp.log(_PI_REST),
        ),
        invariant=s.z_w + s.z_l,
        domain=REAL,
        domain_meaning="a logit is a finite number",
        params=(*REFERENCE, REST),
    ),
)

CHARTS: MappingProxyType[str, Chart] = MappingProxyType({chart.name: chart for chart in _ALL})
"""All charts of the book by name."""
