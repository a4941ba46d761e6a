"""Formulas: the losses, each defined once; the charts; the theorems, as checked derivations."""

from dpofield.formulas.charts import CHARTS, Chart
from dpofield.formulas.derivation import Derivation
from dpofield.formulas.divergences import DIVERGENCES, Divergence
from dpofield.formulas.losses import LOSSES, Loss
from dpofield.formulas.printers import latex
from dpofield.formulas.stable import logaddexp, logsigmoid, sigmoid
from dpofield.formulas.theorems import THEOREMS

__all__ = [
    "CHARTS",
    "DIVERGENCES",
    "LOSSES",
    "THEOREMS",
    "Chart",
    "Derivation",
    "Divergence",
    "Loss",
    "latex",
    "logaddexp",
    "logsigmoid",
    "sigmoid",
]
