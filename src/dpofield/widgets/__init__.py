"""Figures that move without a kernel: anywidgets whose formulas are printed from SymPy."""

from dpofield.widgets.field_explorer import FieldExplorer

__all__ = ["FieldExplorer"]
