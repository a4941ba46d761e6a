"""The book's theorems as checked derivations, by id. Chapters display them; the ledger cites them.

The right-hand sides are typed independently of the loss; SymPy derives them from
`LOSSES[name].expr`. Each chapter has one module, named by the chapter's slug, with a tuple
`PROOFS`. New modules in this folder are imported automatically.
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
"""All derivations of the book by id."""
