"""Preference losses, each written once as a SymPy expression in the log-ratios u and v."""

from __future__ import annotations

from types import MappingProxyType

from dpofield.formulas.losses.core import BETA, NONPOSITIVE, POSITIVE, Loss
from dpofield.formulas.losses.divergence import DIVERGENCE
from dpofield.formulas.losses.likelihood import LIKELIHOOD
from dpofield.formulas.losses.margin import MARGIN
from dpofield.formulas.losses.separate import SEPARATE

LOSSES: MappingProxyType[str, Loss] = MappingProxyType(
    {loss.name: loss for loss in (*MARGIN, *DIVERGENCE, *SEPARATE, *LIKELIHOOD)}
)
"""Every loss of the book by name."""

__all__ = ["BETA", "LOSSES", "NONPOSITIVE", "POSITIVE", "Loss"]
