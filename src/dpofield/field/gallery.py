"""The losses of the zoo under comparable settings: parameters, group, push and its effect."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from dpofield.field.core import Array, find_loss, gradient
from dpofield.formulas import Loss
from dpofield.formulas.losses.classify import tilt

PAIR: Mapping[str, float] = MappingProxyType(
    {"ref_w": -30.0, "ref_l": -50.0, "len_w": 10.0, "len_l": 20.0}
)
"""The pair's data for losses that depend on more than u and v (nats, tokens)."""

SETTINGS: Mapping[str, float] = MappingProxyType({"beta": 0.1, "epsilon": 0.1, "shift": 5.0})
"""Values of the shared parameters, so that losses can be compared."""

PER_TOKEN: Mapping[str, float] = MappingProxyType({"beta": 2.0})
"""Values for losses of means per token, where beta has another scale."""

GROUPS: Mapping[str, str] = MappingProxyType(
    {
        "margin": "Same direction everywhere: only the speed differs",
        "tilted": "Straight, but tilted",
        "turning": "Direction depends on the place",
    }
)
"""Labels of the groups of losses, by the direction of their field."""

PUSHES: Mapping[str, str] = MappingProxyType(
    {
        "intended": "both as intended",
        "preferred_down": "preferred pushed down",
        "dispreferred_up": "dispreferred pushed up",
        "both_wrong": "both the wrong way",
    }
)
"""Labels of the effects of a push on the two responses."""


def group(loss: Loss) -> str:
    """The group of a loss, a key of `GROUPS`, by its tilt.

    >>> from dpofield.formulas import LOSSES
    >>> group(LOSSES["ipo"]), group(LOSSES["dpo_shift"]), group(LOSSES["kto"])
    ('margin', 'tilted', 'turning')
    """
    constant = tilt(loss)
    if constant is None:
        return "turning"
    return "margin" if constant == 1 else "tilted"


def settings(loss: str | Loss) -> dict[str, float]:
    """The values at which losses are compared; other parameters keep their defaults.

    >>> settings("simpo")["beta"], settings("nca")
    (2.0, {'beta': 0.1})
    """
    loss = find_loss(loss)
    shared = {**SETTINGS, **(PER_TOKEN if loss.scale == "token" else {}), **PAIR}
    return {p.name: shared[p.name] for p in loss.arguments if p.name in shared}


def push(loss: str | Loss, u: Array, v: Array, **params: Any) -> tuple[Array, Array]:
    """The push on the two log-ratios, `-dL/du` and `-dL/dv` (nats per nat).

    >>> along_u, along_v = push("dpo", 0.0, 0.0, beta=0.1)
    >>> float(along_u), float(along_v)
    (0.05, -0.05)
    """
    along_u, along_v = gradient(loss, "log-ratio", u, v, **params)
    return -along_u, -along_v


def effect(along_u: Array, along_v: Array) -> Array:
    """The effect of a push on the two responses, as an index into `PUSHES` (0 to 3).

    >>> effect(np.array([1.0, -1.0, 1.0, -1.0]), np.array([-1.0, -1.0, 1.0, 1.0]))
    array([0, 1, 2, 3])
    """
    return np.asarray((along_u < 0) + 2 * (along_v > 0), dtype=int)
