"""Losses of the margin `u - v`: they share one direction field and differ in speed only.

`classify` proves with SymPy that each of them depends on the margin only.
"""

from __future__ import annotations

import sympy as sp

from dpofield.formulas.losses.core import BETA, EPSILON, POSITIVE, REAL, H, Loss, Sign, default
from dpofield.formulas.parameters import Parameter
from dpofield.formulas.stable import boxcox, logsigmoid, relu, sigmoid
from dpofield.formulas.symbols import beta, epsilon, shift, tau, u, v

_DESERVED = sp.log((1 - epsilon) / epsilon)
"""beta times the margin of a calibrated model, for labels wrong with probability epsilon."""


def smoothed(margin: sp.Expr) -> sp.Expr:
    """The logistic loss of a margin, for labels that are wrong with probability epsilon."""
    return -(1 - epsilon) * logsigmoid(beta * margin) - epsilon * logsigmoid(-beta * margin)


def _smoothed_sign(margin: sp.Expr) -> Sign:
    excess = beta * margin - _DESERVED
    return Sign(beta * (1 - epsilon) * sigmoid(-beta * margin) * boxcox(1, excess), excess)


_EXO = beta * sigmoid(beta * H) * sigmoid(-beta * H)

MARGIN = (
    Loss(
        name="dpo",
        title="DPO",
        expr=-logsigmoid(beta * (u - v)),
        params=(BETA,),
        source="Rafailov et al. 2023, arXiv 2305.18290, Eq. 7",
    ),
    Loss(
        name="cdpo",
        title="cDPO",
        expr=smoothed(H),
        params=(BETA, default(EPSILON, 0.2)),
        source="Mitchell 2023, ericmitchell.ai/cdpo.pdf; default epsilon of HALOs",
        signs=(_smoothed_sign(H), None),
    ),
    Loss(
        name="robust",
        title="Robust DPO",
        expr=(-(1 - epsilon) * logsigmoid(beta * H) + epsilon * logsigmoid(-beta * H))
        / (1 - 2 * epsilon),
        params=(BETA, default(EPSILON, 0.1)),
        source="Chowdhury et al. 2024, arXiv 2403.00409, as in TRL 1.16.0 (robust)",
    ),
    Loss(
        name="ipo",
        title="IPO",
        expr=(H - 1 / (2 * beta)) ** 2,
        params=(BETA,),
        source="Azar et al. 2023, arXiv 2310.12036, Eq. 17 (beta is its tau)",
    ),
    Loss(
        name="hinge",
        title="Hinge",
        expr=relu(1 - beta * H),
        params=(BETA,),
        source="Liu et al. 2023 (RSO), arXiv 2309.06657, as in TRL 1.16.0 (hinge)",
    ),
    Loss(
        name="exo",
        title="EXO",
        expr=sigmoid(beta * H) * (logsigmoid(beta * H) - sp.log(1 - epsilon))
        + sigmoid(-beta * H) * (logsigmoid(-beta * H) - sp.log(epsilon)),
        params=(
            BETA,
            Parameter(
                "epsilon",
                epsilon,
                1e-3,
                sp.Interval.open(0, sp.Rational(1, 2)),
                "EXO takes the logarithm of the flip rate",
            ),
        ),
        source="Ji et al. 2024, arXiv 2402.00856, Eq. 16, as in TRL 1.16.0 (exo_pair)",
        signs=(Sign(_EXO, beta * H - _DESERVED), None),
    ),
    Loss(
        name="discopop",
        title="DiscoPOP",
        expr=-logsigmoid(beta * H) * sigmoid(-beta * H / tau)
        + sp.exp(-beta * H) * sigmoid(beta * H / tau),
        params=(
            BETA,
            Parameter("tau", tau, 0.05, POSITIVE, "a temperature is positive"),
        ),
        source="Lu et al. 2024, arXiv 2406.08414, Eq. 5, as in TRL 1.16.0 (discopop)",
    ),
    Loss(
        name="aot",
        title="AOT",
        expr=smoothed(H + shift),
        params=(
            BETA,
            EPSILON,
            Parameter("shift", shift, 0.0, REAL, "what the matching adds is a finite number"),
        ),
        source="Melnyk et al. 2024, arXiv 2406.05882, as in TRL 1.16.0 (aot), per matched item",
        signs=(_smoothed_sign(H + shift), None),
    ),
)
