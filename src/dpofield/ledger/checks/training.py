"""Checks that need a GPT-2: the start, a short DPO run, one small step."""

from __future__ import annotations

import copy
from functools import lru_cache

import numpy as np
import torch

from dpofield.field import gradient
from dpofield.lab.checkpoint import sft_checkpoint
from dpofield.lab.kernel import gram
from dpofield.lab.logprobs import encode, reference_logprobs
from dpofield.lab.model import small_gpt2
from dpofield.lab.runs import Run
from dpofield.lab.tokenizer import word_tokenizer
from dpofield.lab.training import dpo
from dpofield.lab.world import World
from dpofield.ledger.checks.field import closed_form


def start_at_one() -> str:
    """u = v = 0 for every pair, exactly, for models that differ as much as models can."""
    world = World()
    for seed in (0, 1):
        model = small_gpt2(seed)
        pairs = encode(word_tokenizer(), world.pairs(8, seed=seed))
        reference = reference_logprobs(copy.deepcopy(model), pairs)
        u, v = (reference_logprobs(model, pairs) - reference).chunk(2)
        along = gradient("dpo", "ratio", u.exp().numpy(), v.exp().numpy(), beta=0.1)
        assert (np.abs(np.array(along)) == 0.05).all()
    return f"u = v = 0 for {2 * len(u)} pairs of two untrained models; |components| = beta/2"


@lru_cache(maxsize=1)
def short_run() -> Run:
    """15 DPO steps on 32 one-edit pairs from the weakly fine-tuned GPT-2; one seed, cached."""
    model, tokenizer = sft_checkpoint("weak", progress=False)
    pairs = encode(tokenizer, World().pairs(32, seed=5, edit_distance=1))
    reference = reference_logprobs(model, pairs)
    torch.manual_seed(0)
    return dpo(
        model, reference, pairs, steps=15, batch=32, lr=1e-4, beta=0.1, seed=0, progress=False
    )


def theorem_1_in_a_run() -> str:
    """Autograd at every recorded step of a short GPT-2 run against Theorem 1's statement."""
    run = short_run()
    closed = closed_form(run.x1, run.x2, 0.1)
    gap = max(
        float(np.abs(f / c - 1).max()) for f, c in zip((run.dx1, run.dx2), closed, strict=True)
    )
    assert gap < 1e-12, f"autograd in training differs from Theorem 1 by {gap:.0e}"
    return f"largest relative difference {gap:.0e} over {run.x1.size} recorded values"


def one_small_step() -> str:
    """Predicted and observed change of both log-probabilities; the miss shrinks with the step."""
    model, tokenizer = sft_checkpoint("weak", progress=False)
    model = copy.deepcopy(model).double()
    pair = encode(tokenizer, World().pairs(1, seed=1, edit_distance=1))
    start, K, beta = reference_logprobs(model, pair), gram(model, pair, progress=False), 0.1
    misses = []
    for eta in (1e-4, 1e-5):
        predicted = eta * beta / 2 * np.array([K.ww - K.wl, K.wl - K.ll]).ravel()
        step = dpo(
            copy.deepcopy(model), start, pair,
            beta=beta, steps=1, batch=1, lr=eta, optimizer="sgd", seed=0, progress=False,
        )  # fmt: skip
        observed = np.array([step.u[1, 0], step.v[1, 0]])
        misses.append(float(np.abs(observed - predicted).max() / np.abs(predicted).max()))
    assert misses[1] < 0.02, f"the prediction misses by {misses[1]:.1%} at a step of 1e-5"
    assert misses[1] < misses[0] / 5, f"the miss does not shrink with the step: {misses}"
    return f"misses by {misses[0]:.0e} of the change at a step of 1e-4, by {misses[1]:.0e} at 1e-5"


CHECKS = {
    "start at one": start_at_one,
    "theorem 1 in a run": theorem_1_in_a_run,
    "one small step": one_small_step,
}
