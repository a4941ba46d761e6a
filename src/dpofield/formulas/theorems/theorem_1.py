"""The paper's Theorem 1: the partial derivatives of the DPO loss in the ratios."""

from __future__ import annotations

import sympy as sp

from dpofield.formulas.derivation import Derivation, chain
from dpofield.formulas.stable import sigmoid
from dpofield.formulas.symbols import beta, x1, x2
from dpofield.formulas.theorems._common import DL1, DL2, DL_DX1, DL_DX2, DPO, FENG, POSITIVE

_MARGIN = beta * (sp.log(x1) - sp.log(x2))


def _theorem_1() -> Derivation:
    return Derivation(
        id="theorem-1",
        title="The partial derivatives of the DPO loss",
        statement=(
            "In the ratios, dL/dx1 = -beta x2^beta / (x1 (x1^beta + x2^beta)) and "
            "dL/dx2 = beta x2^(beta-1) / (x1^beta + x2^beta)."
        ),
        source=f"{FENG}, Theorem 1",
        assumptions=(POSITIVE,),
        chains=(
            chain(
                sp.Derivative(DPO, x1),
                (
                    "Chain rule: $(\\log\\sigma(z))' = \\sigma(-z)$ and $(\\log x_1)' = 1/x_1$.",
                    -beta * sigmoid(-_MARGIN) / x1,
                ),
                ("Write the logistic function out.", -beta / (x1 * (1 + sp.exp(_MARGIN)))),
                ("Multiply numerator and denominator by $x_2^\\beta$.", DL_DX1),
                name=DL1,
            ),
            chain(
                sp.Derivative(DPO, x2),
                (
                    "The same chain rule; $\\log x_2$ enters with the other sign.",
                    beta * sigmoid(-_MARGIN) / x2,
                ),
                ("Write the logistic function out.", beta / (x2 * (1 + sp.exp(_MARGIN)))),
                ("Multiply numerator and denominator by $x_2^\\beta$.", DL_DX2),
                name=DL2,
            ),
        ),
        facts=(
            ("$\\partial L/\\partial x_1$ is negative everywhere", DL_DX1.is_negative),
            ("$\\partial L/\\partial x_2$ is positive everywhere", DL_DX2.is_positive),
        ),
    )


PROOFS = (_theorem_1(),)
