"""One softmax, one pair: a policy over a few responses, on its exact path."""
# ruff: noqa: E741  (l is the field's own letter)

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import sympy as sp
import traitlets

from dpofield.formulas.losses import BETA, LOSSES
from dpofield.formulas.parameters import Parameter, check_interval
from dpofield.formulas.symbols import pi_l, pi_w, u, v
from dpofield.formulas.theorems import one_softmax as theorem
from dpofield.widgets.figure import Code, Demo, Figure, Number, checks, facts, printed, room

FEWEST, MOST = 3, 8
SHARE = Parameter(
    "probability",
    sp.Symbol("p"),
    0.2,
    sp.Interval.open(0, 1),
    "every response has some probability",
)
MARGIN = Parameter(
    "margin", sp.Symbol("h"), 0.0, sp.Interval(0, 500), "this figure goes from 0 to 500 nats"
)
START = (0.25, 0.15, 0.3, 0.2, 0.1)
ROUNDING = 1e-9  # tolerance for a sum of probabilities
NEARLY_ALL = 100  # odds of the preferred at the end of the slider
FADED = sp.exp(12)  # a mass smaller by this factor is below a pixel


@cache
def formulas() -> dict[str, Code]:
    """The functions of the figure, each returning an array; margins and moves in nats.

    `rates` are per unit of weight. They also take the mass of the rest, so that no digits are lost
    if the preferred has nearly all the mass. `reach` is the margin at which the preferred has
    nearly all the mass (odds of `NEARLY_ALL`), even if the dispreferred starts with none. `far` is
    a move after which one of the two has nearly all the mass.
    """
    h, s, pi_o = theorem.h, theorem.s, theorem.pi_o
    up = sp.expand(theorem.RATE_W.subs(pi_w, 1 - pi_l - pi_o))
    down = sp.expand(theorem.RATE_L.subs(pi_l, 1 - pi_w - pi_o))
    gain, loss = pi_w * up, -pi_l * down
    weight = -LOSSES["dpo"].partials[0].subs({u: h, v: 0})
    top = pi_o / (pi_o + 2 * sp.sqrt(pi_w * pi_l))
    odds = sp.cancel((theorem.MOVED_W / (1 - theorem.MOVED_W)).subs(pi_l, 0))
    reach = [2 * move for move in sp.solve(odds - NEARLY_ALL, s)]
    far = sp.log(FADED) - sp.log(pi_w) - sp.log(pi_l)
    return {
        "rates": printed((pi_w, pi_l, pi_o), (up, down, theorem.RATE_O)),
        "share": printed((pi_w, pi_l, pi_o), (gain / loss,)),
        "moved": printed((pi_w, pi_l, s), (theorem.MOVED_W, theorem.MOVED_L, theorem.MOVED_O)),
        "clock": printed((h,), (theorem.CLOCK,), (BETA,)),
        "weight": printed((h,), (weight,), (BETA,)),
        "peak": printed((pi_w, pi_l, pi_o), (2 * theorem.MEETING, top)),
        "reach": printed((pi_w,), reach),
        "far": printed((pi_w, pi_l), (far,)),
    }


def check_start(start: Sequence[float], w: int, l: int) -> None:
    """Raise `ValueError` unless `start` is a policy over 3 to 8 responses, w and l two of them."""
    if not FEWEST <= len(start) <= MOST:
        raise ValueError(f"start has {len(start)} responses; the figure shows {FEWEST} to {MOST}")
    check_interval("start", start, SHARE.interval, SHARE.meaning)
    if abs(sum(start) - 1) > ROUNDING:
        raise ValueError(f"start sums to {sum(start)}: probabilities sum to 1")
    for name, index in (("w", w), ("l", l)):
        if not 0 <= index < len(start):
            raise ValueError(f"{name} = {index} is not an index of {len(start)} responses")
    if w == l:
        raise ValueError(f"w = l = {w}: a pair is two different responses")


class OneSoftmax(Figure):
    """A policy over three to eight responses that learns one pair, on its exact path.

    `start` holds the probabilities of the reference policy, `w` and `l` are the indices of the
    preferred and the dispreferred response, `beta` > 0, and `margin` is the margin that training
    has reached (nats, 0 to 500). With a kernel, the page updates all five traits. To change several
    at once, do so under `hold_trait_notifications()`.

    Raises `traitlets.TraitError` for an invalid start or pair, beta <= 0, and a margin out of
    range.

    >>> figure = OneSoftmax(start=[0.1, 0.6, 0.3], w=0, l=1, margin=2.0)
    >>> figure.w = 1
    Traceback (most recent call last):
    ...
    traitlets.traitlets.TraitError: w = l = 1: a pair is two different responses
    """

    demo = Demo(
        "One softmax, one pair",
        "A policy over three to eight responses learns one pair, on its exact path: a stand-alone "
        "page.",
        "Press Play and watch the bars and the point in the triangle. Then drag the dot to the "
        "upper left, so that the dispreferred starts likelier than the preferred, and play again: "
        "until the dashed line is crossed, the other responses grow too.",
    )
    start = traitlets.List(traitlets.Float(), default_value=list(START)).tag(sync=True)
    w = traitlets.Int(0).tag(sync=True)
    l = traitlets.Int(1).tag(sync=True)
    beta = Number(BETA)
    margin = Number(MARGIN)
    _height, _height_narrow = room(776, 1370)

    def exports(self) -> dict[str, Any]:
        """Formulas, parameters, possible numbers of responses, and the tolerance of their sum."""
        parameters = {"BETA": facts(BETA), "MARGIN": facts(MARGIN), "SHARE": facts(SHARE)}
        sizes = list(range(FEWEST, MOST + 1))
        return {"FORMULAS": formulas(), **parameters, "ROUNDING": ROUNDING, "SIZES": sizes}

    @checks("start", "w", "l")
    def _check_start(self, name: str, value: Any) -> None:
        check_start(**({"start": self.start, "w": self.w, "l": self.l} | {name: value}))
