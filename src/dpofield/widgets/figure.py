"""What every figure is made of: printed formulas, shared parts, its own files, and their state.

No formula stands in a `.js` file. Every function that computes a number of the mathematics is
printed from SymPy; the files in `js/` only lay out, draw and listen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anywidget
import sympy as sp
import traitlets

from dpofield.formulas.parameters import Parameter
from dpofield.formulas.printers import JS_PRELUDE, js_function
from dpofield.widgets.tokens import tokens_css

FOLDER = Path(__file__).with_name("js")
SHARED = ("figure.js", "address.js", "save.js", "controls.js", "plot.js")
TOOLS = 56  # px below every figure: the view as a link and as a file


def read(name: str) -> str:
    """The text of a file in `js/`."""
    return (FOLDER / name).read_text(encoding="utf-8")


def printed(
    arguments: Sequence[sp.Symbol],
    exprs: Sequence[sp.Expr],
    params: Sequence[Parameter] = (),
) -> str:
    """A JavaScript function of `arguments` and then `params`, by their names; it returns an array.

    >>> from dpofield.formulas.symbols import u, v
    >>> printed((u, v), (u - v,))
    '(u, v) => [u - v]'
    """
    names = {p.symbol: p.name for p in params}
    return js_function((*arguments, *names), tuple(exprs), names)


def bound(value: sp.Expr) -> float | None:
    """A finite bound as a number; JSON has no infinity."""
    return float(value) if value.is_finite else None


def facts(parameter: Parameter) -> dict[str, Any]:
    """What JavaScript must know of a parameter: name, label, default and range.

    >>> from dpofield.formulas.losses import BETA
    >>> facts(BETA)["label"], facts(BETA)["low"], facts(BETA)["lowOpen"], facts(BETA)["high"]
    ('$beta$', 0.0, True, None)
    """
    interval = parameter.interval
    return {
        "name": parameter.name,
        "label": f"${parameter.symbol}$",
        "default": parameter.default,
        "low": bound(interval.start),
        "high": bound(interval.end),
        "lowOpen": bool(interval.left_open),
        "highOpen": bool(interval.right_open),
        "meaning": parameter.meaning,
    }


def esm(formulas: str, *files: str, **constants: Any) -> str:
    """A figure's module: printed formulas, constants as JSON, the shared parts, its own files."""
    values = (
        f"const {name} = {json.dumps(value, ensure_ascii=False)};"
        for name, value in constants.items()
    )
    head = f"// Printed from SymPy by dpofield: do not edit.\n{JS_PRELUDE}{formulas}"
    return "\n".join((head, *values, *(read(name) for name in (*SHARED, *files))))


def css(*files: str) -> str:
    """A figure's style sheet: palette, shared rules, its own files."""
    return tokens_css(".dpf") + "\n".join(read(name) for name in ("figure.css", *files))


class Figure(anywidget.AnyWidget):
    """A figure that runs without a kernel: what the reader moves are traits.

    `_height` and `_height_narrow` are the room in px that a page keeps for it, on a wide page and
    on one narrower than 600 px.
    """

    _height = traitlets.Int(600).tag(sync=True)
    _height_narrow = traitlets.Int(900).tag(sync=True)

    @staticmethod
    def checked(check: Callable[[Any], Any], proposal: Any) -> Any:
        """The proposed value once `check` accepts it; its `ValueError` as a `TraitError`."""
        try:
            check(proposal["value"])
        except ValueError as error:
            raise traitlets.TraitError(str(error)) from None
        return proposal["value"]
