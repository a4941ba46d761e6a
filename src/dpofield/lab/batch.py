"""Token rows of pairs and texts: what a model reads, and which tokens are scored.

A row is prompt + response + end of sequence; the response and the end are scored. How texts become
tokens is in `tokens`; rows are cut and padded here.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from dpofield.lab.chat import Conversation
from dpofield.lab.pairs import Pair, PairList, listing
from dpofield.lab.tokens import Item, Tokens, tokenised

Truncation = Literal["keep_start", "keep_end"] | None
_Rows = list[tuple[list[int], list[int]]]  # prompt and scored tokens of each response


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
    tokenizer: Any,
    pairs: Sequence[Pair | Conversation],
    *,
    padding_side: Literal["left", "right"] = "right",
    eos: bool = True,
    max_length: int | None = None,
    truncation: Truncation = None,
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
    found = _rows_of_pairs(tokenizer, pairs, eos, doubled, max_length, truncation)
    places = getattr(pairs, "places", ())
    rows = _all_good(found, "pairs", places if len(places) == len(pairs) else ())
    return _padded(tokenizer, [both[side] for side in (0, 1) for both in rows], padding_side)


def encodable(
    tokenizer: Any,
    pairs: Sequence[Pair | Conversation],
    *,
    eos: bool = True,
    max_length: int | None = None,
    truncation: Truncation = None,
    doubled: bool = False,
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
    found = _rows_of_pairs(tokenizer, pairs, eos, doubled, max_length, truncation)
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
    eos: bool = True,
    max_length: int | None = None,
    truncation: Truncation = None,
    doubled: bool = False,
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
    items: list[Item] = [(prompt, (response,)) for prompt, response in texts]
    found = tokenised(tokenizer, items, eos=eos, doubled=doubled)
    rows = _all_good([_cut(tokens, max_length, truncation) for tokens in found], "texts")
    return _padded(tokenizer, [row for (row,) in rows], padding_side)


def _rows_of_pairs(
    tokenizer: Any, pairs: Sequence[Pair | Conversation], eos: bool, doubled: bool,
    max_length: int | None, truncation: Truncation,
) -> list[_Rows | ValueError]:  # fmt: skip
    items: list[Item] = [
        p if isinstance(p, Conversation) else (p.prompt, (p.preferred, p.dispreferred))
        for p in pairs
    ]
    found = [
        _cut(tokens, max_length, truncation)
        for tokens in tokenised(tokenizer, items, eos=eos, doubled=doubled)
    ]
    same = "both responses have the same tokens, so this pair teaches nothing: remove it"
    return [
        ValueError(same) if not isinstance(rows, ValueError) and rows[0][1] == rows[1][1] else rows
        for rows in found
    ]


def _cut(
    tokens: Tokens | ValueError, max_length: int | None, truncation: Truncation
) -> _Rows | ValueError:
    """One row per response, cut as TRL cuts it; an error if nothing would be left to score."""
    if truncation not in (None, "keep_start", "keep_end"):
        raise ValueError(f'truncation={truncation!r}: use "keep_start" or "keep_end"')
    if (max_length is None and truncation is not None) or (
        max_length is not None and max_length < 2
    ):
        raise ValueError(f"max_length must be at least 2 to cut rows, got {max_length}")
    if isinstance(tokens, ValueError):
        return tokens
    before, responses = tokens.prompt, tokens.responses
    longest = max(map(len, responses))
    if max_length is None or len(before) + longest <= max_length:
        return [(before, response) for response in responses]
    if truncation is None:
        return ValueError(
            f"{len(before) + longest} tokens are more than max_length={max_length}: "
            'leave the pair out, or cut it with truncation="keep_start" or "keep_end"'
        )
    if truncation == "keep_start":
        if len(before) >= max_length:
            return ValueError(
                f"the prompt alone has {len(before)} tokens, so max_length={max_length} leaves "
                'nothing of the responses: leave the pair out, or use truncation="keep_end"'
            )
        return [(before, response[: max_length - len(before)]) for response in responses]
    if longest >= max_length:
        return ValueError(
            f"a response has {longest} tokens, so max_length={max_length} leaves nothing before "
            'its first token: leave the pair out, or use truncation="keep_start"'
        )
    return [(before[max(0, len(before) + len(r) - max_length) :], r) for r in responses]


def _all_good(
    found: Sequence[_Rows | ValueError], kind: str, places: Sequence[str] = ()
) -> list[_Rows]:
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
