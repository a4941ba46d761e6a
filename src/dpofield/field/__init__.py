"""Fields: the gradient of a loss in a chart as numbers, its flow, its invariants, its figures."""

from dpofield.field.core import gradient, invariant, magnitude, potential
from dpofield.field.flow import Flow, extinction_time, flow

__all__ = ["Flow", "extinction_time", "flow", "gradient", "invariant", "magnitude", "potential"]
