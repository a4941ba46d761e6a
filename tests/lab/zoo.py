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

_IDS: dict[str, Any] = {"bos_token_id": None, "eos_token_id": 1, "pad_token_id": 0}
# Names that most configurations of `transformers` share, and those of the GPT-2 family.
WIDE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
_ROPE: dict[str, Any] = {"rope_theta": 10000.0}


def build(family: str, /, **config: Any) -> Any:
    """A causal language model with random weights that depend only on its configuration."""
    kind = next(k for k in (f"{family}TextConfig", f"{family}Config") if hasattr(transformers, k))
    made = getattr(transformers, kind)(vocab_size=len(word_tokenizer()), **(_IDS | config))
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
_like_llama = partial(build, **WIDE)


_like_bert = partial(
    build,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=128,
)
_like_mamba = partial(build, hidden_size=32, num_hidden_layers=2)
EXPERTS: dict[str, Any] = {
    "num_experts": 4,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "experts_implementation": "eager",  # the others have no float64
}
_MAMBA2: dict[str, Any] = {
    "mamba_d_head": 8,
    "mamba_d_state": 8,
    "mamba_n_groups": 1,
    "mamba_chunk_size": 4,
}
LATENT: dict[str, Any] = {
    "num_key_value_heads": 4,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
}


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
    "qwen3-moe": partial(_like_llama, "Qwen3Moe", head_dim=8, decoder_sparse_step=1, **EXPERTS),
    "mistral": partial(_windowed, "Mistral", 4096),
    "mistral-window": partial(_windowed, "Mistral", 6),
    "mixtral": partial(_like_llama, "Mixtral", **EXPERTS),
    "gemma": partial(_like_llama, "Gemma", head_dim=8),
    "gemma2": partial(_windowed, "Gemma2", 4096, head_dim=8, query_pre_attn_scalar=8),
    "gemma2-window": partial(_windowed, "Gemma2", 6, head_dim=8, query_pre_attn_scalar=8),
    "gemma3": partial(
        _like_llama, "Gemma3", head_dim=8, query_pre_attn_scalar=8, sliding_window=4096
    ),
    "phi": partial(_like_llama, "Phi", partial_rotary_factor=0.5),
    "phi3": partial(_like_llama, "Phi3"),
    "gpt_neox": partial(_like_bert, "GPTNeoX"),
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
    "falcon": partial(_like_bert, "Falcon"),
    "falcon-alibi": partial(_like_bert, "Falcon", alibi=True),
    "falcon-new": partial(_like_bert, "Falcon", new_decoder_architecture=True, num_kv_heads=2),
    "olmo2": partial(_like_llama, "Olmo2"),
    "smollm3": partial(_like_llama, "SmolLM3"),
    "granite": partial(_like_llama, "Granite", residual_multiplier=0.5, logits_scaling=2.0),
    "stablelm": partial(_like_llama, "StableLm", partial_rotary_factor=0.5),
    "cohere": partial(_like_llama, "Cohere", logit_scale=0.5),
    "cohere2": partial(_windowed, "Cohere2", 6, logit_scale=0.5),
    "gpt_oss": partial(_windowed, "GptOss", 6, head_dim=8, **EXPERTS),
    "deepseek_v2": partial(_like_llama, "DeepseekV2", **(EXPERTS | LATENT)),
    "deepseek_v3": partial(_like_llama, "DeepseekV3", **(EXPERTS | LATENT)),
    "olmo3-window": partial(_windowed, "Olmo3", 6),
    "olmoe": partial(_like_llama, "Olmoe", **EXPERTS),
    "granitemoe": partial(_like_llama, "GraniteMoe", **EXPERTS),
    "phimoe": partial(_like_llama, "Phimoe", **EXPERTS),
    "llama4": partial(
        _like_llama,
        "Llama4",
        head_dim=8,
        intermediate_size_mlp=48,
        attention_chunk_size=8,
        **(EXPERTS | {"num_experts_per_tok": 1}),
    ),
    "glm4": partial(_like_llama, "Glm4", head_dim=8),
    "nemotron": partial(_like_llama, "Nemotron"),
    "starcoder2-window": partial(_windowed, "Starcoder2", 6),
    "persimmon": partial(_like_llama, "Persimmon"),
    "ernie4_5": partial(_like_llama, "Ernie4_5"),
    "exaone4-window": partial(_windowed, "Exaone4", 6),
    "helium": partial(_like_llama, "Helium", head_dim=8),
    "arcee": partial(_like_llama, "Arcee"),
    "apertus": partial(_like_llama, "Apertus"),
    "hunyuan": partial(_like_llama, "HunYuanDenseV1", head_dim=8),
    "diffllama": partial(_like_llama, "DiffLlama"),
    "doge": partial(_like_llama, "Doge"),
    "nanochat": partial(_like_llama, "NanoChat"),
    "bitnet": partial(_like_llama, "BitNet"),
    "vaultgemma-window": partial(_windowed, "VaultGemma", 6, head_dim=8, query_pre_attn_scalar=8),
    "modernbert-decoder": partial(
        _like_bert,
        "ModernBertDecoder",
        local_attention=6,
        global_attn_every_n_layers=2,
        **dict.fromkeys(["bos_token_id", "cls_token_id", "sep_token_id"], 1),
    ),
    "gptj": partial(_gpt, "GPTJ", rotary_dim=4),
    "codegen": partial(_gpt, "CodeGen", rotary_dim=4),
    "gpt_bigcode": partial(_gpt, "GPTBigCode"),
    "openai-gpt": partial(_gpt, "OpenAIGPT"),
    "ctrl": partial(_gpt, "CTRL", dff=48),
    "biogpt": partial(_like_bert, "BioGpt"),
    "mpt": partial(build, "Mpt", d_model=32, n_heads=4, n_layers=2, max_seq_len=128),
    "bert": partial(_like_bert, "Bert", is_decoder=True),
    "roberta": partial(_like_bert, "Roberta", is_decoder=True),
    "bart": partial(
        build,
        "Bart",
        d_model=32,
        decoder_layers=2,
        decoder_attention_heads=4,
        decoder_ffn_dim=48,
        encoder_layers=1,
        max_position_embeddings=128,
    ),
    "phi3-longrope": partial(
        _like_llama,
        "Phi3",
        original_max_position_embeddings=16,
        rope_parameters=_ROPE
        | {
            "rope_type": "longrope",
            "short_factor": [1.0] * 4,
            "long_factor": [2.0] * 4,
            "original_max_position_embeddings": 16,
            "factor": 8.0,
        },
    ),
    "mamba": partial(_like_mamba, "Mamba", state_size=4, time_step_rank=4),
    "mamba2": partial(
        _like_mamba, "Mamba2", state_size=8, num_heads=8, head_dim=8, n_groups=2, chunk_size=4
    ),
    "rwkv": partial(
        _like_mamba, "Rwkv", attention_hidden_size=32, intermediate_size=48, context_length=128
    ),
    "jamba": partial(
        _like_llama,
        "Jamba",
        attn_layer_period=2,
        attn_layer_offset=1,
        expert_layer_period=2,
        expert_layer_offset=1,
        mamba_d_state=4,
        mamba_dt_rank=4,
        use_mamba_kernels=False,
        **EXPERTS,
    ),
    "bamba": partial(_like_llama, "Bamba", attn_layer_indices=[1], mamba_n_heads=8, **_MAMBA2),
    "falcon_h1": partial(
        _like_llama, "FalconH1", head_dim=8, mamba_d_ssm=32, mamba_n_heads=4, **_MAMBA2
    ),
    "recurrent_gemma": partial(
        _like_mamba,
        "RecurrentGemma",
        num_hidden_layers=3,
        intermediate_size=48,
        num_attention_heads=4,
        num_key_value_heads=1,
        lru_width=32,
        attention_window_size=6,
    ),
    "qwen3_next": partial(
        _like_llama,
        "Qwen3Next",
        head_dim=8,
        layer_types=["linear_attention", "full_attention"],
        linear_num_value_heads=4,
        linear_num_key_heads=2,
        linear_key_head_dim=8,
        linear_value_head_dim=8,
        shared_expert_intermediate_size=16,
        **EXPERTS,
    ),
    "minimax": partial(
        _like_llama,
        "MiniMax",
        head_dim=8,
        layer_types=["linear_attention", "full_attention"],
        block_size=4,
        **EXPERTS,
    ),
    "lfm2": partial(_like_llama, "Lfm2", layer_types=["conv", "full_attention"]),
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
