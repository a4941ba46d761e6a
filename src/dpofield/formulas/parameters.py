"""Parameters of losses and charts: a symbol, a default and a range."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray


@dataclass(frozen=True)
class Parameter:
    """A named number that a formula takes, with its range.

    `default` is None for data of a pair, which the caller must pass.
    """

    name: str
    symbol: sp.Symbol
    default: float | None
    interval: sp.Interval
    meaning: str

    def check(self, value: Any) -> None:
        """Raise `ValueError` naming this parameter unless every entry of `value` is in range."""
        check_interval(self.name, value, self.interval, self.meaning)


def check_interval(name: str, value: Any, interval: sp.Interval, meaning: str) -> None:
    """Raise `ValueError` naming `name`, a bad entry and the range if an entry is outside.

    >>> check_interval("beta", -1.0, sp.Interval.open(0, sp.oo), "KL strength")
    Traceback (most recent call last):
    ...
    ValueError: beta = -1.0 is outside (0, oo): KL strength

    Raises `ValueError` also for a masked array and for complex numbers, as `real_array`.
    """
    values = np.atleast_1d(real_array(name, value))
    low, high = float(interval.start), float(interval.end)
    above = values > low if interval.left_open else values >= low
    below = values < high if interval.right_open else values <= high
    bad = values[~(above & below)]  # NaN fails both comparisons, so it counts as bad
    if bad.size:
        left, right = "(["[not interval.left_open], ")]"[not interval.right_open]
        shown = f"{left}{interval.start}, {interval.end}{right}"
        raise ValueError(f"{name} = {float(bad[0])} is outside {shown}: {meaning}")


def real_array(name: str, value: Any) -> NDArray[np.float64]:
    """`value`, numbers or a tensor (without its graph), as a float64 array.

    Raises `ValueError` naming `name` for a masked array, whose hidden entries would count, and for
    whatever is no real number: complex, text, truth values, dates.

    >>> real_array("u", [1, 2])
    array([1., 2.])
    """
    if isinstance(value, np.ma.MaskedArray):
        raise ValueError(f"{name} is a masked array: pass {name}.compressed() or {name}.filled(0)")
    if hasattr(value, "detach"):  # a tensor; torch is not imported here
        value = value.detach().cpu().double()
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} is no array of numbers: {error}") from None
    if array.dtype.kind == "O" and all(isinstance(x, Real) for x in array.flat):
        array = array.astype(np.float64)  # fractions, or Python integers beyond 64 bits
    if array.dtype.kind not in "fiu" and array.size:
        raise ValueError(f"{name} has values of type {array.dtype}: pass real numbers")
    return array.astype(np.float64, copy=False)


def common_shape(owner: str, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """The shape to which arrays of these shapes broadcast; `ValueError` names all of them.

    >>> common_shape("loss 'dpo'", {"u": (7, 1), "v": (3,), "beta": ()})
    (7, 3)
    >>> common_shape("loss 'dpo'", {"u": (7,), "v": (3,)})
    Traceback (most recent call last):
    ...
    ValueError: loss 'dpo': the shapes do not broadcast: u (7,), v (3,)
    """
    try:
        return np.broadcast_shapes(*shapes.values())
    except ValueError:
        given = ", ".join(f"{name} {tuple(shape)}" for name, shape in shapes.items() if shape)
        raise ValueError(f"{owner}: the shapes do not broadcast: {given}") from None


def resolve(params: Iterable[Parameter], given: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """The checked values of `given`, and the defaults of the other parameters.

    `TypeError` for an unknown name, and for a missing parameter without a default.
    """
    known = {p.name: p for p in params}
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise TypeError(f"{owner} takes {sorted(known)}, not {unknown}")
    missing = [p for p in known.values() if p.default is None and p.name not in given]
    if missing:
        needs = "; ".join(f"{p.name} ({p.meaning})" for p in missing)
        raise TypeError(f"{owner} also needs {needs}")
    for name, value in given.items():
        known[name].check(value)
    values = {name: given.get(name, p.default) for name, p in known.items()}
    return {n: real_array(n, x) if isinstance(x, Sequence) else x for n, x in values.items()}


def detached(given: Mapping[str, Any]) -> dict[str, Any]:
    """The same values with tensors as arrays, for NumPy functions."""
    return {n: real_array(n, x) if hasattr(x, "detach") else x for n, x in given.items()}
