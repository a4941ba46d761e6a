"""Log-probabilities of all responses to a prompt."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from dpofield.lab.batch import encode_texts
from dpofield.lab.enumeration import Responses
from dpofield.lab.logprobs import reference_logprobs
from dpofield.lab.model import prepared
from dpofield.lab.world import World


def test_against_row_by_row(model: Any, tokenizer: Any, world: World) -> None:
    """Each response has the log-probability of its own row, in the order of the world."""
    prompt = world.prompts[11]
    found = Responses(world, tokenizer, prompt).logprobs(model)
    assert found.dtype == np.float64
    some = np.random.default_rng(0).choice(len(found), 200, replace=False)
    texts = [(prompt, world.responses(prompt)[i]) for i in some]
    rows = reference_logprobs(model, encode_texts(tokenizer, texts), share=False)
    np.testing.assert_allclose(found[some], rows, rtol=1e-4)


def test_the_tree_is_the_prefix_tree(tokenizer: Any, world: World) -> None:
    """The number of places is the number of distinct prefixes, counted here in words."""
    prompt = world.prompts[30]
    responses = Responses(world, tokenizer, prompt)
    read = [(*prompt.split(), *text.split()) for text in responses.texts]
    assert responses.places == len({row[:n] for row in read for n in range(1, len(row) + 1)})


def test_a_model_of_another_kind(tokenizer: Any, world: World) -> None:
    """A model that does not support trees is computed row by row."""
    config = GPTNeoXConfig(
        vocab_size=len(tokenizer), hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
        intermediate_size=8, max_position_embeddings=32,
    )  # fmt: skip
    found = Responses(world, tokenizer, world.prompts[0]).logprobs(
        prepared(GPTNeoXForCausalLM(config))
    )
    assert found.shape == (7296,)
    assert 0 < np.exp(found).sum() < 1


def test_a_strange_prompt_is_named(tokenizer: Any, world: World) -> None:
    """A prompt outside the world is an error."""
    with pytest.raises(ValueError, match="is no prompt of this world"):
        Responses(world, tokenizer, "tea at the palace :")
