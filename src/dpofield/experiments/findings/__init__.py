"""Findings of the recorded runs: one module per chapter, tables in, small values with intervals out."""
