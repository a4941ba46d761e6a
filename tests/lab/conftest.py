"""Small models and the world, shared by the laboratory's tests."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from dpofield.lab.model import prepared, small_gpt2
from dpofield.lab.tokenizer import word_tokenizer
from dpofield.lab.world import World


@pytest.fixture(scope="session")
def world() -> World:
    return World()


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return word_tokenizer()


def _llama() -> Any:
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(word_tokenizer()),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.3,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
    )
    return prepared(LlamaForCausalLM(config))


@pytest.fixture(params=["gpt2", "llama"])
def model(request: pytest.FixtureRequest) -> Any:
    """A tiny random model of each family: with learned and with rotary positions."""
    if request.param == "gpt2":
        return small_gpt2(seed=1, layers=2, width=32)
    return _llama()


@pytest.fixture
def tiny_gpt2() -> Any:
    return small_gpt2(seed=1, layers=1, width=16, heads=2)
