"""Tiny random models of the causal language models that people train, and the row-by-row oracle.

`ZOO` holds one constructor for each kind of model. To cover another architecture, add a line there:
every test over the zoo then runs on it. All models are float64, in eval mode, and have the
vocabulary of `word_tokenizer`. Weights are wide enough that attention, norms and gates matter.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import transformers
from torch import Tensor

from dpofield.lab.batch import Batch
from dpofield.lab.tokenizer import word_tokenizer

_IDS = {"bos_token_id": None, "eos_token_id": 1, "pad_token_id": 0}
# Names that most configurations of `transformers` share, and those of the GPT-2 family.
_WIDE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
_ROPE = {"rope_theta": 10000.0}


def build(family: str, **config: Any) -> Any:
    """A causal language model with random weights that depend only on its configuration."""
    kind = next(k for k in (f"{family}TextConfig", f"{family}Config") if hasattr(transformers, k))
    made = getattr(transformers, kind)(vocab_size=len(word_tokenizer()), **_IDS, **config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = transformers.AutoModelForCausalLM.from_config(made)
        for name, p in model.named_parameters():
            if p.dim() > 1:  # the initial spread of most families leaves attention almost uniform
                p.data.normal_(0.0, 0.3)
            elif not name.endswith("A_log"):
                p.data.add_(torch.randn_like(p) * 0.1)
    return model.double().eval()


_gpt = partial(build, n_embd=32, n_layer=2, n_head=4, n_positions=128)
_like_llama = partial(build, **_WIDE)


def _windowed(family: str, window: int, **more: Any) -> Any:
    return _like_llama(family, sliding_window=window, **more)


ZOO: dict[str, Callable[[], Any]] = {
    "gpt2": partial(_gpt, "GPT2"),
    "llama": partial(_like_llama, "Llama"),
    "llama-tied": partial(_like_llama, "Llama", tie_word_embeddings=True),
    "llama-yarn": partial(
        _like_llama,
        "Llama",
        rope_parameters=_ROPE
        | {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32},
    ),
    "qwen2": partial(_like_llama, "Qwen2"),
    "qwen3": partial(_like_llama, "Qwen3", head_dim=8),
    "qwen3-moe": partial(
        _like_llama,
        "Qwen3Moe",
        head_dim=8,
        moe_intermediate_size=16,
        num_experts=4,
        num_experts_per_tok=2,
        decoder_sparse_step=1,
        experts_implementation="eager",
    ),
    "mistral": partial(_windowed, "Mistral", 4096),
    "mistral-window": partial(_windowed, "Mistral", 6),
    "mixtral": partial(
        _like_llama,
        "Mixtral",
        num_local_experts=4,
        num_experts_per_tok=2,
        experts_implementation="eager",  # the others have no float64
    ),
    "gemma": partial(_like_llama, "Gemma", head_dim=8),
    "gemma2": partial(_windowed, "Gemma2", 4096, head_dim=8, query_pre_attn_scalar=8),
    "gemma2-window": partial(_windowed, "Gemma2", 6, head_dim=8, query_pre_attn_scalar=8),
    "gemma3": partial(
        _like_llama, "Gemma3", head_dim=8, query_pre_attn_scalar=8, sliding_window=4096
    ),
    "phi": partial(_like_llama, "Phi", partial_rotary_factor=0.5),
    "phi3": partial(_like_llama, "Phi3"),
    "gpt_neox": partial(
        build,
        "GPTNeoX",
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=128,
    ),
    "gpt_neo": partial(
        build,
        "GPTNeo",
        hidden_size=32,
        intermediate_size=48,
        num_layers=2,
        num_heads=4,
        attention_types=[[["global", "local"], 1]],
        window_size=6,
        max_position_embeddings=128,
    ),
    "opt": partial(
        build,
        "OPT",
        hidden_size=32,
        ffn_dim=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=128,
        word_embed_proj_dim=32,
    ),
    "bloom": partial(build, "Bloom", hidden_size=32, n_layer=2, n_head=4),
    "falcon": partial(
        build,
        "Falcon",
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=128,
    ),
    "olmo2": partial(_like_llama, "Olmo2"),
    "smollm3": partial(_like_llama, "SmolLM3"),
    "granite": partial(_like_llama, "Granite", residual_multiplier=0.5, logits_scaling=2.0),
    "stablelm": partial(_like_llama, "StableLm", partial_rotary_factor=0.5),
    "cohere": partial(_like_llama, "Cohere", logit_scale=0.5),
    "mamba": partial(
        build, "Mamba", hidden_size=32, num_hidden_layers=2, state_size=4, time_step_rank=4
    ),
}
"""Kind of model -> constructor of a tiny one."""


def row_by_row(model: Any, batch: Batch) -> Tensor:
    """log pi(response | prompt) of every row, each alone and without padding, in nats: (R,)."""
    found = []
    for ids, real, scored in zip(
        batch.input_ids, batch.attention_mask, batch.response_mask, strict=True
    ):
        tokens, where = ids[real], scored[real]
        logits = model(input_ids=tokens[None], use_cache=False).logits[0, -len(tokens) :]
        every = logits[:-1].double().log_softmax(-1).gather(1, tokens[1:, None])[:, 0]
        found.append(every[where[1:]].sum())
    return torch.stack(found)
