"""Samples follow the probabilities that the log-prob functions compute."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from dpofield.lab.batch import encode_texts
from dpofield.lab.logprobs import reference_logprobs
from dpofield.lab.sampling import sample_responses


def test_frequencies_follow_the_logprobs(model: Any, tokenizer: Any) -> None:
    """Frequencies in 4000 one-word samples agree with the model's probabilities of the words.

    One prompt is shorter, so that padding on the left is tested too.
    """
    prompts = ["soup at the mill :", "pie :"] * 4000
    first = Counter(
        (prompt, text)
        for prompt, text in zip(
            prompts, sample_responses(model, tokenizer, prompts, seed=0, longest=1), strict=True
        )
        if text
    )
    for prompt in prompts[:2]:
        words = [(key, n) for key, n in first.most_common(12) if key[0] == prompt]
        batch = encode_texts(tokenizer, [key for key, _ in words])
        mask = batch.response_mask.clone()
        # The end is not part of a one-word sample.
        for row, last in enumerate(batch.attention_mask.sum(dim=1) - 1):
            mask[row, last] = False
        chance = reference_logprobs(model, type(batch)(batch.input_ids, batch.attention_mask, mask))
        expected = 4000 * np.exp(chance.double().numpy())
        seen = np.array([n for _, n in words])
        assert len(words) > 2
        assert (np.abs(seen - expected) < 5 * np.sqrt(expected)).all()


def test_the_seed_fixes_the_sample(tiny_gpt2: Any, tokenizer: Any) -> None:
    """The same seed gives the same texts; another seed gives other texts."""
    prompts = ["soup :"] * 20
    one = sample_responses(tiny_gpt2, tokenizer, prompts, seed=1)
    assert one == sample_responses(tiny_gpt2, tokenizer, prompts, seed=1)
    assert one != sample_responses(tiny_gpt2, tokenizer, prompts, seed=2)


def test_no_prompts(tiny_gpt2: Any, tokenizer: Any) -> None:
    """An empty list of prompts is an error."""
    with pytest.raises(ValueError, match="no prompts"):
        sample_responses(tiny_gpt2, tokenizer, [], seed=0)
