"""The parts of a run's changes agree, step by step, with a plain calculation of each."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from dpofield.formulas import LOSSES
from dpofield.lab.batch import Batch, encode
from dpofield.lab.kernel import gram_matrix, predicted_change, projections, slopes
from dpofield.lab.logprobs import pair_logprobs, reference_logprobs
from dpofield.lab.motion import PARTS, Motion
from dpofield.lab.one_step import change
from dpofield.lab.runs import Run
from dpofield.lab.settings import Training
from dpofield.lab.training import dpo
from dpofield.lab.world import World

N, STEPS = 4, 3


@pytest.fixture
def pairs(tokenizer: Any, world: World) -> Batch:
    return encode(tokenizer, world.pairs(N, seed=3))


def watched(model: Any, pairs: Batch, *, look: bool = True, **settings: Any) -> tuple[Run, Motion]:
    motion = Motion(model, pairs)
    how: dict[str, Any] = {"steps": STEPS, "batch": N, "lr": 1e-3, "seed": 0} | settings
    run = dpo(
        model, reference_logprobs(model, pairs), pairs, Training(**how), progress=False,
        watch=motion if look else None,
    )  # fmt: skip
    return run, motion


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_watching_changes_nothing(model: Any, pairs: Batch, optimizer: Any) -> None:
    """The run and the weights are the same, bit for bit, with and without a `Motion`."""
    other = copy.deepcopy(model)
    seen, _ = watched(model, pairs, optimizer=optimizer)
    unseen, _ = watched(other, pairs, optimizer=optimizer, look=False)
    assert (seen.lw == unseen.lw).all()
    assert all((a == b).all() for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_sgd_follows_the_gram_matrix(tiny_gpt2: Any, pairs: Batch) -> None:
    """The first SGD step follows the law with the plain kernel, and equals `plain_gradient`."""
    model = tiny_gpt2.double()
    kernel = gram_matrix(model, pairs, method="plain", progress=False)
    _, motion = watched(model, pairs, optimizer="sgd", lr=1e-3)
    law = predicted_change(kernel, *slopes("dpo", np.zeros(N), np.zeros(N), beta=0.1), 1e-3)
    np.testing.assert_allclose(motion.sums["first_order"][1], np.concatenate(law), rtol=1e-9)
    assert (motion.sums["plain_gradient"] == motion.sums["first_order"]).all()


def test_adamw_step_by_step(tiny_gpt2: Any, pairs: Batch) -> None:
    """All parts of every step, recomputed from copies of the model before and after it."""
    model = tiny_gpt2.double()
    stages = [copy.deepcopy(model)]
    for steps in range(1, STEPS + 1):
        stage = copy.deepcopy(stages[0])
        watched(stage, pairs, steps=steps, look=False)
        stages.append(stage)
    run, motion = watched(model, pairs)
    reference = reference_logprobs(stages[0], pairs)
    parts = {name: np.diff(motion.sums[name], axis=0) for name in PARTS}
    for t, (before, after) in enumerate(pairwise(stages)):
        weights = list(before.parameters())
        moved = [b.detach() - a.detach() for a, b in zip(weights, after.parameters(), strict=True)]
        first = projections(before, pairs, moved, method="plain", progress=False)
        np.testing.assert_allclose(parts["first_order"][t], first, rtol=1e-8)
        found = change(before, after, pairs)
        np.testing.assert_allclose(parts["concavity"][t], found.concave, rtol=1e-8, atol=1e-12)
        np.testing.assert_allclose(
            found.total, np.concatenate([np.diff(run.lw, axis=0)[t], np.diff(run.ll, axis=0)[t]]),
            rtol=1e-8,
        )  # fmt: skip
        lw, ll = pair_logprobs(before, pairs)
        loss = LOSSES["dpo"].torch(lw - reference[:N], ll - reference[N:], beta=0.1).mean()
        down = [-g for g in torch.autograd.grad(loss, weights)]
        own = projections(before, pairs, down, method="plain", progress=False)
        ratio = parts["plain_gradient"][t] / own
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-8)
        assert ratio[0] > 0
    margin = {name: np.subtract(*np.split(x, 2, axis=1)).mean(axis=1) for name, x in parts.items()}
    np.testing.assert_allclose(margin["plain_gradient"], margin["first_order"], rtol=1e-8)
    assert (parts["concavity"] <= 0).all()
    assert not np.allclose(parts["plain_gradient"], parts["first_order"], rtol=0.1)


def test_the_rest_shrinks_with_the_step(tiny_gpt2: Any, pairs: Batch) -> None:
    """At equal lr * steps, a fifth of lr leaves a fifth of the remainder."""
    misses = []
    for lr, steps in ((1e-3, 4), (2e-4, 20)):
        run, motion = watched(
            copy.deepcopy(tiny_gpt2).double(), pairs, optimizer="sgd", lr=lr, steps=steps
        )
        total = np.concatenate([run.u[-1], run.v[-1]])
        misses.append(np.abs(total - motion.sums["first_order"][-1]).max())
    assert misses[1] == pytest.approx(misses[0] / 5, rel=0.15)


def test_a_model_that_only_gets_worse(tiny_gpt2: Any, pairs: Batch) -> None:
    """With the rows of each pair swapped the margin falls, so `plain_gradient` is 0."""
    swapped = pairs.rows(torch.arange(2 * N).roll(N))
    motion = Motion(tiny_gpt2, swapped)
    reference = reference_logprobs(tiny_gpt2, pairs)
    how = Training(steps=1, batch=N, lr=1e-3, seed=0)
    dpo(tiny_gpt2, reference, pairs, how, watch=motion, progress=False)
    assert (motion.sums["plain_gradient"] == 0).all()
    assert not (motion.sums["first_order"][1] == 0).any()
