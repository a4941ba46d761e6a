"""Losses of the margin `u - v`: they share one direction field and differ in its speed only."""

from __future__ import annotations

from dpofield.formulas.losses.core import BETA, Loss
from dpofield.formulas.stable import logsigmoid
from dpofield.formulas.symbols import beta, u, v

MARGIN = (
    Loss(
        name="dpo",
        title="DPO",
        expr=-logsigmoid(beta * (u - v)),
        params=(BETA,),
        source="Rafailov et al. 2023, arXiv 2305.18290, Eq. 7",
    ),
)
