"""A preference loss as an object: one SymPy expression and the code that is printed from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Real
from typing import Any, Literal

import numpy as np
import sympy as sp

from dpofield.formulas import symbols as s
from dpofield.formulas.decide import vanishes
from dpofield.formulas.parameters import (
    Parameter,
    common_shape,
    detached,
    real_array,
    resolve,
)
from dpofield.formulas.printers import js_function, latex, numpy_function, torch_function

Scale = Literal["sum", "token"]

POSITIVE = sp.Interval.open(0, sp.oo)
NONNEGATIVE = sp.Interval(0, sp.oo)
NONPOSITIVE = sp.Interval.Lopen(-sp.oo, 0)
REAL = sp.Interval.open(-sp.oo, sp.oo)
BELOW_HALF = sp.Interval.Ropen(0, sp.Rational(1, 2))

BETA = Parameter("beta", s.beta, 0.1, POSITIVE, "the strength of the KL penalty is positive")
EPSILON = Parameter(
    "epsilon", s.epsilon, 0.0, BELOW_HALF, "fewer than half of the labels are wrong"
)
GAMMA = Parameter("gamma", s.gamma, 0.5, REAL, "a target margin is a finite number")
LAMBDA = Parameter("lam", s.lam, 1.0, NONNEGATIVE, "a weight is not negative")

REF_W = Parameter("ref_w", s.ref_w, None, NONPOSITIVE, "a reference log-probability is <= 0")
REF_L = Parameter("ref_l", s.ref_l, None, NONPOSITIVE, "a reference log-probability is <= 0")
LEN_W = Parameter("len_w", s.len_w, None, POSITIVE, "the scored tokens of a response are counted")
LEN_L = Parameter("len_l", s.len_l, None, POSITIVE, "the scored tokens of a response are counted")

H = s.u - s.v
"""The margin (nats)."""
LOGP_W, LOGP_L = s.u + s.ref_w, s.v + s.ref_l
"""The policy's own log-probabilities of the two responses, summed over tokens."""
MEAN_W, MEAN_L = LOGP_W / s.len_w, LOGP_L / s.len_l
"""Their means per token."""


def default(parameter: Parameter, value: float) -> Parameter:
    """The same parameter with another default.

    >>> default(BETA, 0.01).default
    0.01
    """
    return replace(parameter, default=value)


@dataclass(frozen=True)
class Sign:
    """A partial derivative as the product `positive * witness`; the witness has its sign.

    The loss only declares this; `classify` proves the product and that `positive` is positive.
    """

    positive: sp.Expr
    witness: sp.Expr


@dataclass(frozen=True)
class Loss:
    """A per-pair preference loss of the log-ratios `u = log x1` and `v = log x2` (nats).

    The NumPy, torch, JavaScript and LaTeX forms are printed from `expr`. Losses are not reduced
    over pairs: a batch of B pairs gives B values.
    `params` are hyperparameters, with defaults. `inputs` are data of the pair beside u and v
    (`ref_w`, `ref_l` in nats, `len_w`, `len_l` in tokens); they have no defaults.
    `scale` is "sum" if the loss compares log-probabilities summed over tokens, and "token" if it
    compares means per token, where beta is larger for the same strength.
    `signs` are factorisations for `classify`, where SymPy cannot find the sign of a partial.
    """

    name: str
    title: str
    expr: sp.Expr
    params: tuple[Parameter, ...]
    source: str
    inputs: tuple[Parameter, ...] = ()
    scale: Scale = "sum"
    signs: tuple[Sign | None, Sign | None] = (None, None)

    @property
    def defaults(self) -> dict[str, float]:
        """Default values of the hyperparameters by name."""
        return {p.name: p.default for p in self.params if p.default is not None}

    def complete(self, given: Mapping[str, float]) -> dict[str, float]:
        """All hyperparameters by name: those in `given`, and the defaults of the others.

        Raises `ValueError` for a name that the loss does not have, a value that is not a number
        and a number out of range.

        >>> from dpofield.formulas.losses import LOSSES
        >>> LOSSES["dpop"].complete({"lam": 5})
        {'beta': 0.1, 'lam': 5.0}
        >>> LOSSES["dpo"].complete({"lam": 5})
        Traceback (most recent call last):
        ...
        ValueError: params: the loss 'dpo' has no 'lam'; it has beta
        """
        known = {p.name: p for p in self.params}
        for name, value in given.items():
            if name not in known:
                has = ", ".join(known) or "none"
                raise ValueError(f"params: the loss {self.name!r} has no {name!r}; it has {has}")
            if not isinstance(value, Real):
                raise ValueError(f"params: {name} = {value!r}: give a number")
            known[name].check(value)
        return {name: float(x) for name, x in (self.defaults | dict(given)).items()}

    @property
    def arguments(self) -> tuple[Parameter, ...]:
        """Hyperparameters, followed by inputs."""
        return (*self.params, *self.inputs)

    @property
    def symbols(self) -> tuple[sp.Symbol, ...]:
        """`u`, `v` and the arguments, in the order of every printed function."""
        return (s.u, s.v, *(p.symbol for p in self.arguments))

    @cached_property
    def partials(self) -> tuple[sp.Expr, sp.Expr]:
        """The partial derivatives with respect to u and v."""
        return sp.diff(self.expr, s.u), sp.diff(self.expr, s.v)

    @cached_property
    def margin_only(self) -> bool:
        """Whether the loss depends on `u - v` only, for given inputs: dL/du + dL/dv = 0.

        Raises `UndecidedError` if SymPy can neither prove nor refute it.

        >>> from dpofield.formulas.losses import LOSSES
        >>> LOSSES["ipo"].margin_only, LOSSES["nca"].margin_only
        (True, False)
        """
        return vanishes(sp.Add(*self.partials), self.arguments)

    def numpy(self, u_: Any, v_: Any, **params: Any) -> Any:
        """Per-pair loss (nats) of arrays that broadcast; `params` holds hyperparameters and inputs.

        The result has the shape to which `u_`, `v_` and all of `params` broadcast. Raises
        `ValueError` naming a value out of range (beta <= 0), a masked array, or the shapes that do
        not broadcast, and `TypeError` for an unknown argument or a missing input.

        >>> from dpofield.formulas.losses import LOSSES
        >>> LOSSES["dpo"].numpy([0.0, 1000.0], [0.0, -1000.0], beta=1.0)
        array([0.69314718, 0.        ])
        """
        given = detached(resolve(self.arguments, params, f"loss {self.name!r}"))
        u_, v_ = real_array("u", u_), real_array("v", v_)
        self.possible(u_, v_, given)
        return self._call(numpy_function, u_, v_, given)

    def torch(self, u_: Any, v_: Any, **params: Any) -> Any:
        """Per-pair loss (nats) of tensors that broadcast, differentiable, not reduced.

        Arguments and errors as in `numpy`. Integers become torch's default floating type.

        >>> import torch
        >>> from dpofield.formulas.losses import LOSSES
        >>> LOSSES["dpo"].torch(torch.tensor([0.0, 2.0]), torch.tensor([0.0, 0.0]), beta=1.0)
        tensor([0.6931, 0.1269])
        """
        import torch

        for name, value in (("u", u_), ("v", v_)):
            if not isinstance(value, torch.Tensor):
                raise TypeError(f"{name} is {type(value).__name__}, not a tensor: use `numpy`")
        given = resolve(self.arguments, params, f"loss {self.name!r}")
        dtype = torch.promote_types(u_.dtype, v_.dtype)
        if not dtype.is_floating_point:
            dtype = torch.get_default_dtype()
            u_, v_ = u_.to(dtype), v_.to(dtype)
        like = {"dtype": dtype, "device": u_.device}
        given = {name: torch.as_tensor(value, **like) for name, value in given.items()}
        self.possible(u_.detach(), v_.detach(), given)
        return self._call(torch_function, u_, v_, given)

    def possible(self, u_: Any, v_: Any, given: Mapping[str, Any]) -> None:
        """Raise `ValueError` if a log-ratio and its reference give a log-probability above 0.

        `given` holds the inputs by name. Sums may exceed 0 by rounding, 1e-5 of the reference.
        """
        for name, ratio, ref in (("u", u_, "ref_w"), ("v", v_, "ref_l")):
            if ref not in given:
                continue
            over = ratio + given[ref] - 1e-5 * (1 + abs(given[ref]))
            if (over > 0).any():
                raise ValueError(
                    f"{name} + {ref} > 0 for {int((over > 0).sum())} values: this is the policy's "
                    "log-probability, which is at most 0; check both for their sign and pairing"
                )

    def _call(self, printed: Callable[..., Any], u_: Any, v_: Any, given: dict[str, Any]) -> Any:
        values = {"u": u_, "v": v_, **given}
        common_shape(f"loss {self.name!r}", {name: np.shape(x) for name, x in values.items()})
        (value,) = printed(self.symbols, (self.expr,))(*values.values())
        return value

    @property
    def js(self) -> str:
        """The loss as a JavaScript arrow function of u, v and the arguments.

        >>> from dpofield.formulas.losses import LOSSES
        >>> LOSSES["dpo"].js
        '(u, v, beta) => [-logsigmoid(beta*(u - v))]'
        """
        names = {p.symbol: p.name for p in self.arguments}
        return js_function(self.symbols, (self.expr,), names)

    @property
    def latex(self) -> str:
        r"""The loss as LaTeX, without a left-hand side; `u + ref_w` is written as ell_w.

        >>> from dpofield.formulas.losses import LOSSES
        >>> print(LOSSES["sft"].latex)
        - \frac{\ell_{w}}{n_{w}}
        """
        written = {
            s.ref_w: sp.Symbol(r"\ell_{w}") - s.u,
            s.ref_l: sp.Symbol(r"\ell_{l}") - s.v,
        }
        return latex(self.expr.subs(written))
