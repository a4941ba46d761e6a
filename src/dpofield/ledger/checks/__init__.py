"""The checks that the claims name. Each recomputes its claim now and returns what it found.

A check raises `AssertionError` when its claim does not hold; otherwise it returns one short
sentence of evidence with the numbers of this run. One module a part of the book, each ending in
its `CHECKS`; every derivation of `THEOREMS` is a check by the name `derivation ID`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from dpofield.formulas import THEOREMS
from dpofield.ledger.checks import (
    charts,
    divergences,
    edits,
    field,
    mass,
    motion,
    paths,
    remedies,
    robustness,
    sft,
    softmax,
    training,
    zoo,
)

Check = Callable[[], str]


def derivation(name: str) -> str:
    """Every link and every fact of a derivation, decided by SymPy."""
    theorem = THEOREMS[name]
    theorem.check()
    assert theorem.proved
    links = sum(len(chain.steps) for chain in theorem.chains)
    return f"{links} steps, residual {theorem.residual}; facts decided: {len(theorem.facts)}"


CHECKS: dict[str, Check] = {
    **{f"derivation {name}": partial(derivation, name) for name in THEOREMS},
    **charts.CHECKS,
    **divergences.CHECKS,
    **edits.CHECKS,
    **field.CHECKS,
    **mass.CHECKS,
    **motion.CHECKS,
    **paths.CHECKS,
    **remedies.CHECKS,
    **robustness.CHECKS,
    **sft.CHECKS,
    **softmax.CHECKS,
    **training.CHECKS,
    **zoo.CHECKS,
}
"""Every check by the name that claims use."""
