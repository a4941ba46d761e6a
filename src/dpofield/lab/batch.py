"""Token rows of pairs and texts: what a model reads, and which tokens are scored.

A row is prompt + response + end of sequence; the response and the end are scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from dpofield.lab.pairs import Pair


@dataclass(frozen=True)
class Batch:
    """R rows of T tokens: their ids, which tokens are no padding, and which are scored.

    `input_ids` (R, T) int64, `attention_mask` (R, T) bool, `response_mask` (R, T) bool. For N
    pairs R = 2 N: the preferred responses first, then the dispreferred ones, as TRL stacks them.
    """

    input_ids: Tensor
    attention_mask: Tensor
    response_mask: Tensor

    def __len__(self) -> int:
        return self.input_ids.shape[0]

    def rows(self, index: Any) -> Batch:
        """The rows chosen by a slice or an index tensor."""
        return Batch(self.input_ids[index], self.attention_mask[index], self.response_mask[index])

    def pairs(self, index: Tensor) -> Batch:
        """The pairs chosen by an index tensor; the batch must consist of pairs."""
        return self.rows(torch.cat([index, index + len(self) // 2]))

    def to(self, device: torch.device | str) -> Batch:
        """The same rows on another device."""
        return Batch(
            *(t.to(device) for t in (self.input_ids, self.attention_mask, self.response_mask))
        )

    @property
    def lengths(self) -> Tensor:
        """Scored tokens of each row, the end included: (R,) int64."""
        return self.response_mask.sum(dim=1)


def encode(
    tokenizer: Any, pairs: Sequence[Pair], *, padding_side: Literal["left", "right"] = "right"
) -> Batch:
    """Token rows of N pairs, as a `Batch` of 2 N rows.

    Prompt and response are tokenised separately, so both responses follow the same prompt tokens.
    Raises `ValueError` for no pairs, an empty text and a word outside the tokenizer's vocabulary.
    """
    if not pairs:
        raise ValueError("no pairs to encode: give at least one Pair")
    texts = [(p.prompt, p.preferred) for p in pairs] + [(p.prompt, p.dispreferred) for p in pairs]
    return encode_texts(tokenizer, texts, padding_side=padding_side)


def encode_texts(
    tokenizer: Any,
    texts: Sequence[tuple[str, str]],
    *,
    padding_side: Literal["left", "right"] = "right",
) -> Batch:
    """Token rows of (prompt, response) texts, one row per text; errors as in `encode`.

    >>> from dpofield.lab.tokenizer import word_tokenizer
    >>> texts = [("soup :", "good ."), ("soup :", "very good .")]
    >>> batch = encode_texts(word_tokenizer(), texts)
    >>> batch.response_mask.int().tolist()
    [[0, 0, 1, 1, 1, 0], [0, 0, 1, 1, 1, 1]]
    """
    prompts = _ids(tokenizer, [prompt for prompt, _ in texts], special=True)
    responses = _ids(tokenizer, [response for _, response in texts], special=False)
    scored = [[*ids, tokenizer.eos_token_id] for ids in responses]
    width = max(len(p) + len(r) for p, r in zip(prompts, scored, strict=True))
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    ids = np.full((len(texts), width), pad)
    attention, response = np.zeros(ids.shape, dtype=bool), np.zeros(ids.shape, dtype=bool)
    for row, (p, r) in enumerate(zip(prompts, scored, strict=True)):
        start = width - len(p) - len(r) if padding_side == "left" else 0
        middle, end = start + len(p), start + len(p) + len(r)
        ids[row, start:end] = p + r
        attention[row, start:end] = True
        response[row, middle:end] = True
    return Batch(*(torch.from_numpy(array) for array in (ids, attention, response)))


def _ids(tokenizer: Any, texts: Sequence[str], *, special: bool) -> list[list[int]]:
    ids: list[list[int]] = tokenizer(list(texts), add_special_tokens=special).input_ids
    for text, row in zip(texts, ids, strict=True):
        if not row:
            raise ValueError(f"{text!r} has no tokens; every prompt and response needs one")
        if tokenizer.unk_token_id in row and tokenizer.unk_token_id != tokenizer.eos_token_id:
            known = tokenizer.get_vocab()
            unknown = [word for word in text.split() if word not in known]
            raise ValueError(
                f"unknown to this tokenizer: {', '.join(map(repr, unknown)) or 'a character'} "
                f"in {text!r}; use its vocabulary, or a model with a subword tokenizer"
            )
    return ids
