"""Findings of the recorded runs: one module per chapter, from tables to numbers with intervals."""
