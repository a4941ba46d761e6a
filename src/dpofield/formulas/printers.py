"""Printers of one expression: NumPy, torch, JavaScript, mpmath (as the reference) and LaTeX.

The NumPy, torch and JavaScript printers write the functions of `stable` in a form that neither
overflows nor loses digits, and every product of them as one exponential (`stable.fuse`). SymPy
prints everything else. LaTeX differs from SymPy's in two ways: the logarithm of a symbol or a
number has no brackets, and the derivative of an undefined function is written f'.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
import scipy.special
import sympy as sp
from sympy.core.function import AppliedUndef
from sympy.printing.jscode import JavascriptCodePrinter
from sympy.printing.latex import LatexPrinter
from sympy.printing.numpy import NumPyPrinter

from dpofield.formulas.stable import fuse

Arguments = tuple[sp.Symbol, ...]


class _Spelled:
    """Prints a stable function under its own name; `_spelling` holds the exceptions."""

    _spelling: Mapping[str, str] = {}

    def _stable(self, expr: sp.Function) -> str:
        arguments = ", ".join(self._print(a) for a in expr.args)  # type: ignore[attr-defined]
        name = type(expr).__name__
        return f"{self._spelling.get(name, name)}({arguments})"

    _print_sigmoid = _print_logsigmoid = _print_logaddexp = _print_boxcox = _stable
    _print_boxdiff = _stable
    _print_logodds = _print_relu = _print_step = _print_fusedexp = _stable


class _NumPy(_Spelled, NumPyPrinter):
    _spelling = MappingProxyType({"fusedexp": "exp"})


class _JavaScript(_Spelled, JavascriptCodePrinter):
    _spelling = MappingProxyType({"fusedexp": "Math.exp"})


def _boxcox(x: Any, k: Any) -> Any:
    return x * scipy.special.exprel(k * x)


def _boxdiff(x: Any, y: Any, k: Any) -> Any:
    with np.errstate(divide="ignore", over="ignore"):  # at x = y; beyond float64
        size = np.log(abs(x - y)) + np.log(scipy.special.exprel(-abs(k * (x - y))))
        return np.sign(x - y) * np.exp(np.maximum(k * x, k * y) + size)


def _logodds(x: Any) -> Any:
    # Each form of log(1 - exp(x)) is accurate on one side of -log 2 only.
    with np.errstate(divide="ignore"):  # the odds at log-probability 0 are infinite
        tail = np.where(x < -np.log(2), np.log1p(-np.exp(x)), np.log(-np.expm1(x)))
    return x - tail


def _logsigmoid(x: Any) -> Any:
    # SciPy's log_expit is as accurate and three times slower.
    with np.errstate(under="ignore"):
        return -(np.maximum(-x, 0.0) + np.log1p(np.exp(-np.abs(x))))


_NUMPY = {
    "sigmoid": scipy.special.expit,
    "logsigmoid": _logsigmoid,
    "logaddexp": np.logaddexp,
    "boxcox": _boxcox,
    "boxdiff": _boxdiff,
    "logodds": _logodds,
    "relu": lambda x: np.maximum(x, 0.0),
    "step": lambda x: np.heaviside(x, 0.0),
}

JS_PRELUDE = """\
const logsigmoid = (x) => (x < 0 ? x - Math.log1p(Math.exp(x)) : -Math.log1p(Math.exp(-x)));
const sigmoid = (x) => (x < 0 ? Math.exp(x) / (1 + Math.exp(x)) : 1 / (1 + Math.exp(-x)));
const logaddexp = (x, y) => Math.max(x, y) + Math.log1p(Math.exp(-Math.abs(x - y)));
const boxcox = (x, k) => (k === 0 ? x : Math.expm1(k * x) / k);
const boxdiff = (x, y, k) => {
  const far = Math.abs(k * (x - y));
  const size = far === 0 ? 0 : Math.log(-Math.expm1(-far) / far);
  return Math.sign(x - y) * Math.exp(Math.max(k * x, k * y) + Math.log(Math.abs(x - y)) + size);
};
const log1mexp = (x) => (x < -Math.LN2 ? Math.log1p(-Math.exp(x)) : Math.log(-Math.expm1(x)));
const logodds = (x) => x - log1mexp(x);
const relu = (x) => Math.max(x, 0);
const step = (x) => (x > 0 ? 1 : 0);
"""
"""The stable functions in JavaScript; every printed module starts with this text."""


@cache
def numpy_function(arguments: Arguments, exprs: tuple[sp.Expr, ...]) -> Callable[..., Any]:
    """A NumPy function of `arguments` returning one array per expression.

    Every array has the shape to which all arguments broadcast, also where an expression is
    constant or does not contain an argument.

    >>> from dpofield.formulas.stable import logsigmoid
    >>> x = sp.Symbol("x")
    >>> float(numpy_function((x,), (logsigmoid(x),))(-1000.0)[0])
    -1000.0
    """
    printer = _NumPy({"fully_qualified_modules": False, "allow_unknown_functions": True})
    function: Callable[..., Any] = sp.lambdify(
        arguments, [fuse(e) for e in exprs], modules=[_NUMPY, "numpy"], printer=printer
    )

    def broadcast(*values: Any) -> list[Any]:
        shape = np.broadcast_shapes(*map(np.shape, values))
        found = function(*values)
        return [x if np.shape(x) == shape else np.broadcast_to(x, shape).copy() for x in found]

    return broadcast


@cache
def _torch() -> tuple[dict[str, Any], Any]:
    """torch's namespace and printer; torch is imported here because its import takes seconds."""
    import torch
    from sympy.printing.pytorch import TorchPrinter

    class _Torch(_Spelled, TorchPrinter):
        _spelling = MappingProxyType(
            {
                "logsigmoid": "torch.nn.functional.logsigmoid",
                "logaddexp": "torch.logaddexp",
                "relu": "torch.relu",
                "fusedexp": "torch.exp",
            }
        )

    class Power(torch.autograd.Function):
        """exp(z) - 1. torch's own gradient loses all digits far below 0. Far above 0 it is nan,
        where a sigmoid multiplies the infinite power by 0."""

        @staticmethod
        def forward(z: Any) -> Any:
            return torch.expm1(z)

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            (z,) = ctx.saved_tensors
            return torch.where(grad == 0, grad, grad * torch.exp(z))

    grown: Any = Power.apply

    def sigmoid(x: Any) -> Any:
        # torch differentiates its own sigmoid as s (1 - s), which is 0 once s rounds to 1
        return torch.exp(torch.nn.functional.logsigmoid(x))

    def boxcox(x: Any, k: Any) -> Any:
        k = torch.as_tensor(k, dtype=x.dtype, device=x.device)
        safe = torch.where(k == 0, 1, k)  # autograd reads both branches
        return torch.where(k == 0, x, grown(safe * x) / safe)

    def boxdiff(x: Any, y: Any, k: Any) -> Any:
        first, second = boxcox(x, k), boxcox(y, k)
        both = torch.isinf(first) & (first == second)
        return torch.where(both, (x - y) * torch.finfo(first.dtype).max, first - second)

    def logodds(x: Any) -> Any:
        return x - torch.where(
            x < -np.log(2), torch.log1p(-torch.exp(x)), torch.log(-torch.expm1(x))
        )

    namespace = {
        "torch": torch,
        "sigmoid": sigmoid,
        "boxcox": boxcox,
        "boxdiff": boxdiff,
        "logodds": logodds,
        "step": lambda x: (x > 0).to(x.dtype),
    }
    return namespace, _Torch({"fully_qualified_modules": False, "allow_unknown_functions": True})


@cache
def torch_function(arguments: Arguments, exprs: tuple[sp.Expr, ...]) -> Callable[..., Any]:
    """A torch function of `arguments`, as in `numpy_function`, differentiable twice.

    At least one argument must be a tensor.

    >>> from dpofield.formulas.stable import logsigmoid
    >>> x = sp.Symbol("x")
    >>> import torch
    >>> t = torch.tensor(-200.0, requires_grad=True)
    >>> torch_function((x,), (logsigmoid(x),))(t)[0].backward(); t.grad
    tensor(1.)
    """
    namespace, printer = _torch()
    function: Callable[..., Any] = sp.lambdify(
        arguments, [fuse(e) for e in exprs], modules=[namespace, "torch"], printer=printer
    )
    torch = namespace["torch"]

    def broadcast(*values: Any) -> list[Any]:
        tensors = [x for x in values if isinstance(x, torch.Tensor)]
        shape = torch.broadcast_shapes(*(x.shape for x in tensors))
        # A constant expression is a number.
        found = (torch.as_tensor(x).to(tensors[0]) if isinstance(x, (int, float)) else x
                 for x in function(*values))  # fmt: skip
        return [x if x.shape == shape else x.expand(shape) for x in found]

    return broadcast


@cache
def mpmath_function(arguments: Arguments, exprs: tuple[sp.Expr, ...]) -> Callable[..., Any]:
    """An mpmath function of `arguments`, from the textbook definitions, at the working precision.

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
    """`expr` as one JavaScript expression; `names` renames symbols that are not identifiers.

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
        bare = argument.is_Symbol or (argument.is_Integer and argument.is_positive)
        shown = rf"\log {inner}" if bare else rf"\log\left({inner}\right)"
        return shown if exp is None else rf"\left({shown}\right)^{{{exp}}}"

    def _primed(self, inner: sp.Expr, order: int, at: sp.Expr) -> str:
        name = self._hprint_Function(inner.func.__name__) + "'" * order
        return rf"{name}{{\left({self._print(at)}\right)}}"

    def _print_Derivative(self, expr: sp.Derivative) -> str:
        if _is_own_derivative(expr):
            return self._primed(expr.expr, len(expr.variables), expr.expr.args[0])
        return str(super()._print_Derivative(expr))

    def _print_Subs(self, expr: sp.Subs) -> str:
        if _is_own_derivative(expr.expr) and expr.variables == expr.expr.expr.args:
            return self._primed(expr.expr.expr, len(expr.expr.variables), expr.point[0])
        return str(super()._print_Subs(expr))


def _is_own_derivative(expr: sp.Basic) -> bool:
    """True for f'(x), f''(x), ... of an undefined function of one argument."""
    if not isinstance(expr, sp.Derivative) or not isinstance(expr.expr, AppliedUndef):
        return False
    return set(expr.variables) == set(expr.expr.args)


def latex(expr: sp.Basic) -> str:
    r"""`expr` as LaTeX, without delimiters.

    >>> from dpofield.formulas.symbols import x1
    >>> print(latex(sp.log(x1) ** 2))
    \left(\log x_{1}\right)^{2}
    >>> print(latex(sp.Function("f")(2 * x1).diff(x1)))
    2 f'{\left(2 x_{1}\right)}
    """
    return str(_Latex().doprint(expr))
