"""Room and price: where the two means can go, over twelve responses ordered by reward."""

from __future__ import annotations

from functools import cache
from typing import Any

import sympy as sp
import traitlets
from scipy.special import ndtri

from dpofield.formulas.parameters import Parameter
from dpofield.formulas.stable import sigmoid
from dpofield.formulas.theorems.room_and_price import w
from dpofield.widgets.figure import Code, Demo, Figure, Number, facts, printed, room

COUNT = 12
REWARDS = [float(ndtri((i + 0.5) / COUNT)) for i in range(COUNT)]
"""Twelve quantiles of a normal distribution: a Gaussian reward of standard deviation 1."""
NOISE = [(-1) ** min(i, COUNT - 1 - i) for i in range(COUNT)]
"""A direction that moves policies and no margin: it treats high and low rewards alike."""
PAIRS = {"order": "strict order", "judges": "judges", "best": "best of $n$"}
POLICIES = {"cheapest": "least KL", "sft": "SFT", "rlhf": "RLHF"}
MARGIN = Parameter(
    "margin", sp.Symbol("m"), 1.0, sp.Interval(0, 8), "this figure goes from 0 to 8 nats"
)
SPREAD = Parameter(
    "noise", sp.Symbol("k"), 0.0, sp.Interval(0, 2), "this figure goes from 0 to 2 nats"
)
SD = Parameter(
    "sd", sp.Symbol("s"), 2.0, sp.Interval(sp.Rational(1, 20), 20),
    "this figure has rewards of standard deviation 0.05 to 20",
)  # fmt: skip
SIZE = Parameter(
    "n", sp.Symbol("n"), 4.0, sp.Interval(2, 16), "this figure takes the best of 2 to 16 responses"
)


@cache
def formulas() -> dict[str, Code]:
    """The functions of the figure, each returning an array. Ratios are to the reference.

    `ratios(w)`: of q_w and q_l. `best(below, own, n)`: of the best of n, where a response has the
    mass `own` above the mass `below`. `wins`: of a Bradley-Terry judge. `term(a)`: of a divergence.
    `scores(a, b)`: q_w - q_l over twice the reference, and over twice their mean q, and q itself.
    The log-ratios of policies before they are normalised: `cheapest(1 + t, t, depth)` for a score t
    over that of the worst response, `mixture(a, share)`, `tilted(r, strength)`. `mass` and `gain`
    go to probabilities and back.
    """
    a, b, n, t, one, depth, share, r, s = sp.symbols("a b n t one depth share r s", real=True)
    p, q, below, own = sp.symbols("p q below own", positive=True)
    # At the worst response, exp(-depth) would underflow.
    cheapest = sp.Piecewise((-depth, one <= 0), (sp.log(one - t * sp.exp(-depth)), True))
    return {
        "ratios": printed((w,), (2 * w, 2 * (1 - w))),
        "best": printed((below, own, n), (((below + own) ** n - below**n) / own,)),
        "wins": printed((r, s), (sigmoid(r - s),)),
        "term": printed((p,), (p * sp.log(p),)),
        "scores": printed((a, b), ((a - b) / 2, (a - b) / (a + b), (a + b) / 2)),
        "cheapest": printed((one, t, depth), (cheapest,)),
        "mixture": printed((a, share), (sp.log(1 + share * (a - 1)),)),
        "tilted": printed((r, s), (r * s,)),
        "mass": printed((p, r), (p * sp.exp(r),)),
        "gain": printed((p, q), (sp.log(p / q),)),
    }


class RoomAndPrice(Figure):
    """Twelve responses in the order of their reward, and a policy that gains margin on their pairs.

    `pairs` is "order", "judges" or "best": how pairs are made of responses of the reference.
    `policy` is "cheapest", "sft" or "rlhf": the path on which the policy is. `margin` (nats) is its
    mean margin, `noise` (nats) the size of a change that gains no margin, `sd` the standard
    deviation of the reward that the judges see, and `n` the number of responses of which the best
    and the worst are taken. With a kernel, the page updates all six traits.

    Raises `traitlets.TraitError` for an unknown name and for values out of range.

    >>> figure = RoomAndPrice(pairs="best", n=8)
    >>> figure.margin = -1
    Traceback (most recent call last):
    ...
    traitlets.traitlets.TraitError: margin = -1.0 is outside [0, 8]: this figure goes from 0 to 8 \
nats
    """

    demo = Demo(
        "Room and price",
        "Where the mean log-ratios of preferred and dispreferred responses can go, and what a "
        "margin costs: a stand-alone page.",
        "Drag the point in the plane: the policy gains margin on the cheapest path. The preferred "
        "stops at the dashed line, and the dispreferred falls. Then choose the RLHF optimum, or "
        "add noise.",
    )
    pairs = traitlets.Enum(tuple(PAIRS), default_value="order").tag(sync=True)
    policy = traitlets.Enum(tuple(POLICIES), default_value="cheapest").tag(sync=True)
    margin = Number(MARGIN)
    noise = Number(SPREAD)
    sd = Number(SD)
    n = traitlets.Int(int(SIZE.default or 2), min=2, max=16).tag(sync=True)
    _height, _height_narrow = room(732, 1333)

    def exports(self) -> dict[str, Any]:
        """Formulas, parameters, the names of choices, rewards, and the direction of the noise."""
        parameters = {"MARGIN": MARGIN, "SPREAD": SPREAD, "SD": SD, "SIZE": SIZE}
        return {
            "FORMULAS": formulas(), "REWARDS": REWARDS, "NOISE": NOISE,
            "PAIRS": PAIRS, "POLICIES": POLICIES,
            **{name: facts(p) for name, p in parameters.items()},
        }  # fmt: skip
