"""The base class of the figures: printed formulas, modules and style sheet, and state.

No formula is typed in a `.js` file. Every function that computes a mathematical quantity is
printed from SymPy into a module `./formulas.js`, which exists only in the bundle; the files in
`js/` only lay out, draw and handle events.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import anywidget
import sympy as sp
import traitlets

from dpofield.formulas.parameters import Parameter
from dpofield.formulas.printers import JS_PRELUDE, js_function
from dpofield.widgets.modules import bundle
from dpofield.widgets.tokens import tokens_css

FOLDER = Path(__file__).with_name("js")
TOOLS = 56  # px below every figure, for its link and save buttons


class Code(str):
    """A JavaScript expression; any other `str` is a text."""


def printed(
    arguments: Sequence[sp.Symbol],
    exprs: Sequence[sp.Expr],
    params: Sequence[Parameter] = (),
) -> Code:
    """A JavaScript function of `arguments` and then `params`, by their names; it returns an array.

    >>> from dpofield.formulas.symbols import u, v
    >>> printed((u, v), (u - v,))
    '(u, v) => [u - v]'
    """
    names = {p.symbol: p.name for p in params}
    return Code(js_function((*arguments, *names), tuple(exprs), names))


def literal(value: Any) -> str:
    """A value as JavaScript: JSON that may contain printed functions at any depth.

    >>> literal({"low": None, "law": [Code("(u) => [u]")]})
    '{"low": null, "law": [(u) => [u]]}'
    """
    if isinstance(value, Code):
        return value
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{json.dumps(k)}: {literal(v)}' for k, v in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(literal, value))}]"
    return json.dumps(value, ensure_ascii=False)


def css(*files: str) -> str:
    """A figure's style sheet: palette, shared rules, its own files."""
    texts = ((FOLDER / name).read_text(encoding="utf-8") for name in ("figure.css", *files))
    return tokens_css(".dpf") + "\n".join(texts)


def bound(value: sp.Expr) -> float | None:
    """A finite bound as a number; JSON has no infinity."""
    return float(value) if value.is_finite else None


def facts(parameter: Parameter) -> dict[str, Any]:
    """The facts of a parameter that JavaScript needs: name, label, default and range.

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


class Number(traitlets.Float):
    """A synced trait for a parameter, with its default and its range."""

    def __init__(self, parameter: Parameter, default: float | None = None) -> None:
        super().__init__(parameter.default if default is None else default)
        self.parameter = parameter
        self.tag(sync=True)

    def validate(self, obj: Any, value: Any) -> float:
        """The value as a float; `TraitError` if it is out of range."""
        number = float(super().validate(obj, value))
        refused(self.parameter.check, number)
        return number


def refused(check: Callable[..., None], *given: Any) -> None:
    """Call `check`, and raise its `ValueError` as a `TraitError`."""
    try:
        check(*given)
    except ValueError as error:
        raise traitlets.TraitError(str(error)) from None


def checks(*names: str) -> Callable[[Callable[[Any, str, Any], None]], Any]:
    """Make a method `(self, name, value)` that raises `ValueError` the check of these traits."""

    def decorate(check: Callable[[Any, str, Any], None]) -> Any:
        def validate(self: Any, proposal: Any) -> Any:
            refused(check, self, proposal["trait"].name, proposal["value"])
            return proposal["value"]

        return traitlets.validate(*names)(validate)

    return decorate


def room(wide: int, narrow: int) -> tuple[Any, Any]:
    """The traits `_height` and `_height_narrow`, from a figure's heights in px without `TOOLS`."""
    return tuple(traitlets.Int(height + TOOLS).tag(sync=True) for height in (wide, narrow))


class Demo(NamedTuple):
    """The stand-alone page of a figure: title, summary, and what to try."""

    title: str
    summary: str
    words: str


class Figure(anywidget.AnyWidget):
    """A figure that runs without a kernel; its traits hold all values that the reader moves.

    The module of `SomeFigure` is `js/some_figure.js`, and its style sheet `js/some_figure.css`.
    `_height` and `_height_narrow` are the heights in px that a page reserves for the figure, the
    second one below a page width of 600 px.
    """

    demo: ClassVar[Demo]
    _sent: frozenset[str] = frozenset()
    _height, _height_narrow = room(544, 844)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.reload()
        super().__init__(*args, **kwargs)

    @classmethod
    def slug(cls) -> str:
        """The figure's name in addresses and file names.

        >>> class OneFigure(Figure): pass
        >>> OneFigure.slug()
        'one-figure'
        """
        return re.sub(r"\B(?=[A-Z])", "-", cls.__name__).lower()

    def exports(self) -> Mapping[str, Any]:
        """The values that the figure's modules import from `./formulas.js`, by name."""
        raise NotImplementedError

    def reload(self) -> None:
        """Read the modules and the style sheet again, and update every open view.

        Raises `dpofield.widgets.modules.ModuleError` when the modules do not fit together.
        """
        name = self.slug().replace("-", "_")
        values = (f"export const {key} = {literal(one)};" for key, one in self.exports().items())
        made = {"formulas.js": "\n".join((JS_PRELUDE, *values, ""))}
        self._esm, self._css = bundle(FOLDER / f"{name}.js", made), css(f"{name}.css")

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Apply a change from the page. During it, `_sent` has the names of the changed traits."""
        self._sent = frozenset(sync_data)
        try:
            super().set_state(sync_data)
        finally:
            self._sent = frozenset()
