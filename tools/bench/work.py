"""The models and pairs to measure, and the floating-point operations that they need."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, Gemma3TextConfig, GPT2Config, Qwen3Config

from dpofield.lab.batch import Batch, encode
from dpofield.lab.model import prepared
from dpofield.lab.pairs import Pair
from dpofield.lab.tokenizer import word_tokenizer
from dpofield.lab.trees import plant

VOCABULARY = 1000
# Size -> layers, width; four heads. About 1 and 5 million parameters.
SIZES = {"1 M": (4, 128), "5 M": (6, 256)}

# Other kinds of models, and what they are measured in.
CONFIGS = {"Qwen3": Qwen3Config, "Gemma 3": Gemma3TextConfig}
FAMILY_SIZE, FAMILY_SHAPES = "5 M", ("mixed", "prompt-heavy")


@dataclass(frozen=True)
class Shape:
    """Tokens of prompt and response, without the end token, and whether only one word differs."""

    prompt: int
    response: int
    one_word: bool = False


SHAPES = {
    "mixed": Shape(24, 24),
    "prompt-heavy": Shape(64, 8),
    "response-heavy": Shape(8, 64),
    "edit distance 1": Shape(24, 24, one_word=True),
}


def model(size: str, *, stock: bool = False, family: str = "GPT2") -> Any:
    """An untrained model of this size, with a fixed seed; `stock`: as transformers makes it.

    A `family` other than GPT-2 has rotary positions, RMSNorm, a gated MLP and grouped heads.
    """
    layers, width = SIZES[size]
    torch.manual_seed(0)
    ids = {"vocab_size": VOCABULARY, "bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 0}
    if family == "GPT2":
        config = GPT2Config(
            n_positions=128, n_embd=width, n_layer=layers, n_head=4,
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, **ids,
        )  # fmt: skip
    else:
        config = CONFIGS[family](
            max_position_embeddings=128, hidden_size=width, intermediate_size=3 * width,
            num_hidden_layers=layers, num_attention_heads=4, num_key_value_heads=2,
            head_dim=width // 4, tie_word_embeddings=True, **ids,
        )  # fmt: skip
    made = AutoModelForCausalLM.from_config(config)
    return made if stock else prepared(made)


@cache
def tokenizer() -> Any:
    """One token per word: pad, end, unknown, the colon, and words to fill the vocabulary."""
    return word_tokenizer((":", *(f"w{i:03d}" for i in range(VOCABULARY - 4))))


def pairs(shape: str, n: int, seed: int = 0) -> list[Pair]:
    """`n` pairs of random words in this shape."""
    form, rng = SHAPES[shape], np.random.default_rng(seed)
    words = [w for w in tokenizer().get_vocab() if w.startswith("w")]

    def text(length: int) -> list[str]:
        return [str(w) for w in rng.choice(words, length)]

    found = []
    for _ in range(n):
        # TRL joins prompt and response without a space; the colon keeps their words apart.
        prompt, preferred = [*text(form.prompt - 1), ":"], text(form.response)
        dispreferred = text(form.response)
        if form.one_word:
            place = int(rng.integers(form.response))
            other = str(rng.choice([w for w in words if w != preferred[place]]))
            dispreferred = [*preferred[:place], other, *preferred[place + 1 :]]
        found.append(Pair(" ".join(prompt), " ".join(preferred), " ".join(dispreferred)))
    return found


def rows(shape: str, n: int) -> Batch:
    """The same pairs as token rows."""
    return encode(tokenizer(), pairs(shape, n))


def step_work(size: str, batch: Batch) -> tuple[float, float]:
    """Multiplications and additions that one DPO step on these pairs needs at least.

    Returns the counts for products with weights and for attention. Every distinct prefix passes
    through the layers once, and attends to its own tokens; the backward pass costs twice the
    forward pass. Only prefixes that predict a scored token pass through the end of the last layer
    and the product with the vocabulary.
    """
    layers, width = SIZES[size]
    forest = plant(batch.input_ids, batch.attention_mask, batch.response_mask)
    predict = torch.unique(forest.place)
    places, heads = len(forest.input_ids), len(predict)
    blocks = (
        12 * layers - 9
    ) * places + 9 * heads  # width^2 each: 3 for attention's inputs, 9 after
    products = 2 * blocks * width**2 + 2 * heads * width * VOCABULARY
    seen = forest.depth + 1
    attention = 4 * width * int((layers - 1) * seen.sum() + seen[predict].sum())
    return 3.0 * products, 3.0 * attention
