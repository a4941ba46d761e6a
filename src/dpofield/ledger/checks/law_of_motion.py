"""Checks of the law of motion on GPT-2s in float64: single pairs, a batch, AdamW, finite steps."""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dpofield.formulas import LOSSES
from dpofield.lab.batch import Batch, encode
from dpofield.lab.checkpoint import sft_checkpoint
from dpofield.lab.kernel import Gram, gram, gram_matrix, predicted_change, projections, slopes
from dpofield.lab.logprobs import pair_logprobs, reference_logprobs
from dpofield.lab.next_step import next_step
from dpofield.lab.one_step import change, steps_alone
from dpofield.lab.settings import Training
from dpofield.lab.training import dpo
from dpofield.lab.world import World

BETA, HALF = 0.1, 4
STEPS = (1e-3, 1e-5)


class Measured(NamedTuple):
    """Eight pairs, four of them one word apart; changes (2, 2, 8): step size, response, pair."""

    kernel: Gram
    predicted: np.ndarray
    observed: np.ndarray


@lru_cache
def _start(level: Any) -> tuple[Any, Batch]:
    model, tokenizer = sft_checkpoint(level, progress=False)
    world = World()
    texts = world.pairs(HALF, seed=31, edit_distance=1) + world.pairs(HALF, seed=32)
    return model.double(), encode(tokenizer, texts)


@lru_cache
def measured(level: str) -> Measured:
    """The same pairs at one SFT level, with one step per pair, each from the start; cached."""
    model, pairs = _start(level)
    kernel = gram(model, pairs, progress=False)
    zero = np.zeros(2 * HALF)
    du, dv = slopes("dpo", zero, zero, beta=BETA)
    predicted = np.array([predicted_change(kernel, du, dv, lr) for lr in STEPS])
    return Measured(kernel, predicted, steps_alone(model, pairs, STEPS, beta=BETA, progress=False))


def _both() -> tuple[Measured, Measured]:
    return measured("weak"), measured("strong")


def law_of_many_pairs() -> str:
    """Compare predicted and observed changes of single pairs; the error scales with the step."""
    large, small = (
        float(np.median([np.abs(m.observed[s] / m.predicted[s] - 1) for m in _both()]))
        for s in (0, 1)
    )
    assert small < 1e-3, f"the law is off by {small:.1%} at a step of {STEPS[1]:g}"
    assert abs(large / small - 100) < 5, f"error not proportional to the step: {large}, {small}"
    return (
        f"{4 * HALF} pairs, two models: median miss {large:.1e} of the change at a step of "
        f"{STEPS[0]:g}, {small:.1e} at {STEPS[1]:g}"
    )


def regions_in_a_model() -> str:
    """Compare each verdict from the kernel with the observed change."""
    longer = falls = 0
    for m in _both():
        (d_w, d_l), K = m.observed[1], m.kernel
        assert ((d_w < 0) == (K.wl > K.ww)).all()
        assert ((d_l > 0) == (K.wl > K.ll)).all()
        assert ((np.abs(d_l) > np.abs(d_w)) == (K.ll > K.ww)).all()
        assert (d_w > d_l).all()
        longer, falls = longer + int((K.ll > K.ww).sum()), falls + int((K.wl > K.ww).sum())
    return (
        f"all verdicts agree in {4 * HALF} pairs; K_ll > K_ww in {longer}, K_wl > K_ww in {falls}"
    )


def _gradients(model: Any, pairs: Batch, reference: Tensor) -> list[Tensor]:
    ref_w, ref_l = reference.chunk(2)
    lw, ll = pair_logprobs(model, pairs)
    loss = LOSSES["dpo"].torch(lw - ref_w, ll - ref_l, beta=BETA).mean()
    return list(torch.autograd.grad(loss, list(model.parameters())))


def _take(model: Any, optimizer: Any, pairs: Batch, reference: Tensor) -> None:
    gradients = _gradients(model, pairs, reference)
    for p, g in zip(model.parameters(), gradients, strict=True):
        p.grad = g
    optimizer.step()


def cross_terms() -> str:
    """One SGD step on all pairs at once, predicted with and without the cross terms."""
    model, pairs = _start("weak")
    n, reference = 2 * HALF, reference_logprobs(model, pairs)
    whole = gram_matrix(model, pairs, progress=False)
    du, dv = slopes("dpo", np.zeros(n), np.zeros(n), beta=BETA)
    policy = copy.deepcopy(model)
    _take(policy, torch.optim.SGD(policy.parameters(), lr=1e-5), pairs, reference)
    observed = change(model, policy, pairs).total
    own, every = (
        float(np.median(np.abs(observed / np.concatenate(predicted_change(K, du, dv, 1e-5)) - 1)))
        for K in (whole * np.tile(np.eye(n), (2, 2)), whole)
    )
    assert every < 1e-3, f"with cross terms the law is off by {every:.1%}"
    assert own > 0.1, f"without cross terms the law is off by {own:.1%} only"
    return f"{n} pairs: median miss {every:.1e} with cross terms, {own:.0%} without"


def adamw_as_a_metric() -> str:
    """Predict a small third AdamW step from metric and memory, and from the metric alone."""
    model, pairs = _start("weak")
    pairs = pairs.pairs(torch.arange(0, 2 * HALF, 2))
    reference = reference_logprobs(model, pairs)
    policy = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-4, weight_decay=0.0)
    for _ in range(2):
        _take(policy, optimizer, pairs, reference)
    optimizer.param_groups[0]["lr"] = 1e-8
    step = next_step(optimizer, _gradients(policy, pairs, reference))
    u, v = (reference_logprobs(policy, pairs) - reference).chunk(2)
    du, dv = slopes("dpo", u, v, beta=BETA)
    K = gram_matrix(policy, pairs, metric=step.metric, progress=False)
    now = np.concatenate(predicted_change(K, du, dv, step.lr * step.share))
    memory = -step.lr * projections(policy, pairs, step.memory, progress=False)
    after = copy.deepcopy(policy)
    its_optimizer = torch.optim.AdamW(after.parameters(), lr=1e-8, weight_decay=0.0)
    its_optimizer.load_state_dict(optimizer.state_dict())
    _take(after, its_optimizer, pairs, reference)
    observed = change(policy, after, pairs).total
    miss, without = (float(np.median(np.abs(p / observed - 1))) for p in (now + memory, now))
    assert miss < 1e-3, f"with metric and memory the law is off by {miss:.1%}"
    assert without > 0.1
    return f"median miss {miss:.1e} of the change; {without:.0%} without the memory"


def momentum_as_a_memory() -> str:
    """Predict the third step of SGD with momentum from the kernel and the past gradients."""
    model, pairs = _start("weak")
    pairs = pairs.pairs(torch.arange(0, 2 * HALF, 2))
    reference = reference_logprobs(model, pairs)
    policy, lr = copy.deepcopy(model), 1e-5
    memory: list[Tensor] = []
    optimizer = torch.optim.SGD(policy.parameters(), lr=1e-2, momentum=0.9)
    for _ in range(2):
        gradients = _gradients(policy, pairs, reference)
        kept = [0.9 * m for m in memory] if memory else [torch.zeros_like(g) for g in gradients]
        memory = [m + g for m, g in zip(kept, gradients, strict=True)]
        _take(policy, optimizer, pairs, reference)
    u, v = (reference_logprobs(policy, pairs) - reference).chunk(2)
    kernel = gram_matrix(policy, pairs, progress=False)
    now = np.concatenate(predicted_change(kernel, *slopes("dpo", u, v, beta=BETA), lr))
    carried = -lr * 0.9 * projections(policy, pairs, memory, progress=False)
    before = copy.deepcopy(policy)
    optimizer.param_groups[0]["lr"] = lr
    _take(policy, optimizer, pairs, reference)
    observed = change(before, policy, pairs).total
    miss, without = (float(np.median(np.abs(p / observed - 1))) for p in (now + carried, now))
    assert miss < 1e-3, f"with the past gradients the law is off by {miss:.1%}"
    assert without > 0.1
    return f"median miss {miss:.1e} of the change; {without:.0%} without the past gradients"


def concavity_of_softmax() -> str:
    """The first AdamW step at 1e-3: the first-order error, and the softmax's share of it."""
    model, pairs = _start("weak")
    gradients = _gradients(model, pairs, reference_logprobs(model, pairs))
    fresh = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    along = [m * g for m, g in zip(next_step(fresh, gradients).metric, gradients, strict=True)]
    first = -1e-3 * projections(model, pairs, along, progress=False).reshape(2, -1).mean(axis=1)
    policy = copy.deepcopy(model)
    with torch.no_grad():
        for p, d in zip(policy.parameters(), along, strict=True):
            p -= 1e-3 * d
    total, concave = np.array(change(model, policy, pairs)).reshape(2, 2, -1).mean(axis=2)
    rest = total - first
    assert (rest < 0).all()
    share = concave / rest
    assert (np.abs(share - 1) < 0.2).all(), f"the softmax's share is {share}"
    return (
        f"preferred: law {first[0]:+.2f}, observed {total[0]:+.2f} nats; dispreferred: "
        f"{first[1]:+.2f}, {total[1]:+.2f}; softmax's share of the rest "
        f"{share.min():.0%} to {share.max():.0%}"
    )


def faster_is_a_longer_gradient() -> str:
    """The dispreferred moves more in exactly the pairs with K_ll > K_ww."""
    changes = np.concatenate([m.observed[1] for m in _both()], axis=1)
    longer = np.concatenate([m.kernel.ll > m.kernel.ww for m in _both()])
    assert ((np.abs(changes[1]) > np.abs(changes[0])) == longer).all()
    assert 0 < longer.sum() < len(longer)
    return f"the dispreferred moves more in {longer.sum()} of {len(longer)} pairs, all from (1, 1)"


def sft_changes_the_kernel() -> str:
    """Compare the kernels of the same pairs at both SFT levels."""
    weak, strong = (m.kernel for m in _both())
    shorter = strong.ww < weak.ww
    assert shorter.mean() > 0.5
    ratio = float(np.median(strong.ww / weak.ww))
    fewer = f"{shorter.sum()} of {len(shorter)} pairs"
    return f"K_ww is smaller after strong SFT in {fewer}, median ratio {ratio:.2f}"


def similar_gradients_cancel() -> str:
    """(K_ww - K_wl)/K_ww, the share of its own push that the preferred keeps, by kind of pair."""
    kept = [1 - m.kernel.wl / m.kernel.ww for m in _both()]
    one_word, free = (float(np.median([k[part] for k in kept])) for part in _KINDS)
    assert one_word < free / 2
    return f"median share of K_ww left: {one_word:.2f} one word apart, {free:.2f} independent"


_KINDS = (slice(0, HALF), slice(HALF, 2 * HALF))


def one_small_step() -> str:
    """Compare predicted and observed changes of one pair; the error shrinks with the step."""
    model, tokenizer = sft_checkpoint("weak", progress=False)
    model = copy.deepcopy(model).double()
    pair = encode(tokenizer, World().pairs(1, seed=1, edit_distance=1))
    start, K, beta = reference_logprobs(model, pair), gram(model, pair, progress=False), 0.1
    misses = []
    for eta in (1e-4, 1e-5):
        predicted = eta * beta / 2 * np.array([K.ww - K.wl, K.wl - K.ll]).ravel()
        how = Training(params={"beta": beta}, steps=1, batch=1, lr=eta, optimizer="sgd", seed=0)
        step = dpo(copy.deepcopy(model), start, pair, how, progress=False)
        observed = np.array([step.u[1, 0], step.v[1, 0]])
        misses.append(float(np.abs(observed - predicted).max() / np.abs(predicted).max()))
    assert misses[1] < 0.02, f"the prediction is off by {misses[1]:.1%} at a step of 1e-5"
    assert misses[1] < misses[0] / 5, f"the error does not shrink with the step: {misses}"
    return f"misses by {misses[0]:.0e} of the change at a step of 1e-4, by {misses[1]:.0e} at 1e-5"
