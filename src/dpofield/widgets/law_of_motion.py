"""The law of motion: two gradients that the reader moves, and the effect of one step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import sympy as sp
import traitlets

from dpofield.formulas.losses.core import POSITIVE, REAL
from dpofield.formulas.parameters import Parameter, check_interval
from dpofield.formulas.printers import numpy_function
from dpofield.formulas.theorems.law_of_motion import (
    LENGTH2,
    STEP_L,
    STEP_W,
    K_ll,
    K_wl,
    K_ww,
    W,
    eta,
)
from dpofield.widgets.figure import Code, Demo, Figure, Number, checks, facts, printed, room

VECTORS = ("wx", "wy", "lx", "ly")
PACE = Parameter("pace", sp.Symbol("eta W"), 0.1, POSITIVE, "a step of gradient descent has a size")
ROUNDING = 1e-9  # relative tolerance for a kernel computed in floating point
PRESET_ROW = 56  # px, including the gap


GRAM = K_ww * K_ll - K_wl**2
"""Not negative for the kernel of two vectors (Cauchy-Schwarz)."""
GIVEN = (sp.sqrt(K_ww), K_wl / sp.sqrt(K_ww), sp.sqrt(sp.Max(0, GRAM / K_ww)))
"""Two vectors with a given kernel: g_w lies along the first axis; then both components of g_l."""


@cache
def formulas() -> dict[str, Code]:
    """The functions of the figure; each returns an array.

    `kernel` computes the inner products of two plane vectors. `upright` and `placed` turn a point
    of the kernel's plane into g_l, first relative to g_w, then in the plane. `given` is `GIVEN`,
    and `moves` the law at `eta W`. `edges(x)` are the boundaries in the plane of `x = K_wl/K_ww`
    and `y = K_ll/K_ww`: the x above which the preferred falls, and the y below which the
    dispreferred rises, above which it moves more, and below which no vectors exist
    (Cauchy-Schwarz). `widest(y)` is the inverse of the last boundary: the largest x.
    """
    wx, wy, lx, ly, x, y, side = sp.symbols("wx wy lx ly x y side", real=True)
    height = sp.Symbol("y", positive=True)
    kernel = (wx**2 + wy**2, wx * lx + wy * ly, lx**2 + ly**2)
    along, across = sp.symbols("along across", real=True)
    placed = (along * wx - across * wy, along * wy + across * wx)
    upright = (along, GIVEN[2].subs({K_ww: 1, K_wl: along, K_ll: y}) * side)
    step_w, step_l = (step.subs(W, 1) for step in (STEP_W, STEP_L))
    moves = (step_w, step_l, sp.expand(step_w - step_l), K_wl / sp.sqrt(K_ww * K_ll), LENGTH2)
    scale = {K_ww: 1, K_wl: x, K_ll: y}
    more = sp.cancel((STEP_L**2 - STEP_W**2) / LENGTH2)
    edges = [sp.solve(STEP_W.subs(scale), x), sp.solve(STEP_L.subs(scale), y)]
    edges += [sp.solve(equation.subs(scale), y) for equation in (more, GRAM)]
    widest = max(sp.solve(GRAM.subs(scale).subs(y, height), x))
    return {
        "kernel": printed((wx, wy, lx, ly), kernel),
        "placed": printed((wx, wy, along, across), placed),
        "upright": printed((along, y, side), upright),
        "given": printed((K_ww, K_wl, K_ll), GIVEN),
        "moves": printed((K_ww, K_wl, K_ll, eta), moves),
        "edges": printed((x,), [edge for (edge,) in edges]),
        "widest": printed((height,), (widest,)),
    }


def check_preset(preset: Mapping[str, Any]) -> None:
    """Raise `ValueError` unless `preset` has a name and a kernel that two vectors can have."""
    if set(preset) != {"name", "ww", "wl", "ll"}:
        raise ValueError(f"a preset holds name, ww, wl and ll, not {sorted(preset)}")
    label = f"preset {preset['name']!r}"
    for key in ("ww", "ll"):
        check_interval(f"{key} of {label}", preset[key], POSITIVE, "a squared length is positive")
    check_interval(f"wl of {label}", preset["wl"], REAL, "an inner product is a finite number")
    (gram,) = numpy_function((K_ww, K_wl, K_ll), (GRAM,))(preset["ww"], preset["wl"], preset["ll"])
    if gram < -ROUNDING * preset["ww"] * preset["ll"]:
        raise ValueError(f"wl = {preset['wl']} of {label} is more than Cauchy-Schwarz allows")


class LawOfMotion(Figure):
    """Two gradients of log-probabilities as plane vectors, their kernel, and one step of its law.

    `wx`, `wy` and `lx`, `ly` are the gradients of the preferred and the dispreferred response, in
    the plane that they span; `pace` is `eta W`, the size of the step times the loss's weight.
    `presets` are real pairs, `{"name": ..., "ww": K_ww, "wl": K_wl, "ll": K_ll}` each, and `preset`
    is the index of the pair shown, or -1. A new `preset` sets the vectors. With a kernel, the page
    updates all traits but `presets`.

    Raises `traitlets.TraitError` for a gradient of length 0, a pace <= 0, and a preset that no two
    vectors can have.

    >>> law = LawOfMotion(presets=[{"name": "one word", "ww": 4.0, "wl": 2.0, "ll": 9.0}])
    >>> law.preset = 0
    >>> law.wx, law.lx
    (2.0, 1.0)
    """

    demo = Demo(
        "The law of motion, with two gradients",
        "Drag the gradients of two log-probabilities and see what one training step does to both: "
        "a stand-alone page.",
        "Drag the orange gradient past the dashed blue line: now one step against the loss makes "
        "the preferred response fall. Outside the dotted circle the dispreferred moves more.",
    )
    wx = traitlets.Float(1.0).tag(sync=True)
    wy = traitlets.Float(0.3).tag(sync=True)
    lx = traitlets.Float(0.6).tag(sync=True)
    ly = traitlets.Float(1.2).tag(sync=True)
    pace = Number(PACE)
    preset = traitlets.Int(-1).tag(sync=True)
    presets = traitlets.List(traitlets.Dict(), default_value=[]).tag(sync=True)
    _height, _height_narrow = room(708, 1320)

    def __init__(self, presets: Sequence[Mapping[str, Any]] = (), **kwargs: Any) -> None:
        if presets:
            for name in ("_height", "_height_narrow"):
                kwargs[name] = self.traits()[name].default_value + PRESET_ROW
        preset = kwargs.pop("preset", -1)
        plain = [{k: v if k == "name" else float(v) for k, v in p.items()} for p in presets]
        super().__init__(presets=plain, **kwargs)
        self.observe(self._take_preset, "preset")
        self.preset = preset

    def exports(self) -> dict[str, Any]:
        """Formulas, and the facts of the pace."""
        return {"FORMULAS": formulas(), "PACE": facts(PACE)}

    @checks("presets")
    def _check_presets(self, _: str, presets: Sequence[Mapping[str, Any]]) -> None:
        for one in presets:
            check_preset(one)

    @checks("preset")
    def _check_preset(self, _: str, index: int) -> None:
        count = len(self.presets)
        if not -1 <= index < count:
            raise ValueError(f"preset = {index}: there are {count} presets, from 0; -1 is none")

    @checks(*VECTORS)
    def _check_vector(self, name: str, value: float) -> None:
        check_interval(name, value, REAL, "a component of a gradient is a finite number")
        other = getattr(self, name[0] + ("y" if name[1] == "x" else "x"))
        if not math.hypot(value, other) > 0:
            raise ValueError(f"{name} = {value}: a gradient of length 0 has no direction")

    def _take_preset(self, change: Any) -> None:
        if change.new < 0 or self._sent & set(VECTORS):  # the page has already moved the vectors
            return
        kernel = (self.presets[change.new][key] for key in ("ww", "wl", "ll"))
        vectors = map(float, numpy_function((K_ww, K_wl, K_ll), GIVEN)(*kernel))
        with self.hold_trait_notifications():
            (self.wx, self.lx, self.ly), self.wy = vectors, 0.0
