"""The law of motion: two gradients under the reader's hand, and what one step then does."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import sympy as sp
import traitlets

from dpofield.formulas.losses.core import POSITIVE, REAL
from dpofield.formulas.parameters import Parameter, check_interval
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
from dpofield.widgets.figure import TOOLS, Figure, css, esm, facts, printed

VECTORS = ("wx", "wy", "lx", "ly")
PACE = Parameter("pace", sp.Symbol("eta W"), 0.1, POSITIVE, "a step of gradient descent has a size")
ROUNDING = 1e-9  # of a kernel that was computed in floating point
PRESET_ROW = 56  # px, with the gap


def formulas_js() -> str:
    """The functions of the figure; each returns an array.

    `kernel` and `placed` go between two plane vectors and their inner products, `moves` is the law
    at `eta W`, and `edges(x)` are the boundaries in the plane of `x = K_wl/K_ww` and
    `y = K_ll/K_ww`: the x from which the preferred falls, and the y below which the dispreferred
    rises, above which it moves more, and below which there is nothing (Cauchy-Schwarz).
    """
    wx, wy, lx, ly, x, y, side = sp.symbols("wx wy lx ly x y side", real=True)
    kernel = (wx**2 + wy**2, wx * lx + wy * ly, lx**2 + ly**2)
    along, across = sp.symbols("along across", real=True)
    placed = (along * wx - across * wy, along * wy + across * wx)
    upright = (along, sp.sqrt(sp.Max(0, y - along**2)) * side)
    given = (sp.sqrt(K_ww), K_wl / sp.sqrt(K_ww), sp.sqrt(sp.Max(0, K_ll - K_wl**2 / K_ww)))
    step_w, step_l = (step.subs(W, 1) for step in (STEP_W, STEP_L))
    moves = (step_w, step_l, sp.expand(step_w - step_l), K_wl / sp.sqrt(K_ww * K_ll), LENGTH2)
    scale = {K_ww: 1, K_wl: x, K_ll: y}
    more = sp.cancel((STEP_L**2 - STEP_W**2) / LENGTH2)
    edges = [sp.solve(STEP_W.subs(scale), x), sp.solve(STEP_L.subs(scale), y)]
    edges += [sp.solve(more.subs(scale), y), [x**2]]
    functions = {
        "kernel": printed((wx, wy, lx, ly), kernel),
        "placed": printed((wx, wy, along, across), placed),
        "upright": printed((along, y, side), upright),
        "given": printed((K_ww, K_wl, K_ll), given),
        "moves": printed((K_ww, K_wl, K_ll, eta), moves),
        "edges": printed((x,), [edge for (edge,) in edges]),
    }
    body = ",\n".join(f"  {name}: {function}" for name, function in functions.items())
    return f"const FORMULAS = {{\n{body},\n}};\n"


def check_preset(preset: Mapping[str, Any]) -> None:
    """Raise `ValueError` unless `preset` names a pair whose kernel two vectors can have."""
    if set(preset) != {"name", "ww", "wl", "ll"}:
        raise ValueError(f"a preset holds name, ww, wl and ll, not {sorted(preset)}")
    label = f"preset {preset['name']!r}"
    for key in ("ww", "ll"):
        check_interval(f"{key} of {label}", preset[key], POSITIVE, "a squared length is positive")
    check_interval(f"wl of {label}", preset["wl"], REAL, "an inner product is a finite number")
    if preset["wl"] ** 2 > preset["ww"] * preset["ll"] * (1 + ROUNDING):
        raise ValueError(f"wl = {preset['wl']} of {label} is more than Cauchy-Schwarz allows")


class LawOfMotion(Figure):
    """Two gradients of log-probabilities as plane vectors, their kernel, and one step of its law.

    `wx`, `wy` and `lx`, `ly` are the gradients of the preferred and the dispreferred response, in
    the plane that they span; `pace` is `eta W`, the size of the step times the loss's weight.
    `presets` are real pairs, `{"name": ..., "ww": K_ww, "wl": K_wl, "ll": K_ll}` each, and `preset`
    the index of the one shown, -1 for none. Another preset sets the vectors. All but `presets`
    follow the reader's hand where there is a kernel.

    Raises `traitlets.TraitError` for a gradient of length 0, a pace <= 0, and a preset that no two
    vectors can have.

    >>> law = LawOfMotion(presets=[{"name": "one word", "ww": 4.0, "wl": 2.0, "ll": 9.0}])
    >>> law.preset = 0
    >>> law.wx, law.lx
    (2.0, 1.0)
    """

    _esm = esm(
        formulas_js(),
        "law_picture.js",
        "law_of_motion.js",
        PACE=facts(PACE),
    )
    _css = css("law_of_motion.css")

    wx = traitlets.Float(1.0).tag(sync=True)
    wy = traitlets.Float(0.3).tag(sync=True)
    lx = traitlets.Float(0.6).tag(sync=True)
    ly = traitlets.Float(1.2).tag(sync=True)
    pace = traitlets.Float(PACE.default).tag(sync=True)
    preset = traitlets.Int(-1).tag(sync=True)
    presets = traitlets.List(traitlets.Dict(), default_value=[]).tag(sync=True)
    _height = traitlets.Int(708 + TOOLS).tag(sync=True)
    _height_narrow = traitlets.Int(1320 + TOOLS).tag(sync=True)

    def __init__(self, presets: Sequence[Mapping[str, Any]] = (), **kwargs: Any) -> None:
        if presets:
            for name in ("_height", "_height_narrow"):
                kwargs[name] = self.traits()[name].default_value + PRESET_ROW
        preset = kwargs.pop("preset", -1)
        self._page_moved = False
        plain = [{k: v if k == "name" else float(v) for k, v in p.items()} for p in presets]
        super().__init__(presets=plain, **kwargs)
        self.observe(self._take_preset, "preset")
        self.preset = preset

    @traitlets.validate("presets")  # type: ignore[untyped-decorator]
    def _check_presets(self, proposal: Any) -> Any:
        def check(found: Sequence[Mapping[str, Any]]) -> None:
            for one in found:
                check_preset(one)

        return self.checked(check, proposal)

    @traitlets.validate("preset")  # type: ignore[untyped-decorator]
    def _check_preset(self, proposal: Any) -> int:
        count = len(self.presets)

        def check(index: int) -> None:
            if not -1 <= index < count:
                raise ValueError(f"preset = {index}: there are {count}, from 0, and -1 is none")

        return int(self.checked(check, proposal))

    @traitlets.validate("pace")  # type: ignore[untyped-decorator]
    def _check_pace(self, proposal: Any) -> float:
        return float(self.checked(PACE.check, proposal))

    @traitlets.validate(*VECTORS)  # type: ignore[untyped-decorator]
    def _check_vector(self, proposal: Any) -> float:
        name = proposal["trait"].name

        def check(value: float) -> None:
            check_interval(name, value, REAL, "a component of a gradient is a finite number")
            other = getattr(self, name[0] + ("y" if name[1] == "x" else "x"))
            if not math.hypot(value, other) > 0:
                raise ValueError(f"{name} = {value}: a gradient of length 0 has no direction")

        return float(self.checked(check, proposal))

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """What the page sends. A page that takes a preset has moved the vectors itself."""
        self._page_moved = bool(set(VECTORS) & set(sync_data))
        try:
            super().set_state(sync_data)
        finally:
            self._page_moved = False

    def _take_preset(self, change: Any) -> None:
        if change.new < 0 or self._page_moved:
            return
        ww, wl, ll = (self.presets[change.new][key] for key in ("ww", "wl", "ll"))
        length = math.sqrt(ww)
        with self.hold_trait_notifications():
            self.wx, self.wy, self.lx = length, 0.0, wl / length
            self.ly = math.sqrt(max(0.0, ll - wl**2 / ww))
