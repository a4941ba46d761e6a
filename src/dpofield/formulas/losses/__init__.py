"""Preference losses, each written once as a SymPy expression in the log-ratios u and v.

The first line that fits decides the module of a loss:

1. it depends on reference log-probabilities or lengths (it has `inputs`): `likelihood`;
2. it depends on the score of a divergence: `divergence`, which uses `formulas.divergences`;
3. it depends on the margin `u - v` only: `margin`;
4. it depends on u and v separately: `separate`.

`classify` computes the effect of each loss on the field.
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
"""All losses of the book by name."""

__all__ = ["BETA", "LOSSES", "NONPOSITIVE", "POSITIVE", "Loss"]
