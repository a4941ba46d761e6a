"""The book's theorems as checked derivations, by id. Chapters display them, the ledger cites them.

The right-hand sides are written by hand, independently of the loss; SymPy has to reach them from
`LOSSES[name].expr`. One module a part of the book, each ending in its tuple `PROOFS`.
"""

from __future__ import annotations

from types import MappingProxyType

from dpofield.formulas.derivation import Derivation
from dpofield.formulas.theorems import (
    charts_of_a_loss,
    divergent,
    geometry,
    margin_clock,
    motion,
    paper,
    setting,
    softmax,
    zoo,
)

_PARTS = (setting, paper, geometry, charts_of_a_loss, divergent, margin_clock, softmax, motion, zoo)

THEOREMS: MappingProxyType[str, Derivation] = MappingProxyType(
    {proof.id: proof for part in _PARTS for proof in part.PROOFS}
)
"""Every derivation of the book by id."""
