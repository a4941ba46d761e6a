"""What the recorded runs say: one module a chapter, tables in, small values with intervals out."""
