"""How fast the margin grows in log-ratios: exactly, and without end."""

from __future__ import annotations

import sympy as sp

from dpofield.formulas.charts import CHARTS
from dpofield.formulas.derivation import Chain, Derivation, Step
from dpofield.formulas.losses import LOSSES
from dpofield.formulas.stable import sigmoid
from dpofield.formulas.symbols import beta, u, v
from dpofield.formulas.theorems.common import OWN


def _log_ratio_clock() -> Derivation:
    t = sp.Symbol("t", positive=True)
    h = sp.Function("h", real=True)(t)
    y, w = sp.Symbol("y", positive=True), sp.Symbol("omega", positive=True)
    by_u, by_v = CHARTS["log-ratio"].gradient(LOSSES["dpo"])
    pace = 2 * beta * sigmoid(-beta * h)
    clock = sp.exp(beta * h) + beta * h
    time = (sp.exp(y) + y - 1) / (2 * beta**2)
    slope = sp.exp(y) + 1
    return Derivation(
        id="log-ratio-clock",
        title="The margin in log-ratios at every time",
        statement=(
            "Under gradient flow of the DPO loss in log-ratios from (0, 0) the margin h obeys "
            "exp(beta h) + beta h = 1 + 2 beta^2 t, that is h = (1/beta) log omega(1 + 2 beta^2 t) "
            "with the Wright omega function. It grows without bound, like (1/beta) log t, and "
            "neither ratio vanishes at any time."
        ),
        source=OWN,
        assumptions=(
            "beta > 0",
            "du/dt = -dL/du and dv/dt = -dL/dv from u = v = 0",
            "omega(c) > 0 is the root of omega + log omega = c",
        ),
        chains=(
            Chain(
                sp.Subs(-by_u + by_v, u, v + h),
                (Step("$\\dot h = \\dot u - \\dot v$, and both are one weight.", pace),),
                name=r"\frac{dh}{dt}",
            ),
            Chain(
                sp.diff(clock, t).subs(sp.Derivative(h, t), pace),
                (
                    Step(
                        "Differentiate and put the flow in.", beta * (1 + sp.exp(beta * h)) * pace
                    ),
                    Step("$\\sigma(-\\beta h)(1 + e^{\\beta h}) = 1$: a constant.", 2 * beta**2),
                ),
                name=r"\frac{d}{dt}\left(e^{\beta h} + \beta h\right)",
            ),
            Chain(
                sp.Subs(sp.exp(y) + y, y, sp.Integer(0)),
                (Step("At $t = 0$ the margin is 0.", sp.Integer(1)),),
            ),
            Chain(
                sp.Subs(sp.exp(y) + y, y, sp.log(w)),
                (Step("$y = \\log\\omega(c)$ solves $e^y + y = c$.", w + sp.log(w)),),
            ),
            Chain(
                sp.Limit(y - sp.log(2 * beta**2 * time), y, sp.oo),
                (
                    Step(
                        "With $y = \\beta h$ and $t$ from the clock, $\\beta h - \\log(2\\beta^2 t)$.",
                        sp.Limit(-sp.log(1 + (y - 1) * sp.exp(-y)), y, sp.oo),
                    ),
                    Step(
                        "So $h$ is $(\\log t + \\log 2\\beta^2)/\\beta$, up to a gap that vanishes.",
                        sp.Integer(0),
                    ),
                ),
            ),
            Chain(
                sp.Limit(y / sp.log(time), y, sp.oo),
                (Step("And $h$ against $(1/\\beta)\\log t$.", sp.Integer(1)),),
            ),
        ),
        facts=(
            (
                "$e^y + y$ increases, so each time has one margin and each margin one time",
                slope.is_positive,
            ),
            (
                "the time of a margin is finite, and grows beyond every bound with it",
                sp.limit(time, y, sp.oo) is sp.oo,
            ),
        ),
    )


PROOFS = (_log_ratio_clock(),)
