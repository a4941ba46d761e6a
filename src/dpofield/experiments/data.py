"""The preference pairs of a run: random pairs, filtered. Equal configurations have equal pairs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from dpofield.experiments.config import Config
from dpofield.lab.batch import encode
from dpofield.lab.logprobs import reference_logprobs
from dpofield.lab.model import CausalLM
from dpofield.lab.pairs import Pair
from dpofield.lab.sampling import sample_responses
from dpofield.lab.world import World

MATCHED = 1.0
"""Largest difference of the two log-probabilities of a matched pair, in nats."""

# Rounds of sampling before `draw` raises; and rounds without any pair before it raises.
_ROUNDS, _ROUNDS_WITHOUT = 40, 5
_SAMPLES = 32  # on-policy responses per prompt and round


@cache
def world() -> World:
    """The world that all experiments share."""
    return World()


def evaluated_prompts(n: int) -> tuple[str, ...]:
    """`n` prompts with different dishes and places, for which every response is scored.

    >>> evaluated_prompts(2)
    ('soup at the harbour :', 'curry at the mill :')
    """
    prompts = world().prompts
    return tuple(prompts[(17 * i) % len(prompts)] for i in range(n))


def draw(config: Config, model: CausalLM, tokenizer: Any) -> list[Pair]:
    """The pairs of a configuration; `model` is its starting model, which does not change.

    Off-policy pairs come from `World.pairs`. For on-policy pairs, the model samples responses to
    every prompt. Responses off the grammar have no true reward and are dropped. Pairs of responses
    with different rewards are then taken in random order. The response with the higher true reward
    is preferred. Raises `ValueError` if too few pairs pass the filters after many rounds.
    """
    prompts = evaluated_prompts(config.evaluated) if config.prompts == "evaluated" else None
    prompts = prompts or world().prompts
    found: list[Pair] = []
    for number in range(_ROUNDS):
        chance = np.random.default_rng([config.pairs_seed, number])
        if config.source == "grammar":
            pool = _off_policy(config, prompts, chance)
        else:
            pool = list(_on_policy(model, tokenizer, prompts, chance))
        found += _passing(config, pool, model, tokenizer)
        if len(found) >= config.pairs:
            return found[: config.pairs]
        if number + 1 == _ROUNDS_WITHOUT and not found:
            break  # more rounds would not help a model that never samples from the grammar
    raise ValueError(
        f"pairs = {config.pairs}: {number + 1} rounds found {len(found)} with source "
        f"{config.source!r}, edit_distance {config.edit_distance}, edit_position "
        f"{config.edit_position!r}, matched {config.matched}; ask for fewer, loosen a filter, or "
        "raise sft_steps for on-policy pairs"
    )


def _off_policy(
    config: Config, prompts: tuple[str, ...], chance: np.random.Generator
) -> list[Pair]:
    seed = int(chance.integers(2**31))
    return world().pairs(config.pairs, seed, config.edit_distance, prompts=prompts)


def _on_policy(
    model: CausalLM, tokenizer: Any, prompts: tuple[str, ...], chance: np.random.Generator
) -> Iterator[Pair]:
    asked = [prompt for prompt in prompts for _ in range(_SAMPLES)]
    said = sample_responses(model, tokenizer, asked, seed=int(chance.integers(2**31)))
    valid: dict[str, set[str]] = {prompt: set() for prompt in prompts}
    for prompt, text in zip(asked, said, strict=True):
        if np.isfinite(world().logprob(prompt, text)):
            valid[prompt].add(text)
    couples = [(p, a, b) for p in prompts for a, b in combinations(sorted(valid[p]), 2)]
    for i in chance.permutation(len(couples)):
        prompt, a, b = couples[i]
        gap = world().reward(prompt, a) - world().reward(prompt, b)
        if gap:
            yield Pair(prompt, a, b) if gap > 0 else Pair(prompt, b, a)


def _passing(config: Config, pool: list[Pair], model: CausalLM, tokenizer: Any) -> list[Pair]:
    if config.edit_distance is not None:
        pool = [p for p in pool if edit_distance(p) == config.edit_distance]
    if config.edit_position is not None:
        pool = [p for p in pool if third(p) == config.edit_position]
    if config.matched and pool:
        # Scoring is slow, and a part of a large pool has enough pairs.
        pool = pool[: 8 * config.pairs]
        lw, ll = reference_logprobs(model, encode(tokenizer, pool)).chunk(2)
        near = ((lw - ll).abs() <= MATCHED).tolist()
        pool = [p for p, chosen in zip(pool, near, strict=True) if chosen]
    return pool


def edit_distance(pair: Pair) -> int:
    """Levenshtein distance of the two responses, in tokens.

    >>> edit_distance(Pair("soup :", "the soup was good .", "the soup was very cold ."))
    2
    """
    return int(Levenshtein.distance(pair.preferred.split(), pair.dispreferred.split()))


def first_difference(pair: Pair) -> int:
    """Number of tokens before the first difference of the two responses.

    >>> first_difference(Pair("soup :", "the soup was good .", "the soup was very cold ."))
    3
    """
    words: NDArray[np.bool_] = np.array(
        [a == b for a, b in zip(pair.preferred.split(), pair.dispreferred.split(), strict=False)]
    )
    return int(words.argmin()) if not words.all() else len(words)


def third(pair: Pair) -> str:
    """Third of the longer response that has the first difference: "early", "middle" or "late".

    >>> third(Pair("soup :", "the soup was good .", "the soup was very cold ."))
    'middle'
    """
    longest = max(len(pair.preferred.split()), len(pair.dispreferred.split()))
    return ("early", "middle", "late")[min(2, 3 * first_difference(pair) // longest)]
