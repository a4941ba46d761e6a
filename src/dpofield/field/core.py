"""Numerical values of the gradient field of a loss in a chart.

The formulas come from `dpofield.formulas`; this module only checks the input and evaluates them.
All functions broadcast over the two coordinates.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike, NDArray

from dpofield.formulas import CHARTS, LOSSES, Chart, Loss, symbols
from dpofield.formulas.parameters import (
    check_interval,
    common_shape,
    detached,
    real_array,
    resolve,
)
from dpofield.formulas.printers import numpy_function

Array = NDArray[np.float64]
UP_TO_1 = sp.Interval(0, 1 + 1e-12)  # with a tolerance for rounding


def find_loss(loss: str | Loss) -> Loss:
    """The loss called `loss`; `ValueError` listing the names if there is none."""
    if isinstance(loss, Loss):
        return loss
    if loss not in LOSSES:
        raise ValueError(f"no loss {loss!r}; there are {', '.join(LOSSES)}")
    return LOSSES[loss]


def find_chart(chart: str | Chart) -> Chart:
    """The chart called `chart`; `ValueError` listing the names if there is none."""
    if isinstance(chart, Chart):
        return chart
    if chart not in CHARTS:
        raise ValueError(f"no chart {chart!r}; there are {', '.join(CHARTS)}")
    return CHARTS[chart]


def prepare(
    loss: str | Loss, chart: str | Chart, a: ArrayLike, b: ArrayLike, params: dict[str, Any]
) -> tuple[Loss, Chart, Array, Array, dict[str, Any]]:
    """Loss, chart, broadcast coordinates and parameters, all checked; errors as in `gradient`."""
    loss, chart = find_loss(loss), find_chart(chart)
    a, b = _inside(chart, a, b)
    if chart.within is not None:
        check_interval(
            f"{chart.within} in the {chart.name} chart",
            numpy_function(chart.coordinates, (chart.within,))(a, b)[0],
            UP_TO_1,
            "two responses to one prompt have probabilities that sum to at most 1",
        )
    # The chart's parameters are added to the loss's.
    everything = {p.name: p for p in (*loss.arguments, *chart.params)}
    owner = f"loss {loss.name!r} in the {chart.name} chart"
    given = detached(resolve(everything.values(), params, owner))
    if loss.inputs:
        own = {p.name: given[p.name] for p in chart.params}
        loss.possible(*logratios(chart, a, b, **own), given)
    return loss, chart, a, b, given


def evaluate(
    exprs: tuple[Any, ...], loss: Loss, chart: Chart, a: Array, b: Array, given: dict[str, Any]
) -> tuple[Array, ...]:
    """The values of `exprs`, one array per expression; `prepare` has checked the arguments.

    `FloatingPointError` if a value is not a number: no formula here should give one.
    """
    symbols = {p.name: p.symbol for p in (*loss.arguments, *chart.params)}
    arguments = (*chart.coordinates, *(symbols[name] for name in given))
    inputs = {"a": a, "b": b, **given}
    common_shape(f"loss {loss.name!r}", {name: np.shape(x) for name, x in inputs.items()})
    # In float64 a value below 1e-308 is 0, and one above 1e308 is infinite; neither is an error.
    with np.errstate(under="ignore", over="ignore"):
        values = numpy_function(arguments, exprs)(*inputs.values())
    if any(np.isnan(v).any() for v in values):
        raise FloatingPointError(f"loss {loss.name!r} in the {chart.name} chart is not a number")
    return tuple(np.asarray(v, dtype=np.float64) + 0.0 for v in values)


def _inside(chart: Chart, a: ArrayLike, b: ArrayLike) -> tuple[Array, Array]:
    """`_pair`, with both coordinates in the chart's interval."""
    a, b = _pair(chart, a, b)
    for name, symbol, value in zip("ab", chart.coordinates, (a, b), strict=True):
        label = f"coordinate {name} ({symbol}) of the {chart.name} chart"
        check_interval(label, value, chart.domain, chart.domain_meaning)
    return a, b


def _pair(chart: Chart, a: ArrayLike, b: ArrayLike, names: str = "ab") -> tuple[Array, Array]:
    """Two coordinates as arrays in their broadcast shape."""
    first, second = real_array(names[0], a), real_array(names[1], b)
    shapes = {names[0]: first.shape, names[1]: second.shape}
    shape = common_shape(f"the {chart.name} chart", shapes)
    return np.broadcast_to(first, shape), np.broadcast_to(second, shape)


def gradient(
    loss: str | Loss, chart: str | Chart, a: ArrayLike, b: ArrayLike, **params: Any
) -> tuple[Array, Array]:
    """The two partial derivatives of `loss` in the named chart (Feng et al. 2024, Theorem 1).

    `a` and `b` are the coordinates of the preferred and the dispreferred response; they
    broadcast, and both results have the broadcast shape. Units: nats per unit of the coordinate.
    `params` are the loss's (`beta=0.1`) and the chart's (`ref_w`, `ref_l`, the reference
    log-probabilities in nats, in the probability and logit charts; `rest` in the logit chart).
    A value beyond float64 is infinite.

    Raises `ValueError` naming an unknown loss or chart, a coordinate outside the chart's domain
    or a parameter outside its range; `TypeError` for an unknown parameter.

    >>> gradient("dpo", "ratio", 1.0, 1.0, beta=0.1)
    (np.float64(-0.05), np.float64(0.05))
    >>> along_a, along_b = gradient("dpo", "log-ratio", [0.0, 700.0], [0.0, -700.0], beta=0.1)
    >>> bool((along_a == -along_b).all())
    True
    >>> gradient("dpo", "ratio", -1.0, 1.0)
    Traceback (most recent call last):
    ...
    ValueError: coordinate a (x_1) of the ratio chart = -1.0 is outside (0, oo): a probability \
ratio is positive and finite
    """
    loss, chart, a, b, given = prepare(loss, chart, a, b, params)
    along_a, along_b = evaluate(chart.gradient(loss), loss, chart, a, b, given)
    return along_a, along_b


def magnitude(
    loss: str | Loss, chart: str | Chart, a: ArrayLike, b: ArrayLike, **params: Any
) -> Array:
    """The Euclidean length of `gradient`, in the same units, with the same arguments and errors.

    >>> round(float(magnitude("dpo", "ratio", 1.0, 1.0, beta=0.1)), 6)
    0.070711
    """
    return np.hypot(*gradient(loss, chart, a, b, **params))


def potential(
    loss: str | Loss, chart: str | Chart, a: ArrayLike, b: ArrayLike, **params: Any
) -> Array:
    """The value of the loss (nats); arguments and errors as in `gradient`.

    >>> round(float(potential("dpo", "ratio", 1.0, 1.0)), 6)
    0.693147
    """
    loss, chart, a, b, given = prepare(loss, chart, a, b, params)
    return evaluate((chart.pull_back(loss.expr),), loss, chart, a, b, given)[0]


def coordinates(
    chart: str | Chart, u: ArrayLike, v: ArrayLike, **params: Any
) -> tuple[Array, Array]:
    """The chart's coordinates for log-ratios `u` and `v` (nats), in their broadcast shape.

    `params` are the chart's; `ValueError` and `TypeError` as in `gradient`. In the probability and
    logit charts, two probabilities with a sum above 1 are not a point of the chart: the result is
    then a probability that can exceed 1, or NaN.

    >>> [float(c) for c in coordinates("probability", 0.0, 0.0)]
    [0.25, 0.25]
    """
    chart = find_chart(chart)
    u, v = _pair(chart, u, v, "uv")
    for name, value in (("u", u), ("v", v)):
        check_interval(name, value, CHARTS["log-ratio"].domain, "a log-ratio is a finite number")
    given = resolve(chart.params, params, f"the {chart.name} chart")
    arguments = (symbols.u, symbols.v, *(p.symbol for p in chart.params))
    with np.errstate(invalid="ignore", divide="ignore"):  # impossible policies give NaN
        a, b = numpy_function(arguments, chart.coordinates_of)(u, v, *given.values())
    return np.asarray(a), np.asarray(b)


def logratios(chart: str | Chart, a: ArrayLike, b: ArrayLike, **params: Any) -> tuple[Array, Array]:
    """The inverse of `coordinates`: u and v (nats), in the broadcast shape; the same errors.

    >>> [round(float(c), 12) for c in logratios("probability", 0.25, 0.25)]
    [0.0, 0.0]
    """
    chart = find_chart(chart)
    a, b = _inside(chart, a, b)
    given = resolve(chart.params, params, f"the {chart.name} chart")
    arguments = (*chart.coordinates, *(p.symbol for p in chart.params))
    u, v = numpy_function(arguments, chart.logratios)(a, b, *given.values())
    return np.asarray(u), np.asarray(v)


def invariant(chart: str | Chart, a: ArrayLike, b: ArrayLike) -> Array:
    """The quantity that gradient flow of every margin loss conserves in this chart.

    >>> float(invariant("ratio", 1.0, 1.0))
    2.0
    """
    chart = find_chart(chart)
    a, b = _inside(chart, a, b)
    return np.asarray(numpy_function(chart.coordinates, (chart.invariant,))(a, b)[0])
