"""The live run: pairs as they are said to be drawn, and log-probabilities of every response."""

from __future__ import annotations

import numpy as np

from dpofield.experiments.live.room_and_price import draw_pairs, enumerated_run
from dpofield.field.room import ordered
from dpofield.lab.enumeration import Responses
from dpofield.lab.model import small_gpt2
from dpofield.lab.tokenizer import word_tokenizer
from dpofield.lab.world import World


def test_pairs_have_the_distribution_of_a_room() -> None:
    """The shares of preferred and dispreferred responses are those of `ordered`, with ties."""
    p, rewards = np.array([[0.5, 0.2, 0.3], [0.1, 0.1, 0.8]]), np.array([[0.0, 1, 1], [2, 0, 1]])
    drawn = draw_pairs(np.log(p / 2), rewards, 40_000, np.random.default_rng(0))
    pairs = ordered(np.log(p), rewards)
    for column, ratio in ((1, pairs.preferred), (2, pairs.dispreferred)):
        for prompt in range(2):
            here = drawn[drawn[:, 0] == prompt, column]
            share = np.bincount(here, minlength=3) / len(here)
            np.testing.assert_allclose(share, (p * ratio)[prompt], atol=0.015)


def test_a_small_run() -> None:
    """The first look is the given model, which stays; later looks are a model that has learnt to
    prefer the higher reward; trained pairs differ in reward, the higher first."""
    world, model, tokenizer = World(), small_gpt2(0, layers=1, width=16, heads=2), word_tokenizer()
    prompt = world.prompts[0]
    live = enumerated_run(model, tokenizer, [prompt], steps=4, looks=2, batch=4, lr=1e-2, seed=0)
    again = Responses(world, tokenizer, prompt).logprobs(model)
    np.testing.assert_array_equal(live.logp[0, 0], again)
    assert live.steps.tolist() == [0, 2, 4]
    assert live.logp.shape == (3, 1, len(world.responses(prompt)))
    assert len(live.trained) == 16
    assert (live.rewards[0, live.trained[:, 1]] > live.rewards[0, live.trained[:, 2]]).all()
    gain = live.logp[-1, 0] - live.logp[0, 0]
    assert gain[live.trained[:, 1]].mean() > gain[live.trained[:, 2]].mean()
