"""Findings of the recorded runs: one module per chapter; tables in, numbers with intervals out."""
