"""Formulas: every loss once, charts and their pull-backs, theorems as checked derivations."""

from dpofield.formulas.charts import CHARTS, Chart
from dpofield.formulas.losses import LOSSES, Loss
from dpofield.formulas.stable import logaddexp, logsigmoid, sigmoid

__all__ = ["CHARTS", "LOSSES", "Chart", "Loss", "logaddexp", "logsigmoid", "sigmoid"]
