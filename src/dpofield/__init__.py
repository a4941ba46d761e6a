"""The library behind the executable book *The DPO Gradient Field*.

Rooms, and who may import whom: `formulas` -> `field` -> `widgets`; `formulas` -> `lab` ->
`experiments`; `ledger` cites them all.
"""

__version__ = "0.1.0"
