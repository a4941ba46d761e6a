"""Responses drawn from a model, for looking at what it says and what that is worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from dpofield.lab.model import CausalLM


@torch.no_grad()
def sample_responses(
    model: CausalLM, tokenizer: Any, prompts: Sequence[str], *, seed: int, longest: int = 32
) -> list[str]:
    """One response to each prompt, drawn token by token from the model's own distribution.

    No temperature, no truncation of the distribution; at most `longest` tokens. Raises
    `ValueError` for no prompts.
    """
    if not prompts:
        raise ValueError("no prompts: give at least one")
    rows = tokenizer(list(prompts), padding=True, padding_side="left", return_tensors="pt")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        ids = model.generate(  # type: ignore[operator]
            input_ids=rows.input_ids,
            attention_mask=rows.attention_mask,
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            max_new_tokens=longest,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    fresh = ids[:, rows.input_ids.shape[1] :]
    texts: list[str] = tokenizer.batch_decode(fresh, skip_special_tokens=True)
    return texts
