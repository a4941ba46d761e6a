"""The book's theorems as checked derivations, by id. Chapters display them, the ledger cites them.

The right-hand sides are written by hand, independently of the loss; SymPy has to reach them from
`LOSSES[name].expr`. One module per chapter, named by the chapter's slug, each ending in its tuple
`PROOFS`. A new module in this folder is found without being listed anywhere.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType

from dpofield.formulas.derivation import Derivation

_CHAPTERS = sorted(found.name for found in iter_modules(__path__) if not found.name.startswith("_"))

THEOREMS: MappingProxyType[str, Derivation] = MappingProxyType(
    {
        proof.id: proof
        for chapter in _CHAPTERS
        for proof in import_module(f"{__name__}.{chapter}").PROOFS
    }
)
"""Every derivation of the book by id."""
