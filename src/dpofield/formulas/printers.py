"""One expression, four spellings: NumPy, torch, JavaScript, and mpmath as the referee.

LaTeX is SymPy's own but for one habit: the logarithm of a symbol goes without brackets.
Every printer spells `sigmoid`, `logsigmoid` and `logaddexp` in a form that neither overflows nor
loses digits, and every product of them as one exponential (`stable.fuse`); everything else is
SymPy's own printing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import scipy.special
import sympy as sp
from sympy.printing.jscode import JavascriptCodePrinter
from sympy.printing.latex import LatexPrinter
from sympy.printing.numpy import NumPyPrinter

from dpofield.formulas.stable import fuse

Arguments = tuple[sp.Symbol, ...]


class _NumPy(NumPyPrinter):
    _spelling: Mapping[str, str] = {
        "sigmoid": "expit",
        "logsigmoid": "log_expit",
        "logaddexp": "logaddexp",
        "fusedexp": "exp",
    }

    def _stable(self, expr: sp.Function) -> str:
        arguments = ", ".join(self._print(a) for a in expr.args)
        return f"{self._spelling[type(expr).__name__]}({arguments})"

    _print_sigmoid = _print_logsigmoid = _print_logaddexp = _print_fusedexp = _stable


class _JavaScript(JavascriptCodePrinter):
    _spelling: Mapping[str, str] = {
        "sigmoid": "sigmoid",
        "logsigmoid": "logsigmoid",
        "logaddexp": "logaddexp",
        "fusedexp": "Math.exp",
    }
    _print_sigmoid = _print_logsigmoid = _print_logaddexp = _NumPy._stable
    _print_fusedexp = _NumPy._stable


JS_PRELUDE = """\
const logsigmoid = (x) => (x < 0 ? x - Math.log1p(Math.exp(x)) : -Math.log1p(Math.exp(-x)));
const sigmoid = (x) => (x < 0 ? Math.exp(x) / (1 + Math.exp(x)) : 1 / (1 + Math.exp(-x)));
const logaddexp = (x, y) => Math.max(x, y) + Math.log1p(Math.exp(-Math.abs(x - y)));
"""
"""The three stable functions in JavaScript; every printed module starts with it."""


@cache
def numpy_function(arguments: Arguments, exprs: tuple[sp.Expr, ...]) -> Callable[..., Any]:
    """A NumPy function of `arguments` returning one array per expression, broadcasting.

    >>> from dpofield.formulas.stable import logsigmoid
    >>> x = sp.Symbol("x")
    >>> float(numpy_function((x,), (logsigmoid(x),))(-1000.0)[0])
    -1000.0
    """
    namespace = {
        "expit": scipy.special.expit,
        "log_expit": scipy.special.log_expit,
        "logaddexp": np.logaddexp,
    }
    printer = _NumPy({"fully_qualified_modules": False, "allow_unknown_functions": True})
    function: Callable[..., Any] = sp.lambdify(
        arguments, [fuse(e) for e in exprs], modules=[namespace, "numpy"], printer=printer
    )
    return function


@cache
def _torch() -> tuple[Any, Any]:
    """torch and its printer; imported here, as it takes seconds and most chapters never need it."""
    import torch
    from sympy.printing.pytorch import TorchPrinter

    class _Torch(TorchPrinter):
        _spelling: Mapping[str, str] = {
            "sigmoid": "torch.sigmoid",
            "logsigmoid": "torch.nn.functional.logsigmoid",
            "logaddexp": "torch.logaddexp",
            "fusedexp": "torch.exp",
        }
        _print_sigmoid = _print_logsigmoid = _print_logaddexp = _NumPy._stable
        _print_fusedexp = _NumPy._stable

    return torch, _Torch({"fully_qualified_modules": False, "allow_unknown_functions": True})


@cache
def torch_function(arguments: Arguments, exprs: tuple[sp.Expr, ...]) -> Callable[..., Any]:
    """The same for torch tensors, differentiable twice.

    >>> from dpofield.formulas.stable import logsigmoid
    >>> x = sp.Symbol("x")
    >>> import torch
    >>> t = torch.tensor(-200.0, requires_grad=True)
    >>> torch_function((x,), (logsigmoid(x),))(t)[0].backward(); t.grad
    tensor(1.)
    """
    torch, printer = _torch()
    function: Callable[..., Any] = sp.lambdify(
        arguments, [fuse(e) for e in exprs], modules=[{"torch": torch}, "torch"], printer=printer
    )
    return function


@cache
def mpmath_function(arguments: Arguments, exprs: tuple[sp.Expr, ...]) -> Callable[..., Any]:
    """The same at mpmath's working precision, from the textbook definitions: the referee.

    >>> from dpofield.formulas.stable import logsigmoid
    >>> x = sp.Symbol("x")
    >>> import mpmath
    >>> with mpmath.workdps(50):
    ...     print(mpmath.nstr(mpmath_function((x,), (logsigmoid(x),))(mpmath.mpf(-1))[0], 15))
    -1.31326168751822
    """
    plain = [e.rewrite(sp.log) for e in exprs]
    function: Callable[..., Any] = sp.lambdify(arguments, plain, modules="mpmath")
    return function


def js_expression(expr: sp.Expr, names: Mapping[sp.Symbol, str] | None = None) -> str:
    """`expr` as one JavaScript expression; `names` renames symbols that are no identifiers.

    >>> from dpofield.formulas.symbols import beta, u, v
    >>> from dpofield.formulas.stable import sigmoid
    >>> js_expression(-beta * sigmoid(-beta * (u - v)))
    '-beta*sigmoid(-beta*(u - v))'
    """
    renamed = expr.xreplace(
        {s: sp.Symbol(n, positive=s.is_positive) for s, n in (names or {}).items()}
    )
    return str(_JavaScript({"allow_unknown_functions": True}).doprint(fuse(renamed)))


def js_function(
    arguments: Sequence[sp.Symbol],
    exprs: Sequence[sp.Expr],
    names: Mapping[sp.Symbol, str] | None = None,
) -> str:
    """An arrow function `(a, b) => [expr, ...]` in JavaScript; put `JS_PRELUDE` before it.

    >>> from dpofield.formulas.symbols import u, v
    >>> js_function((u, v), (u - v,))
    '(u, v) => [u - v]'
    """
    head = ", ".join((names or {}).get(s, str(s)) for s in arguments)
    return f"({head}) => [{', '.join(js_expression(e, names) for e in exprs)}]"


class _Latex(LatexPrinter):
    def _print_log(self, expr: sp.Expr, exp: str | None = None) -> str:
        (argument,) = expr.args
        inner = self._print(argument)
        shown = rf"\log {inner}" if argument.is_Symbol else rf"\log\left({inner}\right)"
        return shown if exp is None else rf"\left({shown}\right)^{{{exp}}}"


def latex(expr: sp.Basic) -> str:
    r"""`expr` as LaTeX, without delimiters.

    >>> from dpofield.formulas.symbols import x1
    >>> print(latex(sp.log(x1) ** 2))
    \left(\log x_{1}\right)^{2}
    """
    return str(_Latex().doprint(expr))
