"""f-DPO: the logistic loss of the margin `f'(x1) - f'(x2)`, for divergences beside reverse KL."""

from __future__ import annotations

from dpofield.formulas.divergences import DIVERGENCES, Divergence
from dpofield.formulas.losses.core import BETA, Loss
from dpofield.formulas.stable import logsigmoid
from dpofield.formulas.symbols import beta, u, v

_NAMES = {"forward_kl": "forward_kl", "js": "js", "alpha": "alpha_div", "chi2": "chi2"}


def f_dpo(name: str, divergence: Divergence) -> Loss:
    """The DPO loss of a divergence, as a loss of that name.

    >>> f_dpo("kl", DIVERGENCES["reverse_kl"]).expr
    -logsigmoid(beta*(u - v))
    """
    margin = divergence.score - divergence.score.subs(u, v)
    return Loss(
        name=name,
        title=f"f-DPO, {divergence.title}",
        expr=-logsigmoid(beta * margin),
        params=(BETA, *divergence.params),
        source=divergence.source,
    )


DIVERGENCE = tuple(f_dpo(name, DIVERGENCES[key]) for key, name in _NAMES.items())
