"""The loss gallery: any two losses of the book side by side in the plane of log-ratios."""

from __future__ import annotations

from functools import cache
from typing import Any

import traitlets

from dpofield.field.gallery import GROUPS, PAIR, group
from dpofield.formulas import CHARTS, LOSSES, Loss
from dpofield.formulas.losses.classify import Push, pushes
from dpofield.formulas.losses.core import LEN_L, LEN_W, REF_L, REF_W
from dpofield.formulas.parameters import check_interval
from dpofield.formulas.printers import numpy_function
from dpofield.formulas.symbols import u, v
from dpofield.widgets.figure import Demo, Figure, checks, facts, printed, room

EXAMPLE = dict(PAIR)
"""A made-up pair for losses that use more than u and v: log-probabilities (nats), token counts."""

INPUTS = {p.name: p for p in (REF_W, REF_L, LEN_W, LEN_L)}
WINDOW = {"low": 1.0, "high": 100.0}  # nats, the slider's range
LABELS = {
    "ref_w": "ref. $w$ (nats)",
    "ref_l": "ref. $l$",
    "len_w": "tokens $w$",
    "len_l": "tokens $l$",
}


def direction(push: Push) -> str:
    """The direction in which a loss pushes one response, in a few words.

    >>> direction(pushes(LOSSES["nca"])[0])
    'up or down'
    """
    intended, other = ("up", "down") if push.response == "preferred" else ("down", "up")
    return {
        "always": f"always {intended}",
        "stops": f"{intended} or not",
        "turns": f"{intended} or {other}",
        "none": "not pushed",
    }[push.kind]


def loss_facts(loss: Loss) -> dict[str, Any]:
    """The facts of a loss that JavaScript needs, and a function of u, v, the parameters and the
    inputs that returns the loss and both partial derivatives."""
    chosen, rejected = pushes(loss)
    return {
        "name": loss.name,
        "title": loss.title,
        "source": loss.source,
        "group": GROUPS[group(loss)],
        "marginOnly": loss.margin_only,
        "preferred": direction(chosen),
        "dispreferred": direction(rejected),
        "params": [facts(p) for p in loss.params],
        "inputs": [p.name for p in loss.inputs],
        "all": printed((u, v), (loss.expr, *loss.partials), loss.arguments),
    }


BOTH = sum(CHARTS["probability"].coordinates_of)
"""The sum of the two responses' probabilities."""


@cache
def formulas() -> dict[str, Any]:
    """`LOSSES`, and the sum of a pair's probabilities."""
    losses = sorted(LOSSES.values(), key=lambda loss: list(GROUPS).index(group(loss)))
    both = printed((u, v), (BOTH,), (REF_W, REF_L))
    return {"LOSSES": list(map(loss_facts, losses)), "bothProbabilities": both}


def check_pair(u_: float, v_: float, pair: dict[str, float]) -> None:
    """Raise `ValueError` unless both probabilities at (u, v) sum to less than 1."""
    chart = CHARTS["log-ratio"]
    for name, value in (("u", u_), ("v", v_)):
        check_interval(name, value, chart.domain, chart.domain_meaning)
    function = numpy_function((u, v, REF_W.symbol, REF_L.symbol), (BOTH,))
    (total,) = function(u_, v_, pair["ref_w"], pair["ref_l"])
    if not total < 1:
        raise ValueError(
            f"u = {u_}, v = {v_} with ref_w = {pair['ref_w']}, ref_l = {pair['ref_l']}: "
            "the two probabilities together would exceed 1"
        )


class LossGallery(Figure):
    """Two losses over the same pair: the field of small steps of each, and their numbers.

    `a` and `b` are names of `dpofield.formulas.LOSSES`; `params_a` and `params_b` hold the
    parameters that differ from the defaults. `u` and `v` are the pair's log-ratios (nats), `window`
    is how far the planes reach from (0, 0), and `pair` the further inputs that some losses use, by
    default `EXAMPLE`. With a kernel, the page updates all of them. A new loss starts at its
    defaults.

    Raises `traitlets.TraitError` for an unknown loss or parameter, values out of range, and a pair
    whose two probabilities would exceed 1.

    >>> gallery = LossGallery("dpo", "rpo", params_b={"lam": 0.5})
    >>> gallery.b = "nope"
    Traceback (most recent call last):
    ...
    traitlets.traitlets.TraitError: The 'b' trait of a LossGallery instance expected any of ...
    >>> gallery.params_a = {"lam": 1.0}
    Traceback (most recent call last):
    ...
    traitlets.traitlets.TraitError: loss 'dpo' takes ['beta'], not ['lam']
    """

    demo = Demo(
        "The loss gallery, two fields at a time",
        "Compare the gradient fields of any two preference losses over the same pair of responses: "
        "a stand-alone page.",
        "Choose two losses and drag the dot: the blue and the orange arrow are what one small step "
        "does to the preferred and to the dispreferred response. A loss of the margin moves both "
        "by the same amount, one up and one down; the others do not.",
    )
    a = traitlets.Enum(tuple(LOSSES), default_value="dpo").tag(sync=True)
    b = traitlets.Enum(tuple(LOSSES), default_value="rpo").tag(sync=True)
    params_a = traitlets.Dict(value_trait=traitlets.Float(), default_value={}).tag(sync=True)
    params_b = traitlets.Dict(value_trait=traitlets.Float(), default_value={}).tag(sync=True)
    u = traitlets.Float(0.0).tag(sync=True)
    v = traitlets.Float(0.0).tag(sync=True)
    window = traitlets.Float(10.0).tag(sync=True)
    pair = traitlets.Dict(value_trait=traitlets.Float(), default_value=EXAMPLE).tag(sync=True)
    _height, _height_narrow = room(1096, 1282)

    def __init__(self, a: str = "dpo", b: str = "rpo", **kwargs: Any) -> None:
        super().__init__(a=a, b=b, **kwargs)
        self.observe(self._to_defaults, ["a", "b"])

    def exports(self) -> dict[str, Any]:
        """Formulas, the data of a pair, the groups of losses, and how far the planes can reach."""
        inputs = [{**facts(p), "label": LABELS[p.name]} for p in INPUTS.values()]
        return {**formulas(), "INPUTS": inputs, "WINDOW": WINDOW, "GROUPS": list(GROUPS.values())}

    @checks("params_a", "params_b")
    def _check_params(self, name: str, given: dict[str, float]) -> None:
        loss = LOSSES[self.a if name == "params_a" else self.b]
        known = {p.name: p for p in loss.params}
        if unknown := sorted(set(given) - set(known)):
            raise ValueError(f"loss {loss.name!r} takes {sorted(known)}, not {unknown}")
        for key, value in given.items():
            known[key].check(value)

    @checks("u", "v", "pair")
    def _check_pair(self, name: str, value: Any) -> None:
        now = {"u": self.u, "v": self.v, "pair": self.pair, name: value}
        if set(now["pair"]) != set(INPUTS):
            raise ValueError(f"pair holds {sorted(INPUTS)}, not {sorted(now['pair'])}")
        for key, parameter in INPUTS.items():
            parameter.check(now["pair"][key])
        check_pair(now["u"], now["v"], now["pair"])

    @checks("window")
    def _check_window(self, name: str, value: float) -> None:
        check_interval(name, value, LEN_W.interval, "the plane reaches some nats from (0, 0)")

    def _to_defaults(self, change: Any) -> None:
        if f"params_{change.name}" not in self._sent:  # the page sends them with the loss
            self.set_trait(f"params_{change.name}", {})
