"""f-DPO: the logistic loss of `f'(x1) - f'(x2)`, for divergences other than reverse KL."""

from __future__ import annotations

from dpofield.formulas.divergences import DIVERGENCES, Divergence
from dpofield.formulas.losses.core import BETA, Loss
from dpofield.formulas.stable import logsigmoid
from dpofield.formulas.symbols import beta, u, v


def f_dpo(divergence: Divergence) -> Loss:
    """The f-DPO loss of a divergence.

    >>> f_dpo(DIVERGENCES["reverse_kl"]).expr
    -logsigmoid(beta*(u - v))
    """
    margin = divergence.score - divergence.score.subs(u, v)
    return Loss(
        name=divergence.loss,
        title=f"f-DPO, {divergence.title}",
        expr=-logsigmoid(beta * margin),
        params=(BETA, *divergence.params),
        source=divergence.source,
    )


DIVERGENCE = tuple(f_dpo(d) for d in DIVERGENCES.values() if d.name != "reverse_kl")
