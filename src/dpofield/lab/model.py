"""Causal language models: two small untrained ones, and any other that `transformers` can load."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
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

_DROPOUT = re.compile(r"drop")
# PhiMoE's `router_jitter_noise` is not noise: it also chooses experts in eval mode.
_NOISE = re.compile(r"drop|^(input_)?jitter_noise$|^moe_jitter_eps$|^neftune_noise_alpha$")
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

    A folder of a PEFT adapter gives its base model with the adapter, which is then trained; this
    needs `peft`. `gguf_file` names a GGUF file of weights inside the folder. Other `options` are
    passed to `from_pretrained`, such as `dtype="auto"`, the dtype of the weights in the folder.

    Raises `ValueError`, with the reason and the remedy, if nothing can be loaded, if the folder
    lacks a weight of the model, for a model that is not causal, and for a tokenizer that has no
    end-of-sequence token or more tokens than the model.
    """
    what, folder = str(name_or_path), Path(name_or_path)
    options = {"dtype": torch.float32, "gguf_file": gguf_file} | options
    base = _base_of(folder) if (folder / "adapter_config.json").is_file() else None
    tokens = base if base and not any(folder.glob("tokenizer*")) else what
    try:
        tokenizer = AutoTokenizer.from_pretrained(tokens, gguf_file=gguf_file)
        model, report = AutoModelForCausalLM.from_pretrained(
            base or what, output_loading_info=True, **options
        )
        if base:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, what, is_trainable=True)
    except ImportError as error:
        raise ValueError(f"{what!r} needs a package that is not installed: {error}") from error
    except (OSError, ValueError, RuntimeError, AttributeError, SafetensorError) as error:
        of = f", whose adapter_config.json names the base model {base!r}" if base else ""
        raise ValueError(
            f"no causal LM at {what!r}{of}: give a folder written by save_pretrained, "
            f"or a hub name where there is a network ({error})"
        ) from error
    if report["missing_keys"]:
        lacking = ", ".join(sorted(report["missing_keys"])[:3])
        raise ValueError(
            f"{what!r} lacks weights of {type(model).__name__}, which would be random ({lacking}): "
            "give a whole copy of a causal language model"
        )
    _check_tokenizer(what, tokenizer, model)
    model = prepared(model)
    with torch.no_grad():
        two = torch.tensor([[0, 1], [0, 2]], device=model_device(model))
        first, other = model(input_ids=two, attention_mask=torch.ones_like(two)).logits[:, -2]
    if (first - other).abs().max() > 100 * torch.finfo(first.dtype).eps * first.abs().max():
        raise ValueError(
            f"{type(model).__name__} at {what!r} is no causal LM: what it predicts for a token "
            "depends on later tokens, so these are no log-probabilities of a text; take a decoder"
        )
    return model, tokenizer


def _base_of(folder: Path) -> str:
    """The base model of the adapter in a folder: a name, or a path relative to that folder."""
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    base = config.get("base_model_name_or_path")
    if not base or not any(folder.glob("adapter_model.*")):
        missing = "adapter_model.safetensors" if base else "the name of its base model"
        raise ValueError(f"the adapter in {str(folder)!r} lacks {missing}: save or copy it again")
    return str(folder / base) if (folder / base).is_dir() else str(base)


def _check_tokenizer(what: str, tokenizer: Any, model: CausalLM) -> None:
    if tokenizer.eos_token_id is None:
        raise ValueError(
            f"the tokenizer of {what!r} has no end-of-sequence token; "
            "set tokenizer.eos_token and save it again"
        )
    rows = model.get_input_embeddings().weight.shape[0]  # type: ignore[operator]
    if len(tokenizer) > rows:
        raise ValueError(
            f"the tokenizer of {what!r} has {len(tokenizer)} tokens and the model's embedding has "
            f"{rows} rows: call model.resize_token_embeddings({len(tokenizer)}) on the model of "
            "AutoModelForCausalLM.from_pretrained, and save it again, or take the model's tokenizer"
        )


def prepared(model: CausalLM) -> Any:
    """The same model, changed in place to be deterministic and faster.

    Every dropout is 0, and so is noise on embeddings and at routers: in modules, in functions that
    read an attribute or the configuration, and in PEFT adapters. The model is in eval mode, in
    which gradients can still be computed. Train mode gives the same values (except for PhiMoE,
    which samples its experts there). GPT-2's gelu, eight operations in `transformers`, becomes one
    operation of torch.
    """
    for module in list(model.modules()):
        _silence(module, _NOISE)
        # A configuration is read by functional dropouts; jitter is copied from it.
        _silence(getattr(module, "config", None), _DROPOUT)
        if isinstance(module, torch.nn.modules.dropout._DropoutNd):
            module.p = 0.0
        for name, child in module.named_children():
            if type(child) is NewGELUActivation:
                setattr(module, name, GELUTanh())
    return model.eval()


def model_device(model: CausalLM) -> torch.device:
    """The device of the model's first weight that has values: where its inputs belong."""
    return next((p.device for p in model.parameters() if not p.is_meta), torch.device("cpu"))


def _silence(owner: Any, names: re.Pattern[str]) -> None:
    """Set the rates of dropout and noise among the attributes of an object to 0."""
    for name, value in list(getattr(owner, "__dict__", {}).items()):
        if isinstance(value, float) and names.search(name):
            setattr(owner, name, 0.0)
