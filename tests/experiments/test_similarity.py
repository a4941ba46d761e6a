"""CHES against a loop that implements the paper's formula directly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from dpofield.experiments.similarity import ches
from dpofield.lab.batch import encode
from dpofield.lab.model import small_gpt2, small_llama
from dpofield.lab.tokenizer import word_tokenizer
from dpofield.lab.world import World


def hidden_sum(model: Any, tokenizer: Any, prompt: str, response: str) -> tuple[Any, int]:
    """The sum over k of h(x, y_<k), each from a forward pass of exactly these tokens."""
    asked = tokenizer(prompt).input_ids
    said = [*tokenizer(response).input_ids, tokenizer.eos_token_id]
    total = 0
    for k in range(len(said)):
        states = model.base_model(torch.tensor([asked + said[:k]])).last_hidden_state
        total = total + states[0, -1].detach().double().numpy()
    return total, len(said)


@pytest.mark.parametrize("make", [small_gpt2, small_llama])
def test_against_the_formula(make: Any, world: World) -> None:
    """Both forms agree with the formula on pairs of different lengths."""
    model, tokenizer = make(3, layers=2, width=32), word_tokenizer()
    pairs = world.pairs(4, seed=1)
    found = ches(model, encode(tokenizer, pairs))
    for i, pair in enumerate(pairs):
        s_w, n_w = hidden_sum(model, tokenizer, pair.prompt, pair.preferred)
        s_l, n_l = hidden_sum(model, tokenizer, pair.prompt, pair.dispreferred)
        np.testing.assert_allclose(found.plain[i], s_w @ s_l - s_w @ s_w, rtol=1e-4)
        by_length = s_w @ s_l / (n_w * n_l) - s_w @ s_w / n_w**2
        np.testing.assert_allclose(found.normalised[i], by_length, rtol=1e-4, atol=1e-5)


def test_the_output_matrix_meets_these_states(world: World) -> None:
    """The last hidden states, times the output matrix, are the logits."""
    for make in (small_gpt2, small_llama):
        model = make(0, layers=1, width=32)
        ids = torch.tensor([word_tokenizer()(world.prompts[0]).input_ids])
        outputs = model(ids, output_hidden_states=True)
        logits = outputs.hidden_states[-1] @ model.get_output_embeddings().weight.T
        torch.testing.assert_close(logits, outputs.logits)


def test_no_similarity_beats_identity(world: World) -> None:
    """By Cauchy-Schwarz, CHES is at most |S_w| (|S_l| - |S_w|); for equal responses, both are 0."""
    model, tokenizer = small_gpt2(0, layers=1, width=32), word_tokenizer()
    batch = encode(tokenizer, world.pairs(6, seed=0))
    same = batch.rows(torch.cat([torch.arange(6), torch.arange(6)]))
    np.testing.assert_allclose(ches(model, same).plain, 0, atol=1e-6)
