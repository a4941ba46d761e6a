"""Token rows of pairs and texts: what a model reads, and which tokens are scored.

A row is prompt + response + end of sequence; the response and the end are scored. How texts become
tokens is in `tokens`; rows are cut and padded here.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Unpack

import numpy as np
import torch
from torch import Tensor

from dpofield.lab.chat import Conversation
from dpofield.lab.pairs import Pair, PairList, listing
from dpofield.lab.tokens import Item, RowOptions, Rows, tokenised


@dataclass(frozen=True)
class Batch:
    """R rows of T tokens: their ids, which tokens are no padding, and which are scored.

    `input_ids` (R, T) int64, `attention_mask` (R, T) bool, `response_mask` (R, T) bool; masks of
    other dtypes, as TRL has them, become bool. For N pairs R = 2 N: the preferred responses first,
    then the dispreferred ones, as TRL stacks them.
    """

    input_ids: Tensor
    attention_mask: Tensor
    response_mask: Tensor

    def __post_init__(self) -> None:
        for name in ("attention_mask", "response_mask"):
            object.__setattr__(self, name, getattr(self, name).bool())

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
    tokenizer: Any,
    pairs: Sequence[Pair | Conversation],
    *,
    padding_side: Literal["left", "right"] = "right",
    eos: bool = True,
    max_length: int | None = None,
    truncation: Literal["keep_start", "keep_end"] | None = None,
    doubled: bool = False,
) -> Batch:
    """Token rows of N pairs, as a `Batch` of 2 N rows: the rows of TRL's `DPOTrainer` (1.16).

    Prompt and response are tokenised together, and both responses follow the same prompt tokens;
    `dpofield.lab.tokens` has the rule. The end of sequence is added to a text that lacks it, and
    scored. A chat template writes its own end, to which nothing is added. `eos=False` leaves the
    end out, in both cases.

    A row with more than `max_length` tokens is an error, unless `truncation` says which part to
    keep, "keep_start" or "keep_end", as TRL's `truncation_mode` does.

    TRL has two beginnings of sequence if both the text and the tokenizer have one, and two ends if
    the tokenizer adds one too. Here each stands once. `doubled=True` gives TRL's rows as they are.

    Raises `ValueError`, which names the pair, for an unknown word, a response without tokens or of
    which `max_length` leaves nothing, two responses with the same tokens, and messages that the
    chat template refuses; also for no pairs. `encodable` leaves such pairs out.
    """
    if not pairs:
        raise ValueError("no pairs to encode: give at least one Pair")
    found = _of_pairs(
        tokenizer, pairs, eos=eos, max_length=max_length, truncation=truncation, doubled=doubled
    )
    places = getattr(pairs, "places", ())
    rows = _all_good(found, "pairs", places if len(places) == len(pairs) else ())
    return _padded(tokenizer, [both[side] for side in (0, 1) for both in rows], padding_side)


def encodable(
    tokenizer: Any, pairs: Sequence[Pair | Conversation], **options: Unpack[RowOptions]
) -> PairList:
    """The pairs that `encode` accepts with these arguments, with what a `PairList` has beside.

    One warning names the others, and `skipped` of the result lists them all.

    >>> from dpofield.lab.tokenizer import word_tokenizer
    >>> pairs = [Pair("soup :", "good .", "cold ."), Pair("soup :", "good .", "good.")]
    >>> with warnings.catch_warnings(action="ignore"):
    ...     kept = encodable(word_tokenizer(), pairs)
    >>> len(kept), kept.skipped[0]
    (1, 'pairs[1]: both responses have the same tokens, so this pair teaches nothing: remove it')
    """
    given = pairs if isinstance(pairs, PairList) else PairList(pairs)
    found = _of_pairs(tokenizer, pairs, **options)
    names = given.places or [f"pairs[{i}]" for i in range(len(given))]
    skipped = [
        f"{name}: {row}"
        for name, row in zip(names, found, strict=True)
        if isinstance(row, ValueError)
    ]
    kept = [i for i, row in enumerate(found) if not isinstance(row, ValueError)]
    if skipped:
        warnings.warn(listing(skipped, len(kept)), stacklevel=2)
    return given.keep(kept, skipped)


def encode_texts(
    tokenizer: Any,
    texts: Sequence[tuple[str, str]],
    *,
    padding_side: Literal["left", "right"] = "right",
    **options: Unpack[RowOptions],
) -> Batch:
    """Token rows of (prompt, response) texts, one row per text; the rest is as in `encode`.

    >>> from dpofield.lab.tokenizer import word_tokenizer
    >>> texts = [("soup :", "good ."), ("soup :", "very good .")]
    >>> batch = encode_texts(word_tokenizer(), texts)
    >>> batch.response_mask.int().tolist()
    [[0, 0, 1, 1, 1, 0], [0, 0, 1, 1, 1, 1]]
    """
    if not texts:
        raise ValueError("no texts to encode: give at least one (prompt, response)")
    rows = _all_good(tokenised(tokenizer, [(p, (r,)) for p, r in texts], **options), "texts")
    return _padded(tokenizer, [row for (row,) in rows], padding_side)


def _of_pairs(
    tokenizer: Any, pairs: Sequence[Pair | Conversation], **options: Unpack[RowOptions]
) -> list[Rows | ValueError]:
    items: list[Item] = [
        p if isinstance(p, Conversation) else (p.prompt, (p.preferred, p.dispreferred))
        for p in pairs
    ]
    same = "both responses have the same tokens, so this pair teaches nothing: remove it"
    return [
        ValueError(same) if not isinstance(rows, ValueError) and rows[0][1] == rows[1][1] else rows
        for rows in tokenised(tokenizer, items, **options)
    ]


def _all_good(
    found: Sequence[Rows | ValueError], kind: str, places: Sequence[str] = ()
) -> list[Rows]:
    bad = [i for i, rows in enumerate(found) if isinstance(rows, ValueError)]
    if bad:
        name = places[bad[0]] if places else f"{kind}[{bad[0]}]"
        more = f" ({len(bad)} of {len(found)} {kind} have such faults)" * (len(bad) > 1)
        raise ValueError(f"{name}: {found[bad[0]]}{more}")
    return [rows for rows in found if not isinstance(rows, ValueError)]


def _padded(
    tokenizer: Any, rows: Sequence[tuple[list[int], list[int]]], padding_side: str
) -> Batch:
    width = max(len(p) + len(r) for p, r in rows)
    known = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
    pad = next(token for token in known if token is not None)
    ids = np.full((len(rows), width), pad)
    attention, scored = np.zeros(ids.shape, dtype=bool), np.zeros(ids.shape, dtype=bool)
    for row, (p, r) in enumerate(rows):
        start = width - len(p) - len(r) if padding_side == "left" else 0
        middle, end = start + len(p), start + len(p) + len(r)
        ids[row, start:end] = p + r
        attention[row, start:end] = True
        scored[row, middle:end] = True
    return Batch(*(torch.from_numpy(array) for array in (ids, attention, scored)))
