"""A DPO run on new pairs of its own starting model, with every response enumerated on the way."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpofield.experiments.data import world
from dpofield.lab.batch import encode
from dpofield.lab.enumeration import Responses
from dpofield.lab.logprobs import reference_logprobs
from dpofield.lab.model import CausalLM
from dpofield.lab.pairs import Pair
from dpofield.lab.settings import Training
from dpofield.lab.training import dpo
from dpofield.lab.watch import Watch

Floats = NDArray[np.float64]
Places = NDArray[np.int64]


class Enumerated(NamedTuple):
    """All responses of the grammar to some prompts, before and during a run.

    `rewards` (prompts, n): true rewards. `steps` (T,): the updates done at each look. `logp`
    (T, prompts, n): log-probabilities then, in nats; the first look is the reference.
    `trained` (pairs, 3): prompt, preferred and dispreferred response of each trained pair.
    """

    rewards: Floats
    steps: Places
    logp: Floats
    trained: Places


def draw_pairs(logp: Floats, rewards: Floats, n: int, rng: np.random.Generator) -> Places:
    """`n` pairs of two independent responses, as (n, 3): prompt, preferred, dispreferred.

    Prompts are uniform. `logp` (prompts, n) need not be normalised. The higher reward is preferred,
    and a fair coin decides a tie.
    """
    prompt = rng.integers(len(logp), size=n)
    chance = np.exp(logp)
    sums = np.cumsum(chance / chance.sum(axis=1, keepdims=True), axis=1)
    drawn = np.array([np.searchsorted(sums[p], rng.random(2) * sums[p, -1]) for p in prompt])
    gap = rewards[prompt, drawn[:, 0]] - rewards[prompt, drawn[:, 1]]
    swap = np.where(gap == 0, rng.random(n) < 0.5, gap < 0)
    return np.column_stack([prompt, np.where(swap[:, None], drawn[:, ::-1], drawn)])


class _Look(Watch):
    """Keeps the log-probability of every response at each record; the first ones are given."""

    def __init__(self, policy: CausalLM, forests: Sequence[Responses], first: Floats) -> None:
        self.policy, self.forests = policy, forests
        self.steps, self.logp = [0], [first]

    def record(self, step: int, u: Floats, v: Floats) -> None:
        if step:
            self.steps.append(step)
            self.logp.append(np.stack([f.logprobs(self.policy) for f in self.forests]))


def enumerated_run(
    model: CausalLM,
    tokenizer: Any,
    prompts: Sequence[str],
    *,
    steps: int = 60,
    looks: int = 3,
    batch: int = 16,
    lr: float = 1e-4,
    beta: float = 0.1,
    seed: int = 0,
) -> Enumerated:
    """Train a copy of `model` by DPO with AdamW; every pair is new and is seen once.

    Both responses of a pair are drawn from `model` among those of the grammar. `looks` is the
    number of looks after the first; it divides `steps`.
    """
    policy = copy.deepcopy(model)
    forests = [Responses(world(), tokenizer, prompt) for prompt in prompts]
    rewards = np.stack([world().rewards(prompt) for prompt in prompts])
    logp = np.stack([forest.logprobs(model) for forest in forests])
    drawn = draw_pairs(logp, rewards, 2 * steps * batch, np.random.default_rng(seed))
    differ = rewards[drawn[:, 0], drawn[:, 1]] != rewards[drawn[:, 0], drawn[:, 2]]
    trained = drawn[differ][: steps * batch]
    texts = [forest.texts for forest in forests]
    chosen = [Pair(prompts[p], texts[p][first], texts[p][second]) for p, first, second in trained]
    rows = encode(tokenizer, chosen)
    settings = Training(
        params={"beta": beta}, steps=steps, batch=batch, lr=lr, seed=seed,
        record_every=steps // looks, recorded=(0,),
    )  # fmt: skip
    look = _Look(policy, forests, logp)
    dpo(policy, reference_logprobs(model, rows), rows, settings, watch=look, progress=False)
    return Enumerated(rewards, np.array(look.steps), np.stack(look.logp), trained)
