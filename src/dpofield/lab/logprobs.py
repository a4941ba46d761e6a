"""log pi(response | prompt): the reference implementation, and the functions that callers use.

A row is prompt + response + end of sequence. Its log-probability is the sum, in nats, of the
log-probabilities of the response tokens and the end; the prompt is conditioned on, not scored.
`sequence_logprobs` is the reference. `logprobs` returns the same numbers up to rounding, and is
faster for models that `trees` supports.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from dpofield.lab.model import CausalLM
from dpofield.lab.pairs import Pair
from dpofield.lab.trees import ARCHITECTURES, harvest, plant, takes_trees, tree_logprobs


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


def sequence_logprobs(
    model: CausalLM, input_ids: Tensor, attention_mask: Tensor, response_mask: Tensor
) -> Tensor:
    """log pi(response | prompt) of each row, in nats, summed over its response tokens: (R,).

    Arguments are the fields of a `Batch`; differentiable in the model's parameters. Padding may be
    on either side, because positions count real tokens only.
    """
    first = int(response_mask.any(dim=0).to(torch.int8).argmax())
    if bool((response_mask[:, 0]).any()):
        raise ValueError(
            "the first token of a row is scored, and nothing predicts it: give a prompt"
        )
    outputs = model(
        input_ids=input_ids,
        attention_mask=attention_mask.long(),
        position_ids=(attention_mask.long().cumsum(dim=1) - 1).clamp(min=0),
        # The token at t is predicted at t - 1, so logits of earlier columns are not needed.
        logits_to_keep=input_ids.shape[1] - first + 1,
        use_cache=False,
    )
    logprobs = outputs.logits[:, :-1].log_softmax(dim=-1)
    chosen = logprobs.gather(-1, input_ids[:, first:, None]).squeeze(-1)
    return torch.where(response_mask[:, first:], chosen, 0.0).sum(dim=1)


def logprobs(model: CausalLM, batch: Batch, *, share: bool | None = None) -> Tensor:
    """`sequence_logprobs` of every row of the batch, in nats, with a graph: (R,).

    With `share`, prefixes that rows have in common are computed once (`dpofield.lab.trees`), which
    is faster and gives the same numbers up to rounding. None, the default, shares if the model
    supports it; False never shares; True raises `ValueError` if the model does not support it.
    """
    rows = (batch.input_ids, batch.attention_mask, batch.response_mask)
    if _shares(model, share):
        values = tree_logprobs(model, *rows)
        # A nan spreads to all rows with the same attention row; the reference does not spread it.
        if bool(torch.isfinite(values).all()):
            return values
    return sequence_logprobs(model, *rows)


def pair_logprobs(
    model: CausalLM, pairs: Batch, *, share: bool | None = None
) -> tuple[Tensor, Tensor]:
    """(log pi(yw | x), log pi(yl | x)) of N encoded pairs, in nats: two tensors (N,).

    `share` as in `logprobs`.
    """
    lw, ll = logprobs(model, pairs, share=share).chunk(2)
    return lw, ll


@torch.no_grad()
def reference_logprobs(
    model: CausalLM, batch: Batch, *, chunk: int = 256, share: bool | None = None
) -> Tensor:
    """`logprobs` of every row without a graph, about `chunk` rows at a time: (R,)."""
    if _shares(model, share):
        forest = plant(batch.input_ids, batch.attention_mask, batch.response_mask)
        values = harvest(model, forest, places=chunk * batch.input_ids.shape[1])
        if bool(torch.isfinite(values).all()):
            return values
    parts = [logprobs(model, part, share=False) for part in _chunks(batch, chunk)]
    return torch.cat(parts)


def _shares(model: CausalLM, share: bool | None) -> bool:
    able = takes_trees(model)
    if share and not able:
        kind = getattr(getattr(model, "config", None), "model_type", type(model).__name__)
        raise ValueError(
            f"sharing common beginnings is not proven for {kind!r} with its attention (proven: "
            f"{', '.join(ARCHITECTURES)} with sdpa or eager attention); leave share at None"
        )
    return able if share is None else share


def _chunks(batch: Batch, size: int) -> Iterator[Batch]:
    for start in range(0, len(batch), size):
        yield batch.rows(slice(start, start + size))
