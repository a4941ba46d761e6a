"""Pushing responses down lowers their probability and leaves the given model unchanged."""

from __future__ import annotations

import copy

import pytest
import torch

from dpofield.experiments.live.where_the_mass_goes import only_down
from dpofield.lab.model import small_gpt2
from dpofield.lab.tokenizer import word_tokenizer
from dpofield.lab.world import World


def test_what_is_pushed_falls_and_the_model_stays() -> None:
    """The watched text is pushed too, so it falls; only a copy of the model is trained."""
    model = small_gpt2(0, layers=1, width=16, heads=2)
    weights = copy.deepcopy(model.state_dict())
    texts = World().examples(6, seed=1)
    found = only_down(model, word_tokenizer(), texts, texts[0], steps=10, batch=6, lr=0.5)
    assert found.pushed < 0
    assert found.watched < 0
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in weights.items())
    again = only_down(model, word_tokenizer(), texts, texts[0], steps=10, batch=6, lr=0.5)
    assert again == found


def test_what_is_not_pushed_falls_less() -> None:
    """A similar response that is not pushed falls less than the responses that are pushed."""
    model, world = small_gpt2(0, layers=1, width=16, heads=2), World()
    prompt = world.prompts[0]
    one = (prompt, "the soup was good .")
    texts = [(prompt, f"the soup was {w} .") for w in ("bland", "salty", "cold", "awful")]
    found = only_down(model, word_tokenizer(), texts, one, steps=5, batch=4, lr=0.1)
    assert found.pushed < 0
    assert found.watched > found.pushed


def test_a_batch_larger_than_the_texts() -> None:
    texts = World().examples(2, seed=1)
    with pytest.raises(ValueError, match="there are 2 texts"):
        only_down(small_gpt2(0, layers=1, width=16), word_tokenizer(), texts, texts[0])
