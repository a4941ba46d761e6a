"""The next step of a torch optimizer, computed from its state as a metric and a memory.

SGD with momentum, Adam and AdamW move parameter k by -lr * P_k * (share * G_k + carried_k), where
G is the next gradient, P a diagonal metric, and `carried` the contribution of earlier gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

# The formula above holds for these values of the settings only.
_PLAIN = {"weight_decay": 0, "nesterov": False, "dampening": 0, "amsgrad": False, "maximize": False}


@dataclass(frozen=True)
class NextStep:
    """The step -lr * metric * (share * G + carried): one tensor per parameter, of its shape."""

    lr: float
    share: float
    metric: list[Tensor]
    carried: list[Tensor]

    @property
    def memory(self) -> list[Tensor]:
        """metric * carried: the part of the step due to earlier gradients, divided by -lr."""
        return [p * c for p, c in zip(self.metric, self.carried, strict=True)]


@torch.no_grad()
def next_step(optimizer: torch.optim.Optimizer, gradients: Sequence[Tensor]) -> NextStep:
    """The step that `optimizer.step()` would take with these gradients; nothing is changed.

    `gradients`: one tensor per parameter, in the optimizer's order. Supports `SGD` with or without
    momentum, `Adam` and `AdamW`, by the formulas of torch's documentation. Adam's metric depends on
    the next gradient too. Raises `ValueError` for another optimizer, for settings outside the
    formula (weight decay, Nesterov, dampening, amsgrad, maximize), and for groups that differ.

    >>> p = torch.nn.Parameter(torch.tensor([1.0, 1.0]))
    >>> gradient = torch.tensor([3.0, -0.01])
    >>> step = next_step(torch.optim.AdamW([p], lr=0.1, weight_decay=0.0), [gradient])
    >>> step.share * step.metric[0] * gradient  # the first AdamW step: the signs of the gradient
    tensor([ 1.0000, -1.0000])
    """
    settings = _settings(optimizer)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    if len(parameters) != len(gradients):
        raise ValueError(
            f"the optimizer holds {len(parameters)} parameters, not {len(gradients)} gradients"
        )
    states: list[dict[str, Any]] = [optimizer.state.get(p, {}) for p in parameters]
    lr = float(settings["lr"])
    if isinstance(optimizer, torch.optim.SGD):
        kept = [s.get("momentum_buffer") for s in states]
        carried = [
            torch.zeros_like(g) if b is None else settings["momentum"] * b
            for b, g in zip(kept, gradients, strict=True)
        ]
        return NextStep(lr, 1.0, [torch.ones_like(g) for g in gradients], carried)
    beta_1, beta_2 = settings["betas"]
    metric, carried, share = [], [], 0.0
    for state, g in zip(states, gradients, strict=True):
        t = int(state.get("step", 0)) + 1
        first, second = 1 - beta_1**t, 1 - beta_2**t
        mean, square = (state.get(k, torch.zeros_like(g)) for k in ("exp_avg", "exp_avg_sq"))
        spread = ((beta_2 * square + (1 - beta_2) * g * g) / second).sqrt()
        metric.append(1 / (spread + settings["eps"]))
        carried.append(beta_1 / first * mean)
        share = (1 - beta_1) / first
    return NextStep(lr, share, metric, carried)


def _settings(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    known = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)
    if not isinstance(optimizer, known):
        raise ValueError(
            f"no formula for {type(optimizer).__name__}: use SGD, Adam or AdamW of torch.optim"
        )
    groups = [{k: x for k, x in g.items() if k != "params"} for g in optimizer.param_groups]
    if any(group != groups[0] for group in groups):
        raise ValueError("the optimizer's groups have different settings: use one group")
    for name, plain in _PLAIN.items():
        if groups[0].get(name, plain) != plain:
            raise ValueError(f"{name}={groups[0][name]} adds to the step: set it to {plain}")
    return groups[0]
