"""Masses add up to 1, and divergences of simple policies have known values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpofield.experiments import masses
from dpofield.experiments.data import evaluated_prompts, world
from dpofield.lab.model import small_gpt2

PROMPT = evaluated_prompts(1)[0]


def uniform(inside: float) -> masses.Floats:
    """log pi of a policy with mass `inside`, uniformly distributed over the grammar."""
    n = len(world().responses(PROMPT))
    return np.full(n, np.log(inside / n))


def test_the_grammar_itself() -> None:
    """Under the grammar's own probabilities, no mass is off, and the mean reward is known."""
    known = world().logprobs(PROMPT)
    found = masses.summary(PROMPT, known, [])
    assert found.off_grammar == masses.ROUNDING
    assert found.reward_on_grammar == pytest.approx(float(np.exp(known) @ world().rewards(PROMPT)))
    assert world().logprob(PROMPT, found.top_response) == known.max()
    assert found.top_mass == pytest.approx(np.exp(known.max()))
    assert found.top_reward == world().reward(PROMPT, found.top_response)
    assert found.preferred_mass == found.dispreferred_mass == 0


@given(st.integers(0, 10**6))
def test_a_pair_shares_all_probability_out(seed: int) -> None:
    """The five masses add up to 1 and agree with a loop over the responses."""
    (pair,) = world().pairs(1, seed, prompts=[PROMPT])
    known = world().logprobs(PROMPT)
    found = masses.split(pair, known)
    assert sum(found) == pytest.approx(1, abs=2 * masses.ROUNDING)
    better = worse = 0.0
    for text, value in zip(world().responses(PROMPT), known, strict=True):
        if text in (pair.preferred, pair.dispreferred):
            continue
        if world().reward(PROMPT, text) > world().reward(PROMPT, pair.preferred):
            better += np.exp(value)
        else:
            worse += np.exp(value)
    assert found.better == pytest.approx(better)
    assert found.worse == pytest.approx(worse)


def test_masses_of_trained_texts() -> None:
    """A text that is preferred in several pairs counts once; other prompts' pairs are ignored."""
    prompts = (PROMPT, "pie at the mill :")
    pairs = [pair for prompt in prompts for pair in world().pairs(3, 0, prompts=[prompt])]
    found = masses.summary(PROMPT, uniform(0.5), [*pairs, *pairs])
    each = 0.5 / len(world().responses(PROMPT))
    assert found.preferred_mass == pytest.approx(each * len({p.preferred for p in pairs[:3]}))
    assert found.dispreferred_mass == pytest.approx(each * len({p.dispreferred for p in pairs[:3]}))


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_the_divergence_of_known_policies(inside: float, before: float) -> None:
    """For uniform policies, the KL is that of two Bernoulli variables, and the bound is exact."""
    on, off = masses.divergence(uniform(inside), uniform(before))
    p, q = inside, before
    exact = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    assert on + off == pytest.approx(exact, abs=1e-9)


def test_the_bound_is_below() -> None:
    """For mass off the grammar on two texts, the exact terms are at least the bound."""
    q, r = np.array([0.1, 0.2]), np.array([0.25, 0.05])
    rest = float((q * np.log(q / r)).sum())
    _, bound = masses.divergence(uniform(0.7), uniform(0.7))
    assert bound == 0 < rest
    assert bound == pytest.approx(q.sum() * np.log(q.sum() / r.sum()))


def test_log_probabilities_at_the_start_are_cached() -> None:
    """Runs with one starting model share its log-probabilities, by the model's cache key."""
    model = small_gpt2(seed=0, layers=1, width=16, heads=2)
    first = masses.before("a key", PROMPT, model)
    assert masses.before("a key", PROMPT, None) is first  # type: ignore[arg-type]
    np.testing.assert_array_equal(first, masses.responses(PROMPT).logprobs(model))
