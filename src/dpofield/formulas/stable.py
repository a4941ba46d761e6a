"""Functions whose textbook form overflows, kept unexpanded so that each printer can avoid that.

`-log(1/(1 + exp(-x)))` is infinite in float64 below x = -710, although its value is 710. SymPy
produces such forms when it differentiates and simplifies. Each function here defines its own
derivative and stays unexpanded until a code printer writes it. `rewrite(sp.log)` expands it into
logarithms and exponentials; the proofs of identities use that form.
"""

from __future__ import annotations

from typing import Any

import sympy as sp
from sympy.core.function import ArgumentIndexError


class _Stable(sp.Function):
    """A real function; numeric evaluation (`evalf`, mpmath) uses its definition."""

    is_real = True

    def _definition(self) -> sp.Expr:
        raise NotImplementedError

    def _eval_rewrite_as_log(self, *args: Any, **hints: Any) -> sp.Expr:
        return self._definition()

    _eval_rewrite_as_exp = _eval_rewrite_as_log

    def _eval_evalf(self, prec: int) -> sp.Expr:
        return self._definition()._eval_evalf(prec)


class sigmoid(_Stable):  # noqa: N801  (SymPy functions are lower case: sin, log, sigmoid)
    """The logistic function `1/(1 + exp(-x))`.

    >>> from sympy.abc import x
    >>> sigmoid(x).diff(x)
    sigmoid(-x)*sigmoid(x)
    >>> sigmoid(0)
    1/2
    """

    nargs = 1
    is_positive = True

    @classmethod
    def eval(cls, x: sp.Expr) -> sp.Expr | None:
        return sp.Rational(1, 2) if x.is_zero else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        if argindex != 1:
            raise ArgumentIndexError(self, argindex)
        return sigmoid(self.args[0]) * sigmoid(-self.args[0])

    def _definition(self) -> sp.Expr:
        return 1 / (1 + sp.exp(-self.args[0]))

    def _latex(self, printer: Any, exp: Any = None) -> str:
        inner = rf"\sigma\left({printer._print(self.args[0])}\right)"
        return inner if exp is None else rf"{inner}^{{{exp}}}"


class logsigmoid(_Stable):  # noqa: N801
    """`log sigmoid(x)`, negative everywhere, with derivative `sigmoid(-x)`.

    >>> from sympy.abc import x
    >>> logsigmoid(x).diff(x)
    sigmoid(-x)
    >>> logsigmoid(-1000).evalf()
    -1000.00000000000
    """

    nargs = 1
    is_negative = True

    @classmethod
    def eval(cls, x: sp.Expr) -> sp.Expr | None:
        return -sp.log(2) if x.is_zero else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        if argindex != 1:
            raise ArgumentIndexError(self, argindex)
        return sigmoid(-self.args[0])

    def _definition(self) -> sp.Expr:
        return -sp.log(1 + sp.exp(-self.args[0]))

    def _latex(self, printer: Any, exp: Any = None) -> str:
        inner = rf"\log\sigma\left({printer._print(self.args[0])}\right)"
        return inner if exp is None else rf"\left({inner}\right)^{{{exp}}}"


class logaddexp(_Stable):  # noqa: N801
    """`log(exp(x) + exp(y))`: the log-partition function of two logits.

    >>> from sympy.abc import x, y
    >>> logaddexp(x, y).diff(x)
    sigmoid(x - y)
    """

    nargs = 2

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        x, y = self.args
        if argindex not in (1, 2):
            raise ArgumentIndexError(self, argindex)
        return sigmoid(x - y) if argindex == 1 else sigmoid(y - x)

    def _definition(self) -> sp.Expr:
        return sp.log(sp.exp(self.args[0]) + sp.exp(self.args[1]))

    def _latex(self, printer: Any, exp: Any = None) -> str:
        x, y = (printer._print(a) for a in self.args)
        inner = rf"\log\left(e^{{{x}}} + e^{{{y}}}\right)"
        return inner if exp is None else rf"\left({inner}\right)^{{{exp}}}"


class boxcox(_Stable):  # noqa: N801
    """`(exp(k x) - 1)/k`: the Box-Cox transform of `exp(x)`, equal to x at k = 0.

    It has the sign of x for every k.

    >>> from sympy.abc import x, k
    >>> boxcox(x, k).diff(x)
    exp(k*x)
    >>> boxcox(x, 0)
    x
    >>> boxcox(1, sp.Symbol("z", real=True)).is_positive
    True
    """

    nargs = 2

    @classmethod
    def eval(cls, x: sp.Expr, k: sp.Expr) -> sp.Expr | None:
        return x if k.is_zero else None

    def _eval_is_positive(self) -> bool | None:
        return bool(self.args[0].is_positive) or None

    def _eval_is_negative(self) -> bool | None:
        return bool(self.args[0].is_negative) or None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        x, k = self.args
        if argindex == 1:
            return sp.exp(k * x)
        raise ArgumentIndexError(self, argindex)

    def _definition(self) -> sp.Expr:
        x, k = self.args
        return (sp.exp(k * x) - 1) / k

    def _latex(self, printer: Any, exp: Any = None) -> str:
        x, k = self.args
        power = rf"e^{{{printer._print(k * x)}}}"
        flip = k.could_extract_minus_sign()
        over = printer._print(-k if flip else k)
        inner = rf"\frac{{{f'1 - {power}' if flip else f'{power} - 1'}}}{{{over}}}"
        return inner if exp is None else rf"\left({inner}\right)^{{{exp}}}"


class logodds(_Stable):  # noqa: N801
    """`x - log(1 - exp(x))`: the log-odds of an event whose log-probability is x < 0.

    >>> from sympy.abc import x
    >>> logodds(x).diff(x)
    exp(logodds(x)) + 1
    """

    nargs = 1

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        if argindex != 1:
            raise ArgumentIndexError(self, argindex)
        return 1 + sp.exp(self)

    def _definition(self) -> sp.Expr:
        (x,) = self.args
        return x - sp.log(1 - sp.exp(x))

    def _latex(self, printer: Any, exp: Any = None) -> str:
        inner = rf"\operatorname{{logit}}\left(e^{{{printer._print(self.args[0])}}}\right)"
        return inner if exp is None else rf"\left({inner}\right)^{{{exp}}}"


class relu(_Stable):  # noqa: N801
    """`max(0, x)`; its derivative at the kink is 0, as in torch.

    >>> from sympy.abc import x
    >>> relu(2 * x).diff(x)
    2*step(2*x)
    """

    nargs = 1
    is_nonnegative = True

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        if argindex != 1:
            raise ArgumentIndexError(self, argindex)
        return step(self.args[0])

    def _definition(self) -> sp.Expr:
        return sp.Piecewise((self.args[0], self.args[0] > 0), (0, True))

    def _latex(self, printer: Any, exp: Any = None) -> str:
        inner = rf"\max\left(0, {printer._print(self.args[0])}\right)"
        return inner if exp is None else rf"{inner}^{{{exp}}}"


class step(_Stable):  # noqa: N801
    """1 where x > 0, else 0; its derivative is taken as 0 everywhere.

    >>> from sympy.abc import x
    >>> step(x).diff(x), step(1), step(0)
    (0, 1, 0)
    """

    nargs = 1
    is_nonnegative = True

    @classmethod
    def eval(cls, x: sp.Expr) -> sp.Expr | None:
        if x.is_positive:
            return sp.S.One
        return sp.S.Zero if x.is_nonpositive else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        if argindex != 1:
            raise ArgumentIndexError(self, argindex)
        return sp.S.Zero

    def _definition(self) -> sp.Expr:
        return sp.Piecewise((1, self.args[0] > 0), (0, True))

    def _latex(self, printer: Any, exp: Any = None) -> str:
        return rf"\mathbf{{1}}\left[{printer._print(self.args[0])} > 0\right]"


class fusedexp(_Stable):  # noqa: N801
    """`exp(x)` that SymPy does not split into a product again; only `fuse` creates it."""

    nargs = 1
    is_positive = True

    def _definition(self) -> sp.Expr:
        return sp.exp(self.args[0])


class boxdiff(_Stable):  # noqa: N801
    """`boxcox(x, k) - boxcox(y, k)`, a difference of powers; only `fuse` creates it."""

    nargs = 3

    def _definition(self) -> sp.Expr:
        x, y, k = self.args
        return (sp.exp(k * x) - sp.exp(k * y)) / k


def _powers(expr: sp.Expr) -> sp.Expr:
    """Write each difference of two powers in a sum as one function: both may overflow."""
    if not expr.args:
        return expr
    if not expr.is_Add:
        return expr.func(*map(_powers, expr.args))
    terms = [_powers(term) for term in expr.args]
    found = []
    while terms:
        factor, power = terms[0].as_independent(sp.exp, boxcox)
        for other in terms[1:]:
            minus, second = other.as_independent(sp.exp, boxcox)
            pair = (power, second)
            if minus == -factor and all(isinstance(p, sp.exp) for p in pair):
                made = boxdiff(power.args[0], second.args[0], sp.S.One)
            elif minus == -factor and all(isinstance(p, boxcox) for p in pair):
                if power.args[1] != second.args[1]:
                    continue
                made = boxdiff(power.args[0], second.args[0], power.args[1])
            else:
                continue
            terms.remove(other)
            found.append(factor * made)
            break
        else:
            found.append(terms[0])
        del terms[0]
    return sp.Add(*found)


def fuse(expr: sp.Expr) -> sp.Expr:
    """Rewrite products and differences of exponentials in forms that overflow only if they must.

    Each product of sigmoids and powers becomes one exponential of the same value.

    `sigmoid(-800)/x` at `x = exp(-300)` is in range, but its numerator underflows to 0;
    `exp(logsigmoid(-800) - log(x))` does not underflow. A difference of two powers becomes one
    function, since both can be infinite. Printers apply `fuse` to every term.

    >>> x, y = sp.symbols("x y", positive=True)
    >>> fuse(sp.log(sp.exp(y) - sp.exp(x)))
    log(-boxdiff(x, y, 1))
    >>> fuse(sigmoid(-x) / x)
    fusedexp(-log(x) + logsigmoid(-x))
    >>> fuse(-sigmoid(x))
    -sigmoid(x)
    """
    expr = _powers(expr)
    if expr.is_Add:
        return sp.Add(*map(_fused, expr.args))
    return _fused(expr)


def _fused(expr: sp.Expr) -> sp.Expr:
    exponents, rest = [], []
    for factor in sp.Mul.make_args(expr):
        base, power = factor.as_base_exp()
        if isinstance(factor, sp.exp):
            exponents.append(factor.args[0])
        elif isinstance(base, sigmoid):
            exponents.append(power * logsigmoid(base.args[0]))
        elif base.is_Symbol and base.is_positive and power.is_negative:
            exponents.append(power * sp.log(base))
        else:
            rest.append(factor)
    if len(exponents) < 2:
        return expr
    return sp.Mul(*rest, fusedexp(sp.Add(*exponents)))
