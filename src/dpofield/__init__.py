"""The library behind the executable book *The DPO Gradient Field*.

Its rooms import each other in one direction: `formulas` -> `field` -> `figures`, `widgets`;
`formulas` -> `lab` -> `experiments`. `workbench` and `ledger` may import all of these. `palette`,
`places`, `words` and `sources` import no room.
"""

__version__ = "0.1.0"
