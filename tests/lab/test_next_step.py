"""The step computed from an optimizer's state is the step that torch takes."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dpofield.formulas import LOSSES
from dpofield.lab.batch import Batch, encode
from dpofield.lab.kernel import gram_matrix, predicted_change, projections, slopes
from dpofield.lab.logprobs import pair_logprobs, reference_logprobs
from dpofield.lab.next_step import NextStep, next_step
from dpofield.lab.world import World

N = 4
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=1e-2),
    "momentum": lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p, lr=1e-3, betas=(0.8, 0.95), eps=1e-6),
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-3, weight_decay=0.0),
}


@pytest.fixture
def pairs(tokenizer: Any, world: World) -> Batch:
    return encode(tokenizer, world.pairs(N, seed=2))


def gradients(model: Any, pairs: Batch, reference: Tensor) -> list[Tensor]:
    lw, ll = pair_logprobs(model, pairs)
    loss = LOSSES["dpo"].torch(lw - reference[:N], ll - reference[N:]).mean()
    return list(torch.autograd.grad(loss, list(model.parameters())))


def train(model: Any, optimizer: Any, pairs: Batch, reference: Tensor, steps: int) -> None:
    for _ in range(steps):
        for p, g in zip(model.parameters(), gradients(model, pairs, reference), strict=True):
            p.grad = g
        optimizer.step()


@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_is_the_step_that_torch_takes(
    tiny_gpt2: Any, pairs: Batch, name: str, steps: int
) -> None:
    """-lr P (share G + carried) per parameter, at the first step and later."""
    model = tiny_gpt2.double()
    reference = reference_logprobs(model, pairs)
    optimizer = OPTIMIZERS[name](model.parameters())
    train(model, optimizer, pairs, reference, steps)
    slope = gradients(model, pairs, reference)
    step = next_step(optimizer, slope)
    before = [p.detach().clone() for p in model.parameters()]
    train(model, optimizer, pairs, reference, 1)
    for p, old, g, m, c in zip(
        model.parameters(), before, slope, step.metric, step.carried, strict=True
    ):
        ours = -step.lr * m * (step.share * g + c)
        torch.testing.assert_close(ours, p.detach() - old, rtol=1e-9, atol=1e-14)


def test_looking_changes_nothing(tiny_gpt2: Any, pairs: Batch) -> None:
    """The optimizer's state is not changed."""
    reference = reference_logprobs(tiny_gpt2, pairs)
    optimizer = OPTIMIZERS["adamw"](tiny_gpt2.parameters())
    train(tiny_gpt2, optimizer, pairs, reference, 2)
    before = copy.deepcopy(optimizer.state_dict())
    next_step(optimizer, gradients(tiny_gpt2, pairs, reference))
    for key, held in optimizer.state_dict()["state"].items():
        for name, value in held.items():
            assert torch.equal(value, before["state"][key][name])


def predicted(model: Any, pairs: Batch, reference: Tensor, step: NextStep) -> np.ndarray:
    start = reference_logprobs(model, pairs) - reference
    K = gram_matrix(model, pairs, metric=step.metric, progress=False)
    du, dv = slopes("dpo", *start.chunk(2))
    now = np.concatenate(predicted_change(K, du, dv, step.lr * step.share))
    return np.asarray(now - step.lr * projections(model, pairs, step.memory, progress=False))


@pytest.mark.parametrize("name", ["momentum", "adamw"])
def test_the_law_with_a_memory(tiny_gpt2: Any, pairs: Batch, name: str) -> None:
    """The kernel under the metric, plus the memory, predicts a small step after two large ones."""
    model = tiny_gpt2.double()
    reference = reference_logprobs(model, pairs)
    optimizer = OPTIMIZERS[name](model.parameters())
    train(model, optimizer, pairs, reference, 2)
    misses = []
    for lr in (1e-6, 1e-7):
        optimizer.param_groups[0]["lr"] = lr
        expected = predicted(
            model, pairs, reference, next_step(optimizer, gradients(model, pairs, reference))
        )
        policy, its_optimizer = copy.deepcopy((model, optimizer))
        start = reference_logprobs(policy, pairs)
        train(policy, its_optimizer, pairs, reference, 1)
        observed = (reference_logprobs(policy, pairs) - start).numpy()
        misses.append(np.linalg.norm(observed - expected) / np.linalg.norm(expected))
    assert misses[1] < 1e-3
    assert misses[1] < misses[0] / 5


def test_what_the_formula_does_not_cover_is_refused() -> None:
    """Settings outside the formula are errors, because they would change the step silently."""
    p, q = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    one = [torch.ones(2)]
    with pytest.raises(ValueError, match=r"weight_decay=0.01 adds to the step: set it to 0"):
        next_step(torch.optim.AdamW([p], lr=0.1), one)
    with pytest.raises(ValueError, match="nesterov=True"):
        next_step(torch.optim.SGD([p], lr=0.1, momentum=0.9, nesterov=True), one)
    with pytest.raises(ValueError, match="no formula for RMSprop"):
        next_step(torch.optim.RMSprop([p], lr=0.1), one)
    with pytest.raises(ValueError, match="different settings"):
        next_step(torch.optim.SGD([{"params": [p]}, {"params": [q], "lr": 0.2}], lr=0.1), one * 2)
    with pytest.raises(ValueError, match="holds 1 parameters, not 2 gradients"):
        next_step(torch.optim.SGD([p], lr=0.1), one * 2)
