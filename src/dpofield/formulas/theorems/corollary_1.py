"""The paper's Corollary 1, and its form in other coordinates."""

from __future__ import annotations

import sympy as sp

from dpofield.formulas.charts import CHARTS
from dpofield.formulas.derivation import Derivation, chain
from dpofield.formulas.losses import LOSSES
from dpofield.formulas.symbols import beta, pi_l, pi_w, x1, x2
from dpofield.formulas.theorems._common import DL_DX1, DL_DX2, FENG, OWN, POSITIVE


def _corollary_1() -> Derivation:
    return Derivation(
        id="corollary-1",
        title="The ratio of the two partial derivatives",
        statement=(
            "|dL/dx1| / |dL/dx2| = x2/x1. The component for the dispreferred response is the "
            "larger one exactly where x2 < x1; at the start, x1 = x2 = 1, both equal beta/2."
        ),
        source=f"{FENG}, Corollary 1",
        assumptions=(POSITIVE,),
        chains=(
            chain(
                -DL_DX1 / DL_DX2,
                ("Divide Theorem 1's two lines: $\\beta$ and the sum cancel.", x2 / x1),
                name=r"\left|\frac{\partial L}{\partial x_1}\right| \Big/ \left|\frac{\partial L}{\partial x_2}\right|",
            ),
            chain(
                sp.Subs(-DL_DX1, (x1, x2), (1, 1)),
                ("At the start the sum is 2.", beta / 2),
                name=r"-\left.\frac{\partial L}{\partial x_1}\right|_{(1,1)}",
            ),
            chain(
                sp.Subs(DL_DX2, (x1, x2), (1, 1)),
                ("The same for the dispreferred response.", beta / 2),
                name=r"\left.\frac{\partial L}{\partial x_2}\right|_{(1,1)}",
            ),
        ),
        facts=(
            (
                "$\\partial L/\\partial x_1 < 0 < \\partial L/\\partial x_2$, so the minus sign is what the absolute values need",
                bool(DL_DX1.is_negative and DL_DX2.is_positive),
            ),
        ),
    )


def _ratio_by_chart() -> Derivation:
    dpo = LOSSES["dpo"]

    def ratio(name: str) -> sp.Expr:
        along_a, along_b = CHARTS[name].gradient(dpo)
        return sp.Mul(-along_a, sp.Pow(along_b, -1), evaluate=False)

    return Derivation(
        id="ratio-by-chart",
        title="One loss, four charts, three ratios",
        statement=(
            "The ratio of the two partial derivatives of the same DPO loss is x2/x1 in ratios, "
            "pi_l/pi_w in probabilities, and exactly 1 in log-ratios and in logits."
        ),
        source=OWN,
        assumptions=(POSITIVE, "probabilities and logits of one softmax over whole responses"),
        chains=(
            chain(ratio("ratio"), ("In ratios.", x2 / x1)),
            chain(ratio("probability"), ("In probabilities.", pi_l / pi_w)),
            chain(ratio("log-ratio"), ("In log-ratios.", 1)),
            chain(ratio("logit"), ("In logits.", 1)),
        ),
    )


PROOFS = (_corollary_1(), _ratio_by_chart())
