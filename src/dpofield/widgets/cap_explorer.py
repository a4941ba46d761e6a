"""The cap explorer: what a divergence does to the flow, its end and its clock."""

from __future__ import annotations

from typing import Any

import sympy as sp
import traitlets

from dpofield.formulas import CHARTS
from dpofield.formulas.divergences import ALPHA, DIVERGENCES
from dpofield.formulas.losses.core import BETA
from dpofield.formulas.parameters import Parameter, check_interval
from dpofield.widgets.cap_formulas import formulas
from dpofield.widgets.figure import Demo, Figure, Number, checks, facts, room

TIME = Parameter(
    "time",
    sp.Symbol("t"),
    0.0,
    sp.Interval(0, 10**9),
    "the clock of this figure runs from 0 to 1e9",
)


class CapExplorer(Figure):
    """DPO with any divergence in the plane of ratios: the conserved curve, the cap, the clock.

    `divergence` is a name of `dpofield.formulas.divergences.DIVERGENCES`; `alpha` is used only if
    it is "alpha". `a` and `b` are the start's ratios x1 and x2, `beta` the strength of the penalty,
    and `time` >= 0 a time on the flow from the start. With a kernel, the page updates all of them.

    Raises `traitlets.TraitError` for an unknown divergence and values out of range.

    >>> caps = CapExplorer("chi2", beta=0.5)
    >>> caps.a = 0
    Traceback (most recent call last):
    ...
    traitlets.traitlets.TraitError: a = 0.0 is outside (0, oo): a probability ratio is positive \
and finite
    """

    demo = Demo(
        "Caps and clocks of a divergence",
        "Change the divergence in DPO and watch the conserved curve, the cap on the preferred "
        "ratio and the clock: a stand-alone page.",
        "Choose a divergence, then drag the start: the green line is where the flow goes, the "
        "dashed blue line the most that the preferred ratio can reach. Change beta: only the clock "
        "moves.",
    )
    divergence = traitlets.Enum(tuple(DIVERGENCES), default_value="reverse_kl").tag(sync=True)
    alpha = Number(ALPHA)
    beta = Number(BETA)
    a = traitlets.Float(1.0).tag(sync=True)
    b = traitlets.Float(1.0).tag(sync=True)
    time = Number(TIME)
    _height, _height_narrow = room(786, 1428)

    def __init__(self, divergence: str = "reverse_kl", **kwargs: Any) -> None:
        super().__init__(divergence=divergence, **kwargs)

    def exports(self) -> dict[str, Any]:
        """Formulas and parameters."""
        chart = CHARTS["ratio"]
        ratio = Parameter("ratio", chart.coordinates[0], None, chart.domain, chart.domain_meaning)
        parameters = {"ALPHA": ALPHA, "BETA": BETA, "TIME": TIME, "RATIO": ratio}
        return {**formulas(), **{name: facts(p) for name, p in parameters.items()}}

    @checks("a", "b")
    def _check_start(self, name: str, value: float) -> None:
        check_interval(name, value, CHARTS["ratio"].domain, CHARTS["ratio"].domain_meaning)
