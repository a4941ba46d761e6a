"""A check of the point at which training starts."""

from __future__ import annotations

import copy

import numpy as np

from dpofield.field import gradient
from dpofield.lab.batch import encode
from dpofield.lab.logprobs import reference_logprobs
from dpofield.lab.model import small_gpt2
from dpofield.lab.tokenizer import word_tokenizer
from dpofield.lab.world import World


def start_at_one() -> str:
    """u = v = 0 exactly for every pair, for two models with different random weights."""
    world = World()
    for seed in (0, 1):
        model = small_gpt2(seed)
        pairs = encode(word_tokenizer(), world.pairs(8, seed=seed))
        reference = reference_logprobs(copy.deepcopy(model), pairs)
        u, v = (reference_logprobs(model, pairs) - reference).chunk(2)
        along = gradient("dpo", "ratio", u.exp().numpy(), v.exp().numpy(), beta=0.1)
        assert (np.abs(np.array(along)) == 0.05).all()
    return f"u = v = 0 for {2 * len(u)} pairs of two untrained models; |components| = beta/2"
