"""The probability of every response to a prompt, before and after training."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpofield.experiments.data import world
from dpofield.lab.enumeration import Responses
from dpofield.lab.model import CausalLM
from dpofield.lab.pairs import Pair
from dpofield.lab.tokenizer import word_tokenizer

Floats = NDArray[np.float64]

ROUNDING = 1e-6
"""Rounding error of a sum of probabilities in float32, and least mass off the grammar."""


@cache
def responses(prompt: str) -> Responses:
    """All responses to a prompt; computed once per process."""
    return Responses(world(), word_tokenizer(), prompt)


# Log-probabilities under starting models, by cache key, because many runs share a starting model.
_BEFORE: dict[tuple[str, str], Floats] = {}


def before(key: str, prompt: str, model: CausalLM) -> Floats:
    """log pi of every response under the starting model whose cache key is `key`, (R,) nats."""
    if (key, prompt) not in _BEFORE:
        _BEFORE[key, prompt] = responses(prompt).logprobs(model)
    return _BEFORE[key, prompt]


def off_grammar(logprob: Floats) -> float:
    """The mass off the grammar: 1 minus the mass on it, and at least `ROUNDING`.

    >>> off_grammar(np.log([0.5, 0.25]))
    0.25
    """
    return max(ROUNDING, 1 - float(np.exp(logprob).sum()))


def divergence(logprob: Floats, reference: Floats) -> tuple[float, float]:
    """KL(pi || reference) in nats: the exact part on the grammar, and a lower bound off it.

    The bound is q log(q / q_ref), by the log-sum inequality, for masses q and q_ref off the
    grammar. It is exact if both models distribute that mass equally, and it may be negative.

    >>> divergence(np.log([0.5, 0.5]), np.log([0.5, 0.5]))
    (0.0, 0.0)
    """
    inside = float(np.sum(np.exp(logprob) * (logprob - reference)))
    q, q_ref = off_grammar(logprob), off_grammar(reference)
    return inside, float(q * np.log(q / q_ref))


class Summary(NamedTuple):
    """A prompt under one model. Rewards are true rewards, and masses are probabilities.

    `reward_on_grammar`: expected reward, given that the response is on the grammar. `off_grammar`:
    mass off the grammar. `preferred_mass`, `dispreferred_mass`: mass of the texts that are
    preferred, or dispreferred, in some trained pair of this prompt. `top_response`, `top_mass`,
    `top_reward`: the most likely response on the grammar, its mass and its reward.
    """

    reward_on_grammar: float
    off_grammar: float
    preferred_mass: float
    dispreferred_mass: float
    top_response: str
    top_mass: float
    top_reward: float


def summary(prompt: str, logprob: Floats, pairs: Sequence[Pair]) -> Summary:
    """`Summary` of a prompt from log pi of its responses; other prompts' pairs are ignored."""
    p, rewards, texts = np.exp(logprob), world().rewards(prompt), world().responses(prompt)
    here = [pair for pair in pairs if pair.prompt == prompt]
    best = int(p.argmax())
    return Summary(
        reward_on_grammar=float((p @ rewards) / p.sum()),
        off_grammar=off_grammar(logprob),
        preferred_mass=_mass(p, prompt, {pair.preferred for pair in here}),
        dispreferred_mass=_mass(p, prompt, {pair.dispreferred for pair in here}),
        top_response=texts[best],
        top_mass=float(p[best]),
        top_reward=float(rewards[best]),
    )


class Split(NamedTuple):
    """All probability divided into five parts for one pair; their sum is 1 within `ROUNDING`.

    `w`, `l`: the two responses. `better`, `worse`: the other responses on the grammar, with a true
    reward above that of the preferred response, or not above it. `off_grammar`: all other texts.
    """

    w: float
    l: float  # noqa: E741 - l as in the formulas
    better: float
    worse: float
    off_grammar: float


def split(pair: Pair, logprob: Floats) -> Split:
    """`Split` of a pair from log pi of every response to its prompt."""
    p, rewards, place = np.exp(logprob), world().rewards(pair.prompt), _places(pair.prompt)
    w, l = place[pair.preferred], place[pair.dispreferred]  # noqa: E741
    above = rewards > rewards[w]
    better = float(p[above].sum())  # neither w nor l is above w
    both = float(p[w] + p[l])
    return Split(
        float(p[w]), float(p[l]), better, float(p.sum()) - better - both, off_grammar(logprob)
    )


@cache
def _places(prompt: str) -> dict[str, int]:
    return {text: i for i, text in enumerate(world().responses(prompt))}


def _mass(p: Floats, prompt: str, texts: set[str]) -> float:
    return float(sum(p[_places(prompt)[text]] for text in texts))
