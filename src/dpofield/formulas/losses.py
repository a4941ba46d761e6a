"""Preference losses, each written once as a SymPy expression in the log-ratios u and v."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import sympy as sp

from dpofield.formulas.parameters import Parameter, resolve
from dpofield.formulas.printers import js_function, latex, numpy_function, torch_function
from dpofield.formulas.stable import logsigmoid
from dpofield.formulas.symbols import beta, u, v

POSITIVE = sp.Interval.open(0, sp.oo)

BETA = Parameter("beta", beta, 0.1, POSITIVE, "the strength of the KL penalty is positive")


@dataclass(frozen=True)
class Loss:
    """A per-pair preference loss of the log-ratios `u = log x1` and `v = log x2` (nats).

    `expr` is the only place where the formula stands; NumPy, torch, JavaScript and LaTeX are
    printed from it. Nothing here reduces over pairs: a batch of B pairs gives B values.
    """

    name: str
    title: str
    expr: sp.Expr
    params: tuple[Parameter, ...]
    source: str

    @property
    def defaults(self) -> dict[str, float]:
        """Parameter names with the values used when none is given."""
        return {p.name: p.default for p in self.params}

    @property
    def symbols(self) -> tuple[sp.Symbol, ...]:
        """`u`, `v`, then the parameters: the argument order of every printed function."""
        return (u, v, *(p.symbol for p in self.params))

    @cached_property
    def partials(self) -> tuple[sp.Expr, sp.Expr]:
        """The partial derivatives with respect to u and v."""
        return sp.diff(self.expr, u), sp.diff(self.expr, v)

    def numpy(self, u_: Any, v_: Any, **params: Any) -> Any:
        """Per-pair loss (nats) of arrays that broadcast; `ValueError` for beta <= 0.

        >>> LOSSES["dpo"].numpy([0.0, 1000.0], [0.0, -1000.0], beta=1.0)
        array([0.69314718, 0.        ])
        """
        import numpy as np

        given = resolve(self.params, params, f"loss {self.name!r}")
        u_, v_ = np.asarray(u_, dtype=float), np.asarray(v_, dtype=float)
        return self._call(numpy_function, u_, v_, given)

    def torch(self, u_: Any, v_: Any, **params: Any) -> Any:
        """Per-pair loss (nats) of tensors of one shape, differentiable; never reduced.

        >>> import torch
        >>> LOSSES["dpo"].torch(torch.tensor([0.0, 2.0]), torch.tensor([0.0, 0.0]), beta=1.0)
        tensor([0.6931, 0.1269])
        """
        given = resolve(self.params, params, f"loss {self.name!r}")
        return self._call(torch_function, u_, v_, given)

    def _call(self, printed: Callable[..., Any], u_: Any, v_: Any, given: dict[str, Any]) -> Any:
        (value,) = printed(self.symbols, (self.expr,))(u_, v_, *given.values())
        return value

    @property
    def js(self) -> str:
        """The loss as a JavaScript arrow function of u, v and the parameters.

        >>> LOSSES["dpo"].js
        '(u, v, beta) => [-logsigmoid(beta*(u - v))]'
        """
        names = {p.symbol: p.name for p in self.params}
        return js_function(self.symbols, (self.expr,), names)

    @property
    def latex(self) -> str:
        """The loss for the page, without a left-hand side."""
        return latex(self.expr)


_ALL = (
    Loss(
        name="dpo",
        title="DPO",
        expr=-logsigmoid(beta * (u - v)),
        params=(BETA,),
        source="Rafailov et al. 2023, arXiv 2305.18290, Eq. 7",
    ),
)

LOSSES: MappingProxyType[str, Loss] = MappingProxyType({loss.name: loss for loss in _ALL})
"""Every loss of the book by name."""
