"""Preference losses, each written once as a SymPy expression in the log-ratios u and v.

The module of a loss follows from what its expression reads, and the first line that fits decides:

1. reference log-probabilities or lengths (it has `inputs`): `likelihood`;
2. the score of a divergence: `divergence`, which makes it from `formulas.divergences`;
3. the margin `u - v` alone: `margin`;
4. u and v apart: `separate`.

What a loss does to the field is another question, which `classify` answers for all of them.
"""

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
