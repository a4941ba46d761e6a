"""The field explorer: the gradient field, and one pair of responses that the reader moves."""

from __future__ import annotations

from typing import Any

import traitlets

from dpofield.field.core import coordinates, logratios
from dpofield.formulas import CHARTS
from dpofield.formulas.losses import BETA, LOSSES
from dpofield.formulas.parameters import check_interval
from dpofield.widgets.field_formulas import SHOWN, formulas
from dpofield.widgets.figure import Demo, Figure, Number, checks, room

VIEWS: dict[str, dict[str, Any]] = {
    "ratio": {
        "range": [0, 2.2],
        "snap": 0.005,
        "axis": "ratio ",
        "unit": "",
        "law": "In ratios the sizes have the ratio $x_2 : x_1$: that depends on the place.",
    },
    "probability": {
        "range": [0, 1],
        "snap": 0.002,
        "axis": "probability ",
        "unit": "",
        "law": "In probabilities they have the ratio $pi_l : pi_w$: that depends on the place.",
        "excluded": [[1, 0], [1, 1], [0, 1]],
        "excludedText": "no policy: $pi_w + pi_l > 1$",
    },
    "log-ratio": {
        "range": [-4, 4],
        "snap": 0.02,
        "axis": "log-ratio ",
        "unit": " (nats)",
        "law": "In log-ratios that is so at every place, for every $beta$.",
    },
    "logit": {
        "range": [-4, 4],
        "snap": 0.02,
        "axis": "logit ",
        "unit": " (nats)",
        "law": "In the logits of one softmax that is so at every place, for every $beta$.",
    },
}
"""How each chart is shown: window, drag step and texts. The numbers of the field are computed."""

ROUNDING = 1e-12  # tolerance for a sum of two probabilities


def check_start(chart: str, a: float, b: float) -> None:
    """Raise `ValueError` unless (a, b) is a point of the chart that some policy can reach.

    In the charts with reference probabilities, the two probabilities must not sum to more than 1.
    """
    shape = CHARTS[chart]
    for name, symbol, value in zip("ab", shape.coordinates, (a, b), strict=True):
        label = f"{name} ({symbol}) in the {chart} chart"
        check_interval(label, value, shape.domain, shape.domain_meaning)
    both = sum(coordinates("probability", *logratios(chart, a, b)))
    if shape.params and not both <= 1 + ROUNDING:
        raise ValueError(
            f"start ({a}, {b}) in the {chart} chart: the two probabilities together exceed 1"
        )


class FieldExplorer(Figure):
    """The field of small steps in a chart, a start that can be dragged, and its numbers.

    `chart` is a name of `dpofield.formulas.CHARTS`, `loss` a loss of the margin alone (its
    parameters other than beta have their defaults), `beta` > 0. `says` chooses the text: "chart"
    compares the two rates in this chart, "paper" quotes Corollary 1, which compares them in ratios.
    `a` and `b` are the start's coordinates in the chart (preferred, dispreferred), by default the
    reference policy. The probability and logit charts use the default references (probability 1/4
    each). Setting `chart` alone keeps the start's log-ratios; if the new chart has no such point,
    the start moves to the reference. With a kernel, the page updates all traits.

    Raises `traitlets.TraitError` for an unknown chart or loss, beta <= 0 and a start outside the
    chart.

    >>> explorer = FieldExplorer(beta=0.5)
    >>> explorer.chart = "log-ratio"
    >>> explorer.a, explorer.b
    (0.0, 0.0)
    >>> explorer.beta = -1
    Traceback (most recent call last):
    ...
    traitlets.traitlets.TraitError: beta = -1.0 is outside (0, oo): the strength of the KL \
penalty is positive
    """

    demo = Demo(
        "The field of DPO, under your hand",
        "Drag a start through the gradient field of DPO in four coordinate systems and read both "
        "partial derivatives: a stand-alone page.",
        "Drag the dot: its blue and orange arrows are one small training step, split into what the "
        "preferred and the dispreferred response do. Then change the coordinates: what stays was "
        "about DPO, what changes was about the coordinates.",
    )
    chart = traitlets.Enum(tuple(CHARTS), default_value="ratio").tag(sync=True)
    loss = traitlets.Enum(SHOWN, default_value="dpo").tag(sync=True)
    says = traitlets.Enum(("chart", "paper"), default_value="chart").tag(sync=True)
    beta = Number(BETA)
    a = traitlets.Float(1.0).tag(sync=True)
    b = traitlets.Float(1.0).tag(sync=True)
    _height, _height_narrow = room(678, 1049)

    def __init__(
        self,
        chart: str = "ratio",
        *,
        beta: float = LOSSES["dpo"].defaults["beta"],
        a: float | None = None,
        b: float | None = None,
        **kwargs: Any,
    ) -> None:
        reference = map(float, coordinates(chart, 0.0, 0.0) if chart in CHARTS else (1.0, 1.0))
        start = [r if c is None else c for c, r in zip((a, b), reference, strict=True)]
        super().__init__(chart=chart, beta=beta, a=start[0], b=start[1], **kwargs)
        self.observe(self._keep_logratios, "chart")

    def exports(self) -> dict[str, Any]:
        """Formulas, the losses by title, and how each chart is shown."""
        titles = {name: LOSSES[name].title for name in SHOWN}
        return {**formulas(), "LOSSES": titles, "VIEWS": VIEWS, "ROUNDING": ROUNDING}

    @checks("a", "b")
    def _check_start(self, name: str, value: float) -> None:
        check_start(self.chart, **({"a": self.a, "b": self.b} | {name: value}))

    def _keep_logratios(self, change: Any) -> None:
        if self._sent & {"a", "b"}:  # the page has already moved the start
            return
        point = coordinates(self.chart, *logratios(change.old, self.a, self.b))
        try:
            check_start(self.chart, *map(float, point))
        except ValueError:
            point = coordinates(self.chart, 0.0, 0.0)
        with self.hold_trait_notifications():
            self.a, self.b = map(float, point)
