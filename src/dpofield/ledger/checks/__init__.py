"""The checks that the claims name. Each recomputes its claim and returns evidence.

A check is a public function without parameters, in the module of its chapter's slug: a claim names
it as `sft_quality.pace`. It raises `AssertionError` when its claim does not hold; otherwise it
returns one short sentence of evidence with the numbers of this run. A claim that has the id of a
derivation in `THEOREMS` names the check `derivation`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from dpofield.formulas import THEOREMS

Check = Callable[[], str]

DERIVATION = "derivation"
"""The check of a claim that a derivation of the same id proves."""


def derivation(name: str) -> str:
    """Check every step and every fact of a derivation by SymPy."""
    theorem = THEOREMS[name]
    theorem.check()
    assert theorem.proved
    links = sum(len(chain.steps) for chain in theorem.chains)
    return f"{links} steps, residual {theorem.residual}; facts decided: {len(theorem.facts)}"


def find(name: str, claim: str) -> Check:
    """The check that a claim names; `LookupError` with the known names if there is none.

    >>> find("theorem_1.theorem_1_against_autograd", "theorem-1-autograd")()
    'largest relative difference ...'
    """
    if name == DERIVATION:
        if claim not in THEOREMS:
            raise LookupError(
                f"no derivation is called {claim!r}; THEOREMS has {', '.join(THEOREMS)}"
            )
        return partial(derivation, claim)
    chapter, _, function = name.partition(".")
    if chapter not in chapters():
        raise LookupError(f"no chapter {chapter!r} has checks; there are {', '.join(chapters())}")
    known = checks_of(import_module(f"{__name__}.{chapter}"))
    if function not in known:
        raise LookupError(f"{chapter} has no check {function!r}; it has {', '.join(known)}")
    return known[function]


def chapters() -> list[str]:
    """The chapters that have checks, as module names."""
    return sorted(found.name for found in iter_modules(__path__))


def checks_of(module: ModuleType) -> dict[str, Check]:
    """The checks that a module defines: its public functions without parameters, by name."""
    return {
        name: value
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and value.__module__ == module.__name__
        and not name.startswith("_")
        and not inspect.signature(value).parameters
    }
