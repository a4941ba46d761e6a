"""The library behind the executable book *The DPO Gradient Field*.

Rooms, and who may import whom: `formulas` -> `field` -> `widgets`; `formulas` -> `lab` ->
`experiments`; `workbench` uses them all, and `ledger` cites them.
"""

__version__ = "0.1.0"
