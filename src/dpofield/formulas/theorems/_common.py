"""Shared by the proofs: sources, the closed forms of Theorem 1, the DPO loss in the ratios."""

from __future__ import annotations

from dpofield.formulas.charts import CHARTS
from dpofield.formulas.losses import LOSSES
from dpofield.formulas.symbols import beta, x1, x2

FENG = "Feng et al. 2024, arXiv 2404.04626"
RAFAILOV = "Rafailov et al. 2023, arXiv 2305.18290"
OWN = "own derivation"
POSITIVE = "x_1 > 0, x_2 > 0, beta > 0"

# The closed forms of Theorem 1, typed independently of the loss.
S = x1**beta + x2**beta
DL_DX1 = -beta * x2**beta / (x1 * S)
DL_DX2 = beta * x2 ** (beta - 1) / S

DPO = CHARTS["ratio"].pull_back(LOSSES["dpo"].expr)
DL1, DL2 = (rf"\frac{{\partial L}}{{\partial x_{i}}}" for i in (1, 2))
