"""Causal language models: two small untrained ones, and any other that `transformers` can load."""

from __future__ import annotations

import os
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)
from transformers.activations import GELUTanh, NewGELUActivation

from dpofield.lab.tokenizer import word_tokenizer

CausalLM = torch.nn.Module
"""A `transformers` causal language model: `model(input_ids, attention_mask=...).logits`."""

# Wider than GPT-2's 0.02: a model of this size then learns much sooner to copy from the prompt.
_SPREAD = 0.08


def small_gpt2(seed: int, *, layers: int = 4, width: int = 128, heads: int = 4) -> GPT2LMHeadModel:
    """An untrained GPT-2 of 0.8 million parameters for the small world's vocabulary, no dropout.

    >>> sum(p.numel() for p in small_gpt2(seed=0).parameters())
    809600
    """
    tokenizer = word_tokenizer()
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=64,
        n_embd=width,
        n_layer=layers,
        n_head=heads,
        initializer_range=_SPREAD,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = GPT2LMHeadModel(config)
    return prepared(model)


def small_llama(seed: int, *, layers: int = 4, width: int = 128, heads: int = 4) -> Any:
    """An untrained Llama of the size of `small_gpt2`, for the same vocabulary.

    Rotary positions, RMSNorm, a gated MLP, and two query heads per key head. `heads` must be even
    and `width` a multiple of 2 `heads`, else `ValueError`. As in GPT-2, a layer has 12 width^2
    weights (the MLP is 3 widths wide), and embeddings are tied.

    >>> sum(p.numel() for p in small_llama(seed=0).parameters())
    795648
    """
    if heads % 2 or width % (2 * heads):
        raise ValueError(
            f"{heads} heads in width {width}: a Llama here has two query heads to each key head, "
            "and turns pairs of numbers; take an even number of heads, and a multiple of twice it"
        )
    tokenizer = word_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=64,
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads // 2,
        initializer_range=_SPREAD,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    return prepared(model)


def load_causal_lm(
    name_or_path: str | os.PathLike[str], *, gguf_file: str | None = None, **options: Any
) -> tuple[CausalLM, Any]:
    """(model, tokenizer) from a local folder or a hub name, in float32, `prepared`.

    `gguf_file` names a GGUF file of weights inside the folder. Other `options` are passed to
    `AutoModelForCausalLM.from_pretrained`. Raises `ValueError` if nothing can be loaded, or if the
    tokenizer has no end-of-sequence token.
    """
    options = {"dtype": torch.float32, "gguf_file": gguf_file} | options
    try:
        tokenizer = AutoTokenizer.from_pretrained(name_or_path, gguf_file=gguf_file)
        model = AutoModelForCausalLM.from_pretrained(name_or_path, **options)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"no causal LM at {str(name_or_path)!r}: give a folder written by save_pretrained, "
            f"or a hub name where there is a network ({error})"
        ) from error
    if tokenizer.eos_token_id is None:
        raise ValueError(
            f"the tokenizer of {str(name_or_path)!r} has no end-of-sequence token; "
            "set tokenizer.eos_token and save it again"
        )
    return prepared(model), tokenizer


def prepared(model: CausalLM) -> Any:
    """The same model, changed in place to be deterministic and faster.

    Every dropout is 0 and the model is in eval mode, in which gradients can still be computed.
    GPT-2's gelu, eight operations in `transformers`, becomes one operation of torch.
    """
    for module in list(model.modules()):
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name, child in module.named_children():
            if type(child) is NewGELUActivation:
                setattr(module, name, GELUTanh())
    return model.eval()
