"""The f-divergences that may replace the KL penalty, each defined by its generator f.

With the penalty `beta D_f(pi || pi_ref)` the implicit reward of a response is `beta f'(pi/pi_ref)`
up to a constant of the prompt, so the margin of a pair is `m = f'(x1) - f'(x2)` (f-DPO: Wang et al.
2023, arXiv 2309.16240). Reverse KL gives DPO.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import sympy as sp

from dpofield.formulas.parameters import Parameter
from dpofield.formulas.stable import boxcox, logsigmoid
from dpofield.formulas.symbols import alpha, u, x

WANG = "Wang et al. 2023 (f-DPO), arXiv 2309.16240"
ALPHA = Parameter(
    "alpha",
    alpha,
    0.5,
    sp.Interval.open(-sp.oo, sp.oo),
    "the exponent is a finite number; its limits 0 and 1 are forward and reverse KL",
)


@dataclass(frozen=True)
class Divergence:
    """A divergence `sum_y pi_ref(y) f(pi(y)/pi_ref(y))`; its generator `f` is a function of `x`.

    `score` is f' at `x = exp(u)`, up to a constant that cancels in the margin, in a form that
    overflows only where f' does; a test compares it with `first`. `loss` is the name in `LOSSES`
    of the divergence's f-DPO loss.
    """

    name: str
    title: str
    f: sp.Expr
    score: sp.Expr
    loss: str
    source: str = WANG
    params: tuple[Parameter, ...] = ()

    @cached_property
    def first(self) -> sp.Expr:
        """f', computed by SymPy.

        >>> DIVERGENCES["forward_kl"].first
        -1/x
        """
        return sp.simplify(sp.diff(self.f, x))

    @cached_property
    def second(self) -> sp.Expr:
        """f'', computed by SymPy.

        >>> DIVERGENCES["js"].second
        1/(x*(x + 1))
        """
        return sp.factor(sp.powsimp(sp.simplify(sp.diff(self.f, x, 2))))


_ALL = (
    Divergence("reverse_kl", "reverse KL", x * sp.log(x), u, "dpo"),
    Divergence("forward_kl", "forward KL", -sp.log(x), -sp.exp(-u), "forward_kl"),
    Divergence(
        "js", "Jensen-Shannon", x * sp.log(x) - (x + 1) * sp.log((x + 1) / 2), logsigmoid(u), "js"
    ),
    Divergence(
        "alpha",
        "alpha",
        (x**alpha - alpha * x - (1 - alpha)) / (alpha * (alpha - 1)),
        boxcox(u, alpha - 1),
        "alpha_div",
        params=(ALPHA,),
    ),
    Divergence(
        "chi2",
        "chi-squared",
        (x - 1) ** 2 / 2,
        sp.exp(u),
        "chi2",
        source="Pearson's chi-squared by its generator; as a DPO loss, this book's own",
    ),
)

DIVERGENCES: MappingProxyType[str, Divergence] = MappingProxyType({d.name: d for d in _ALL})
"""All divergences of the book by name."""
