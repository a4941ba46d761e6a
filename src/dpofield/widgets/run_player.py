"""The run player: a recorded training run over the field of its loss, record by record."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import traitlets
from numpy.typing import ArrayLike

from dpofield.formulas import CHARTS, LOSSES
from dpofield.formulas.losses import BETA
from dpofield.widgets.field_formulas import chart_functions, loss_functions, of_beta
from dpofield.widgets.figure import Code, Demo, Figure, Number, checks, room

CHARTS_SHOWN = ("log-ratio", "ratio")
DIGITS = 3  # decimals of a log-ratio in nats: less than a pixel of the ratio chart near the start
EXAMPLE = Path(__file__).with_name("example_run.json")


@cache
def formulas(
    loss: str = "dpo", params: tuple[tuple[str, float], ...] = ()
) -> dict[str, dict[str, Code | None]]:
    """For each chart, the gradient and the value of a loss, and the map from log-ratios.

    All hyperparameters but beta are replaced by numbers: those of `params`, else the defaults. A
    loss that depends on more than the log-ratios has no field common to all pairs: its gradient and
    value are null.

    >>> formulas("simpo")["ratio"]["gradient"] is None
    True
    """
    whole = LOSSES[loss]
    shown = of_beta(whole, dict(params))
    none: dict[str, Code | None] = {"gradient": None, "loss": None}
    return {
        name: (none if whole.inputs else loss_functions(CHARTS[name], shown))
        | {"fromLogratios": chart_functions(CHARTS[name])["fromLogratios"]}
        for name in CHARTS_SHOWN
    }


def check_run(step: ArrayLike, u: ArrayLike, v: ArrayLike, texts: Sequence[Sequence[str]]) -> None:
    """Raise `ValueError` unless the arguments are T >= 2 records of the same N >= 1 pairs."""
    steps, us, vs = (np.asarray(a, dtype=float) for a in (step, u, v))
    if steps.ndim != 1 or len(steps) < 2 or not (np.diff(steps) > 0).all():
        raise ValueError(f"step has shape {steps.shape}: at least two records in order of time")
    shape = (len(steps), len(texts))
    if us.shape != shape or vs.shape != shape or not len(texts):
        raise ValueError(f"u {us.shape} and v {vs.shape}: step and texts need {shape}")
    if not (np.isfinite(us).all() and np.isfinite(vs).all()):
        raise ValueError("u and v must be finite log-ratios in nats")
    if any(len(text) != 3 for text in texts):
        raise ValueError("a text is a prompt, the preferred and the dispreferred response")


def rounded(logratios: ArrayLike) -> Any:
    """Log-ratios in nats as lists, rounded to `DIGITS`."""
    return np.round(np.asarray(logratios, dtype=float), DIGITS).tolist()


class RunPlayer(Figure):
    """A recorded run: where its pairs are in the field at a record, and how fast they move.

    `step` (T,) are the updates made before each record, `u` and `v` (T, N) the log-ratios of the
    preferred and the dispreferred response (nats, kept to 0.001), `texts` N triples of prompt,
    preferred and dispreferred response, `loss` and `params` the run's loss and its parameters by
    name (the trait `beta` is one of them), and `title` is the run's name. The default is a recorded
    run of this book. With a kernel, the page updates `record` (0 to T - 1), `pair` (0 to N - 1) and
    `chart` ("log-ratio" or "ratio"). `extend` adds a record. While `follow` is true, the view jumps
    to each new record; it is false after the reader has left the newest record.

    Raises `ValueError` for arrays of different runs, an unknown loss and a parameter that the loss
    does not have, and `traitlets.TraitError` for an index out of range and an unknown chart.

    >>> player = RunPlayer([0, 10], [[0.0], [1.0]], [[0.0], [-3.0]], [("soup :", "good", "bad")])
    >>> player.record = 2
    Traceback (most recent call last):
    ...
    traitlets.traitlets.TraitError: record = 2: there are 2 records, counted from 0
    """

    demo = Demo(
        "A training run, played back",
        "A recorded DPO run of a small GPT-2: every pair over the gradient field, in time, with "
        "its text: a stand-alone page.",
        "Press Play and watch where the pairs go: the arrows say where each would go by itself. "
        "Point at a pair to read it. In ratios the pairs soon crowd at the lower edge or leave the "
        "picture.",
    )
    chart = traitlets.Enum(CHARTS_SHOWN, default_value="log-ratio").tag(sync=True)
    record = traitlets.Int(0).tag(sync=True)
    pair = traitlets.Int(0).tag(sync=True)
    follow = traitlets.Bool(False).tag(sync=True)
    step = traitlets.List().tag(sync=True)
    u = traitlets.List().tag(sync=True)
    v = traitlets.List().tag(sync=True)
    texts = traitlets.List().tag(sync=True)
    title = traitlets.Unicode("").tag(sync=True)
    beta = Number(BETA)
    _height, _height_narrow = room(700, 1262)

    def __init__(
        self,
        step: ArrayLike | None = None,
        u: ArrayLike | None = None,
        v: ArrayLike | None = None,
        texts: Sequence[Sequence[str]] | None = None,
        *,
        loss: str = "dpo",
        params: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        given = (step, u, v, texts)
        if all(part is None for part in given):
            kwargs = json.loads(EXAMPLE.read_text(encoding="utf-8")) | kwargs
            step, u, v, texts = (kwargs.pop(name) for name in ("step", "u", "v", "texts"))
        if step is None or u is None or v is None or texts is None:
            raise ValueError("give step, u, v and texts together or not at all")
        check_run(step, u, v, texts)
        if loss not in LOSSES:
            raise ValueError(f"no loss {loss!r}; LOSSES has {', '.join(LOSSES)}")
        others = LOSSES[loss].complete(params or {})
        if "beta" in others:
            kwargs.setdefault("beta", others.pop("beta"))
        self._loss = (loss, tuple(sorted(others.items())))
        super().__init__(
            step=np.asarray(step).astype(int).tolist(),
            u=rounded(u),
            v=rounded(v),
            texts=[list(text) for text in texts],
            **kwargs,
        )

    def extend(self, step: int, u: ArrayLike, v: ArrayLike) -> None:
        """Add the record after `step` updates, `u` and `v` (N,) in nats; go to it if `follow`.

        Raises `ValueError` for a record that is not later or has another number of pairs.

        >>> texts = [("soup :", "good", "bad")]
        >>> player = RunPlayer([0, 1], [[0], [1]], [[0], [-3]], texts, record=1, follow=True)
        >>> player.extend(2, [1.5], [-4])
        >>> player.step, player.v[-1], player.record
        ([0, 1, 2], [-4.0], 2)
        """
        check_run([self.step[-1], step], [self.u[-1], u], [self.v[-1], v], self.texts)
        with self.hold_sync():  # one message, so that no view draws half of it
            self.step = [*self.step, int(step)]
            self.u = [*self.u, rounded(u)]
            self.v = [*self.v, rounded(v)]
            if self.follow:
                self.record = len(self.step) - 1

    def exports(self) -> dict[str, Any]:
        """Formulas of the run's loss."""
        return {"FORMULAS": formulas(*self._loss)}

    @checks("record", "pair")
    def _check_index(self, name: str, index: int) -> None:
        count = len(self.step if name == "record" else self.texts)
        if not 0 <= index < count:
            raise ValueError(f"{name} = {index}: there are {count} {name}s, counted from 0")
