"""Training steps: the optimizer, and checks that the steps move the weights that are trained."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from dpofield.lab.kernel import trained
from dpofield.lab.model import CausalLM

_OPTIMIZERS = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
# Below this share of a step, the steps that are lost to rounding decide the training.
_LOST = 0.1
_OFF = (
    "is the adapter on (model.enable_adapter_layers()) and the one that is trained "
    "(model.set_adapter(name))? With reentrant checkpointing, call enable_input_require_grads()"
)


def trainable(model: CausalLM) -> dict[str, Tensor]:
    """The parameters that require a gradient, by name.

    Raises `ValueError` if there are none, if one is on the meta device, where it has no values, and
    if gradients are switched off.
    """
    if not torch.is_grad_enabled():
        raise ValueError("training within torch.no_grad() or inference_mode(): call it outside")
    weights = trained(model)
    if not weights:
        raise ValueError(
            "no parameter of the model requires a gradient, so nothing can be trained: call "
            "model.requires_grad_(), or model.set_adapter(name) to train a PEFT adapter"
        )
    for name, parameter in weights.items():
        if parameter.is_inference():
            raise ValueError(
                f"{name} was made within torch.inference_mode() and can never be trained: make or "
                "load the model outside, or take copy.deepcopy(model)"
            )
        if parameter.is_meta:
            raise ValueError(
                f"{name} is on the meta device: weights that are offloaded or were never loaded "
                "cannot be trained; load the model without offloading, or train an adapter"
            )
    return weights


@contextmanager
def optimizer_of(
    name: str, weights: Mapping[str, Tensor], lr: float, **more: Any
) -> Iterator[torch.optim.Optimizer]:
    """The optimizer of `settings.Optimizer` without weight decay, exact in every precision.

    AdamW keeps gradients and moments in float32 at least: in float16 the squares of gradients below
    2e-4 are 0, and in bfloat16 a moment that decays by 0.999 stays as it is.
    """
    half = [p for p in weights.values() if p.dtype in (torch.float16, torch.bfloat16)]
    # The fused SGD of torch 2.13 skips most weights in half precision (pytorch#191763).
    fused = not half and {p.device.type for p in weights.values()} <= {"cpu", "cuda"}
    optimizer: torch.optim.Optimizer = _OPTIMIZERS[name](
        weights.values(), lr=lr, weight_decay=0.0, fused=fused or None,
        foreach=False if half else None, **more,
    )  # fmt: skip
    kept = half if name == "adamw" else []
    for p in kept:
        p.grad, p.grad_dtype = None, torch.float32
        mean, square = (torch.zeros_like(p, dtype=torch.float32) for _ in range(2))
        optimizer.state[p] = {"step": torch.zeros(()), "exp_avg": mean, "exp_avg_sq": square}
    try:
        yield optimizer
    finally:
        for p in kept:
            p.grad, p.grad_dtype = None, p.dtype


def backward(loss: Tensor, weights: Mapping[str, Tensor], step: int) -> None:
    """Compute the gradients of a scalar loss by `weights`, and require them to be finite.

    Raises `ValueError` if the loss does not depend on any of these weights, and
    `FloatingPointError` for a gradient that is infinite or nan; the weights are unchanged.
    """
    if loss.requires_grad:
        loss.backward()  # type: ignore[no-untyped-call]
    found = {name: p.grad for name, p in weights.items() if p.grad is not None and p.numel()}
    if not found:
        raise ValueError(f"the loss of step {step} depends on none of the trained weights: {_OFF}")
    # The largest absolute value, because a sum of squares overflows in float16.
    sizes = [torch.linalg.vector_norm(g.detach(), math.inf).double() for g in found.values()]
    if not bool(torch.isfinite(torch.stack([size.to(sizes[0].device) for size in sizes])).all()):
        name, size = next((n, s) for n, s in zip(found, sizes, strict=True) if not s.isfinite())
        half = weights[name].dtype == torch.float16
        remedy = "train float32 weights (model.float())" if half else "lower the learning rate"
        raise FloatingPointError(
            f"gradient of {name} is {float(size)} at step {step}, where the loss is "
            f"{float(loss.detach()):.6g}; the weights are those before this step. To go on, "
            f"{remedy}, or look for the pair that causes it"
        )


@contextmanager
def moves(
    weights: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, label: str, step: int
) -> Iterator[None]:
    """Warn if the optimizer's step in this block moves no weight, or almost none.

    Weights count by the absolute value of their gradient. Raises `RuntimeWarning` through
    `warnings` if all gradients are 0, or if rounding undoes more than nine tenths of the step.
    """
    before = {name: p.detach().clone() for name, p in weights.items()}
    yield
    moved, total, changed = 0.0, 0.0, False
    for name, p in weights.items():
        here = p.detach() != before.pop(name)
        changed = changed or bool(here.any())
        if p.grad is not None:
            size = p.grad.detach().abs()
            total += float(size.sum(dtype=torch.float64))
            moved += float((size * here).sum(dtype=torch.float64))
    if total == 0 and not changed:
        small = any(p.dtype == torch.float16 for p in weights.values())
        warnings.warn(
            f"step {step} of {label} moved no weight, because every gradient is 0: the loss is "
            "flat here (saturated, or at its minimum), or the responses of each pair are equal"
            + (", or the gradients are below the smallest float16; use float32" * small),
            RuntimeWarning,
            stacklevel=5,
        )
    elif total > 0 and moved < _LOST * total:
        kinds = ", ".join(sorted({str(p.dtype).removeprefix("torch.") for p in weights.values()}))
        lr = optimizer.param_groups[0]["lr"]
        warnings.warn(
            f"step {step} of {label} moved {'almost ' * changed}no weight: the weights that "
            f"changed have {moved / total:.1%} of the gradient. Steps at the learning rate "
            f"{lr:.3g} are smaller than the rounding of {kinds} weights; raise the learning "
            "rate, or train weights of a higher precision (model.float(), or a float32 adapter)",
            RuntimeWarning,
            stacklevel=5,
        )
