"""The ledger: every claim of the book with its source, its status and the check that backs it."""

from dpofield.ledger.claims import KINDS, STATUSES, Claim, Entry, load, run, table

__all__ = ["KINDS", "STATUSES", "Claim", "Entry", "load", "run", "table"]
