"""Responses sampled from a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from dpofield.lab.model import CausalLM


@torch.no_grad()
def sample_responses(
    model: CausalLM, tokenizer: Any, prompts: Sequence[str], *, seed: int, longest: int = 32
) -> list[str]:
    """One response per prompt, sampled token by token from the model's own distribution.

    Temperature 1, no truncation of the distribution, at most `longest` tokens. Raises `ValueError`
    for no prompts.
    """
    if not prompts:
        raise ValueError("no prompts: give at least one")
    rows = tokenizer(list(prompts), padding=True, padding_side="left", return_tensors="pt")
    device = next(model.parameters()).device
    fresh, mask, cache = rows.input_ids.to(device), rows.attention_mask.to(device), None
    chance = torch.Generator().manual_seed(seed)
    done = torch.zeros(len(prompts), 1, dtype=torch.bool)
    drawn = []
    for _ in range(longest):
        outputs = model(
            input_ids=fresh,
            attention_mask=mask,
            position_ids=(mask.cumsum(dim=1) - 1).clamp(min=0)[:, -fresh.shape[1] :],
            past_key_values=cache,
            use_cache=True,
        )
        # Sampled on the host, so that a seed gives the same random numbers on every device.
        chances = outputs.logits[:, -1].softmax(dim=-1).cpu()
        fresh = torch.multinomial(chances, 1, generator=chance)
        done = done | (fresh == tokenizer.eos_token_id)
        drawn.append(fresh.masked_fill(done, tokenizer.eos_token_id))
        if bool(done.all()):
            break
        fresh = fresh.to(device)
        mask, cache = torch.cat([mask, torch.ones_like(fresh)], dim=1), outputs.past_key_values
    texts: list[str] = tokenizer.batch_decode(torch.cat(drawn, dim=1), skip_special_tokens=True)
    return texts
