"""Causal language models: a small GPT-2 of our own, and any other that `transformers` reads."""

from __future__ import annotations

import os
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel
from transformers.activations import GELUTanh, NewGELUActivation

from dpofield.lab.tokenizer import word_tokenizer

CausalLM = torch.nn.Module
"""A `transformers` causal language model: `model(input_ids, attention_mask=...).logits`."""


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
        # Wider than GPT-2's 0.02: at this width, copying from the prompt is learnt much sooner.
        initializer_range=0.08,
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


def load_causal_lm(
    name_or_path: str | os.PathLike[str], *, gguf_file: str | None = None, **options: Any
) -> tuple[CausalLM, Any]:
    """Any causal LM, a local folder or a hub name, with its tokenizer: float32, `prepared`.

    `gguf_file` names the GGUF file inside the folder, if the weights are one. Other `options` go
    to `AutoModelForCausalLM.from_pretrained`. Raises `ValueError` if nothing can be loaded, or if
    the tokenizer has no end-of-sequence token.
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
    """The same model as the laboratory wants it: a function of its input, computed in few passes.

    Every dropout is 0 and the model in eval mode; gradients flow just the same. GPT-2's gelu, which
    `transformers` spells out in eight operations, is the one operation that torch has for it.
    """
    for module in list(model.modules()):
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name, child in module.named_children():
            if type(child) is NewGELUActivation:
                setattr(module, name, GELUTanh())
    return model.eval()
