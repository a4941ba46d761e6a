"""Checks of the loss zoo: losses of the margin alone, signs of pushes, points of rest."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import sympy as sp

from dpofield.field import flow
from dpofield.field.gallery import GROUPS, group, push, settings
from dpofield.formulas import LOSSES
from dpofield.formulas.derivation import difference
from dpofield.formulas.losses.classify import at_start, pushes
from dpofield.formulas.symbols import delta, lam, lam_l, lam_w, len_l, len_w, shift, z0

BETA, EPSILON = 0.1, 0.1


def margin_only() -> str:
    """Compare SymPy's answer for every loss with the directions of its printed gradient."""
    u, v = np.random.default_rng(4).uniform(-12, 12, size=(2, 500))
    found: dict[str, list[str]] = {name: [] for name in GROUPS}
    for name, loss in LOSSES.items():
        right, up = push(loss, u, v, **settings(loss))
        size = np.hypot(right, up)
        clear = size > 1e-9 * size.max()
        # Equal for opposite directions; -1/2 along u + v = constant.
        lean = (right * up)[clear] / size[clear] ** 2
        straight = np.ptp(lean) < 1e-6
        seen = "turning" if not straight else "margin" if abs(lean[0] + 0.5) < 1e-6 else "tilted"
        assert seen == group(loss), f"{name}: {group(loss)} by SymPy, {seen} by numbers"
        found[seen].append(loss.title)
    return (
        f"{', '.join(found['margin'])} depend on the margin alone; {', '.join(found['tilted'])} "
        f"are straight but tilted; the other {len(found['turning'])} of {len(LOSSES)} losses turn"
    )


def directions() -> str:
    """Compare every verdict with the sign of the printed gradient at random points."""
    rng = np.random.default_rng(10)
    u, v = rng.uniform(-25, 25, size=(2, 2000))
    compared, turning = 0, set()
    for name, loss in LOSSES.items():
        params = settings(loss)
        for verdict, along in zip(pushes(loss), push(loss, u, v, **params), strict=True):
            intended = along if verdict.response == "preferred" else -along
            clear = np.abs(intended) > 1e-12
            right = verdict.holds(loss, u, v, **params)
            assert ((intended > 0) == right)[clear].all(), f"{name}, {verdict.response}"
            compared += int(clear.sum())
            if verdict.kind == "turns":
                turning.add(name)
    return f"{compared} signs agree; {len(turning)} of {len(LOSSES)} losses push the wrong way"


def discopop_wrong_way() -> str:
    """The loss rises throughout the interval of wrong pushes; the flow rests at its lower end."""
    loss = LOSSES["discopop"]
    low, high = pushes(loss)[0].wrong or (0.0, 0.0)
    assert low < 0 < high
    values = loss.numpy(np.linspace(low, high, 101), 0.0)
    assert (np.diff(values) > 0).all(), "the loss does not rise throughout the interval"
    line = flow("discopop", "log-ratio", (0.0, 0.0), beta=0.1, length=20.0)
    assert line.stopped == "rest"
    assert abs(line.a[-1] - line.b[-1] - low) < 1e-6
    here = f"wrong for margins from {low:.2f} to {high:.2f} nats"
    return f"{here}; flow from the start rests at {low:.2f}"


def where_flow_rests() -> str:
    """From the start, the integrated flow stops at the threshold of each loss."""
    deserved = math.log((1 - EPSILON) / EPSILON) / BETA
    ends = {"ipo": 1 / (2 * BETA), "hinge": 1 / BETA, "cdpo": deserved, "exo": deserved,
            "sppo": 1 / BETA}  # fmt: skip
    for name, margin in ends.items():
        more: dict[str, Any] = {"epsilon": EPSILON} if name in ("cdpo", "exo") else {}
        line = flow(name, "log-ratio", (0.0, 0.0), beta=BETA, length=50.0, **more)
        assert line.stopped == "rest", name
        assert abs(line.a[-1] - line.b[-1] - margin) < 1e-6, name
    down = flow("apo_down", "log-ratio", (0.0, 0.0), beta=BETA, length=20.0)
    assert (np.diff(down.a) < 0).all(), "APO-down raises the preferred somewhere"
    listed = ", ".join(f"{name} {margin:.1f}" for name, margin in ends.items())
    return f"margins at rest: {listed} nats; under APO-down the preferred falls to {down.a[-1]:.1f}"


def pushes_at_the_start() -> str:
    """The losses that do not push both responses as intended at the start of training."""
    wrong = {name for name in LOSSES if not _as_intended(name)}
    assert wrong == {"discopop", "apo_down", "sft", "slic"}, sorted(wrong)
    up, down = at_start(LOSSES["discopop"], **settings("discopop"))
    return f"DiscoPOP: {up:+.3f} on the preferred, {down:+.3f} on the dispreferred (beta = 0.1)"


def _as_intended(name: str) -> bool:
    up, down = at_start(LOSSES[name], **settings(name))
    return up > 0 > down


def two_names() -> str:
    """Losses of different names that are equal for some parameters, by SymPy."""
    short = {
        "KTO at its reference point 0 is APO-zero": (
            "kto",
            {z0: 0, lam_w: 1, lam_l: 1},
            "apo_zero",
        ),
        "AOT without matching is cDPO": ("aot", {shift: 0}, "cdpo"),
        "RPO without NLL is DPO": ("rpo", {lam: 0}, "dpo"),
        "DPOP without penalty is DPO": ("dpop", {lam: 0}, "dpo"),
        "DPO-Shift at 1 is DPO": ("dpo_shift", {lam: 1}, "dpo"),
        "IPO of one-token responses is IPO per token": ("ipo_norm", {len_w: 1, len_l: 1}, "ipo"),
    }
    for sentence, (name, values, other) in short.items():
        gap = LOSSES[name].expr.subs(values) - LOSSES[other].expr
        assert difference(gap, sp.S.Zero) == 0, sentence
    assert difference(LOSSES["bco"].expr.subs(delta, 0), LOSSES["nca"].expr) != 0
    return f"{len(short)} identities, residual 0; BCO at delta = 0 is not NCA"
