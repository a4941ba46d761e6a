"""Preference losses, each written once as a SymPy expression in the log-ratios u and v."""

from __future__ import annotations

from types import MappingProxyType

from dpofield.formulas.losses.core import BETA, NONPOSITIVE, POSITIVE, Loss
from dpofield.formulas.losses.margin import MARGIN

LOSSES: MappingProxyType[str, Loss] = MappingProxyType({loss.name: loss for loss in MARGIN})
"""Every loss of the book by name."""

__all__ = ["BETA", "LOSSES", "NONPOSITIVE", "POSITIVE", "Loss"]
