"""Fields: numerical values of a loss's gradient in a chart, its flow and its invariants."""

from dpofield.field.clock import margin_at
from dpofield.field.core import coordinates, gradient, invariant, logratios, magnitude, potential
from dpofield.field.flow import Flow, extinction_time, flow

__all__ = [
    "Flow",
    "coordinates",
    "extinction_time",
    "flow",
    "gradient",
    "invariant",
    "logratios",
    "magnitude",
    "margin_at",
    "potential",
]
