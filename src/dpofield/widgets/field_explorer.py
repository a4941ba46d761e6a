"""The field explorer: one pair of responses in the gradient field, under the reader's hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import traitlets

from dpofield.formulas import CHARTS
from dpofield.formulas.losses import BETA, LOSSES
from dpofield.formulas.parameters import check_interval
from dpofield.formulas.printers import numpy_function
from dpofield.formulas.symbols import u, v
from dpofield.widgets.field_formulas import SHOWN, formulas_js
from dpofield.widgets.figure import TOOLS, Figure, css, esm

VIEWS: dict[str, dict[str, Any]] = {
    "ratio": {
        "range": [0, 2.2],
        "snap": 0.005,
        "axis": "ratio ",
        "unit": "",
        "law": "In ratios the sizes stand as $x_2$ to $x_1$: that depends on the place.",
    },
    "probability": {
        "range": [0, 1],
        "snap": 0.002,
        "axis": "probability ",
        "unit": "",
        "law": "In probabilities the sizes stand as $pi_l$ to $pi_w$: that depends on the place.",
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
"""How each chart is shown: the window, the steps of a drag, the words. No numbers of the field."""


ROUNDING = 1e-12  # of a sum of two probabilities


def _params(chart: str) -> dict[Any, float]:
    return {p.symbol: p.default for p in CHARTS[chart].params if p.default is not None}


def logratios(chart: str, a: float, b: float) -> tuple[float, float]:
    """(u, v) in nats of a point of the chart, with the chart's default references.

    >>> logratios("probability", 0.25, 0.25)
    (0.0, 0.0)
    """
    params = _params(chart)
    function = numpy_function((*CHARTS[chart].coordinates, *params), CHARTS[chart].logratios)
    u_, v_ = function(a, b, *params.values())
    return float(u_), float(v_)


def coordinates(chart: str, u_: float, v_: float) -> tuple[float, float]:
    """The point of the chart that stands for (u, v); NaN or infinite where there is none.

    >>> coordinates("ratio", 0.0, 0.0)
    (1.0, 1.0)
    """
    params = _params(chart)
    function = numpy_function((u, v, *params), CHARTS[chart].coordinates_of)
    with np.errstate(all="ignore"):
        a, b = function(np.float64(u_), np.float64(v_), *params.values())
    return float(a), float(b)


def _both(u_: float, v_: float) -> float:
    """The two responses' probabilities together, under the default references."""
    return sum(coordinates("probability", u_, v_))


def check_start(chart: str, a: float, b: float) -> None:
    """Raise `ValueError` unless (a, b) is a point of the chart that some policy can reach.

    In the charts that know the references, two responses cannot have more than all the mass.
    """
    shape = CHARTS[chart]
    for name, symbol, value in zip("ab", shape.coordinates, (a, b), strict=True):
        label = f"{name} ({symbol}) in the {chart} chart"
        check_interval(label, value, shape.domain, shape.domain_meaning)
    if shape.params and not _both(*logratios(chart, a, b)) <= 1 + ROUNDING:
        raise ValueError(
            f"start ({a}, {b}) in the {chart} chart: the two probabilities together exceed 1"
        )


class FieldExplorer(Figure):
    """The field of small steps in a chart, a start that can be dragged, and its numbers.

    `chart` is a name of `dpofield.formulas.CHARTS`, `loss` one of the margin alone (their other
    parameters than beta have the defaults), `beta` > 0. `says` is "chart" for what this chart says
    of the start, "paper" for what Corollary 1 says of it in ratios, whatever is drawn. `a` and `b`
    are the start's coordinates in that chart (preferred, dispreferred), by default the reference
    policy. The probability and logit charts use the default references (probability 1/4 each).
    Setting `chart` alone keeps the start's log-ratios; where the new chart has no such point, the
    start moves to the reference. All traits follow the reader's hand where there is a kernel.

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

    _esm = esm(
        formulas_js(),
        "integrate.js",
        "field_flow.js",
        "field_picture.js",
        "field_explorer.js",
        VIEWS=VIEWS,
        ROUNDING=ROUNDING,
        LOSSES={name: LOSSES[name].title for name in SHOWN},
    )
    _css = css("field_explorer.css")

    chart = traitlets.Enum(tuple(CHARTS), default_value="ratio").tag(sync=True)
    loss = traitlets.Enum(SHOWN, default_value="dpo").tag(sync=True)
    says = traitlets.Enum(("chart", "paper"), default_value="chart").tag(sync=True)
    beta = traitlets.Float(LOSSES["dpo"].defaults["beta"]).tag(sync=True)
    a = traitlets.Float(1.0).tag(sync=True)
    b = traitlets.Float(1.0).tag(sync=True)
    _height = traitlets.Int(678 + TOOLS).tag(sync=True)
    _height_narrow = traitlets.Int(1049 + TOOLS).tag(sync=True)

    def __init__(
        self,
        chart: str = "ratio",
        *,
        beta: float = LOSSES["dpo"].defaults["beta"],
        a: float | None = None,
        b: float | None = None,
        **kwargs: Any,
    ) -> None:
        at_reference = coordinates(chart, 0.0, 0.0) if chart in CHARTS else (1.0, 1.0)
        start = [r if c is None else c for c, r in zip((a, b), at_reference, strict=True)]
        super().__init__(chart=chart, beta=beta, a=start[0], b=start[1], **kwargs)
        self._page_moved_start = False
        self.observe(self._keep_logratios, "chart")

    @traitlets.validate("beta")  # type: ignore[untyped-decorator]
    def _check_beta(self, proposal: Any) -> float:
        return float(self.checked(BETA.check, proposal))

    @traitlets.validate("a")  # type: ignore[untyped-decorator]
    def _check_a(self, proposal: Any) -> float:
        return float(self.checked(lambda a: check_start(self.chart, a, self.b), proposal))

    @traitlets.validate("b")  # type: ignore[untyped-decorator]
    def _check_b(self, proposal: Any) -> float:
        return float(self.checked(lambda b: check_start(self.chart, self.a, b), proposal))

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """What the page sends. A page that changes the chart has moved the start itself."""
        self._page_moved_start = bool({"a", "b"} & set(sync_data))
        try:
            super().set_state(sync_data)
        finally:
            self._page_moved_start = False

    def _keep_logratios(self, change: Any) -> None:
        if self._page_moved_start:
            return
        u_, v_ = logratios(change.old, self.a, self.b)
        try:
            point = coordinates(self.chart, u_, v_)
            check_start(self.chart, *point)
        except ValueError:
            point = coordinates(self.chart, 0.0, 0.0)
        with self.hold_trait_notifications():
            self.a, self.b = point
