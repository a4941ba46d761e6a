"""log pi(response | prompt): the reference implementation, and the functions that callers use.

A row is prompt + response + end of sequence. Its log-probability is the sum, in nats, of the
log-probabilities of the response tokens and the end; the prompt is conditioned on, not scored.
`sequence_logprobs` is the reference, and equals what each row gives alone and without padding, for
any causal language model. `logprobs` returns the same numbers up to rounding, and is faster for
models that `trees` supports.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from dpofield.lab.batch import Batch
from dpofield.lab.batch import encode as encode  # also found here
from dpofield.lab.forward import (
    Reading,
    as_exact_as_its_weights,
    hooked,
    last_logits,
    longest_row,
    position_tables,
    prompt_tokens,
    reading,
    still,
    token_table,
)
from dpofield.lab.model import CausalLM
from dpofield.lab.trees import harvest, plant, takes_trees, tree_logprobs


class Scored(NamedTuple):
    """The S scored tokens of a batch, row by row, and the logits that predict them.

    `row`, `token` (S,) int64: the row of the batch, and the id. `logits` (S, V).
    """

    row: Tensor
    token: Tensor
    logits: Tensor


def sequence_logprobs(
    model: CausalLM, input_ids: Tensor, attention_mask: Tensor, response_mask: Tensor
) -> Tensor:
    """log pi(response | prompt) of each row, in nats, summed over its response tokens: (R,).

    Arguments are the fields of a `Batch`, with padding on either side; differentiable in the
    model's parameters. float32, or float64 for a model in float64, on the batch's device. Models in
    train mode give the numbers of eval mode. Raises `ValueError` for rows that the model cannot
    read or that have no prompt, and for a model that `still` refuses.
    """
    rows = _aligned(model, Batch(input_ids, attention_mask, response_mask))
    if not rows.input_ids.numel():
        return torch.zeros(len(rows), device=input_ids.device)
    with still(model):
        return _in_passes(model, rows, reading(model)).to(input_ids.device)


def logprobs(model: CausalLM, batch: Batch, *, share: bool | None = None) -> Tensor:
    """`sequence_logprobs` of every row of the batch, in nats, with a graph: (R,).

    With `share`, prefixes that rows have in common are computed once (`dpofield.lab.trees`), which
    is faster and gives the same numbers up to rounding. None, the default, shares if the model
    supports it and, in float64, computes in float64 throughout; False never shares; True raises
    `ValueError` if the model does not support it.
    """
    rows = (batch.input_ids, batch.attention_mask, batch.response_mask)
    check_readable(model, batch)
    with still(model):
        values = tree_logprobs(model, *rows) if _shares(model, share) else None
    # A nan spreads to all rows with the same attention row; the reference does not spread it.
    if values is not None and bool(torch.isfinite(values).all()):
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
    check_readable(model, batch)
    with still(model):
        if _shares(model, share):
            forest = plant(batch.input_ids, batch.attention_mask, batch.response_mask)
            values = harvest(model, forest, places=chunk * batch.input_ids.shape[1])
            if bool(torch.isfinite(values).all()):
                return values
    parts = [logprobs(model, part, share=False) for part in _chunks(batch, chunk)]
    return torch.cat(parts) if parts else logprobs(model, batch, share=False)


def scored_logits(model: CausalLM, batch: Batch) -> Scored:
    """The logits that predict each scored token of the batch, in the order of its rows.

    The numbers and errors of `sequence_logprobs`, for measurements that need whole distributions.
    """
    rows = _aligned(model, batch)
    found = []
    with still(model):
        for index, part in _parts(rows, reading(model)):
            scored, token, logits = _predicted(model, part)
            found.append((index[scored.nonzero()[:, 0]], token[scored], logits[scored]))
    if not found:
        raise ValueError("no rows to score: give at least one")
    row, token, logits = (torch.cat(parts) for parts in zip(*found, strict=True))
    order = row.argsort(stable=True)
    return Scored(row[order], token[order], logits[order])


def in_one_pass(model: CausalLM, batch: Batch) -> Tensor:
    """`sequence_logprobs` by a single pass over all rows, for hooks that need one: (R,).

    The numbers are those of `sequence_logprobs` up to the precision of the model's parts, if
    `forward.reading` is "together"; otherwise rows of different lengths may influence each other.
    """
    rows = _aligned(model, batch)
    with still(model):
        return _in_passes(model, rows, "together").to(batch.input_ids.device)


def _in_passes(model: CausalLM, rows: Batch, how: Reading) -> Tensor:
    """log pi of each aligned row, read as `how` says: (R,)."""
    found = []
    for index, part in _parts(rows, how):
        scored, token, logits = _predicted(model, part)
        chosen = logits.log_softmax(dim=-1).gather(-1, token[..., None]).squeeze(-1)
        found.append((index, torch.where(scored, chosen, 0.0).sum(dim=1)))
    if len(found) == 1 and len(found[0][0]) == len(rows):
        return found[0][1]
    index, values = (torch.cat(parts) for parts in zip(*found, strict=True))
    return values.new_zeros(len(rows)).index_copy(0, index, values)


def _parts(rows: Batch, how: Reading) -> Iterator[tuple[Tensor, Batch]]:
    """The rows of each pass with their numbers, without padding unless they are read together."""
    every = torch.arange(len(rows), device=rows.input_ids.device)
    lengths = rows.attention_mask.sum(dim=1)
    if how == "together":
        parts = [every]
    elif how == "one by one":
        parts = list(torch.split(every[lengths > 0], 1))
    else:
        parts = [every[lengths == n] for n in sorted(set(lengths.tolist())) if n]
    for index in parts:
        part = rows if len(index) == len(rows) else rows.rows(index)
        width = int(part.attention_mask.sum(dim=1).max())
        yield index, part.rows((slice(None), slice(width)))


def _predicted(model: CausalLM, rows: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """The last K columns that hold the scored tokens: `scored`, ids (R, K), logits (R, K, V)."""
    first = int(rows.response_mask.any(dim=0).to(torch.int8).argmax())
    # The token at t is predicted at t - 1, so logits of earlier columns are not needed.
    keep = rows.input_ids.shape[1] - max(first, 1) + 1
    lengths = rows.attention_mask.sum(dim=1)
    try:
        logits = last_logits(model, rows.input_ids, lengths, keep)
    except (IndexError, RuntimeError) as error:
        limit = longest_row(model)
        if limit and int(lengths.max()) > limit:
            raise ValueError(_too_long(int(lengths.argmax()), int(lengths.max()), limit)) from error
        raise
    scored, token = (x[:, max(first, 1) :] for x in (rows.response_mask, rows.input_ids))
    return scored, token, logits[:, :-1]


def _aligned(model: CausalLM, rows: Batch) -> Batch:
    """The rows with all padding on the right, checked, on the device of the model's input."""
    check_readable(model, rows)
    real, scored = rows.attention_mask, rows.response_mask
    ids = rows.input_ids.masked_fill(~real, 0)
    width = int(real.sum(dim=1).max()) if real.numel() else 0
    if bool((real[:, 1:] & ~real[:, :-1]).any()) or not bool(real[:, :1].all()):
        order = (~real).to(torch.int8).argsort(dim=1, stable=True)
        ids, real, scored = (x.gather(1, order) for x in (ids, real, scored))
    # Padding is never read, but its token can be beyond the embedding.
    ids = torch.where(real, ids, ids[:, :1])
    moved = Batch(*(x[:, :width].contiguous() for x in (ids, real, scored)))
    table = token_table(model)
    device = None if table is None or hooked(model) else table.weight.device
    return moved if device is None else moved.to(device)


def check_readable(model: CausalLM, rows: Batch) -> None:
    """Raise the `ValueError` of `sequence_logprobs` for rows that `model` cannot read or score."""
    ids, real, scored = rows.input_ids, rows.attention_mask, rows.response_mask
    if not ids.shape == real.shape == scored.shape or ids.dim() != 2:
        raise ValueError(
            f"ids, attention mask and response mask have shapes {tuple(ids.shape)}, "
            f"{tuple(real.shape)}, {tuple(scored.shape)}: give three of one shape (rows, columns)"
        )
    if not real.numel():
        return
    first = real & (real.cumsum(dim=1) == 1)
    if row := _first_row(scored & first):
        raise ValueError(
            f"the first token of row {row[0]} is scored, and nothing predicts it: give a prompt"
        )
    if row := _first_row(scored & ~real):
        raise ValueError(
            f"row {row[0]} scores a column that its attention mask calls padding: "
            "give masks of the same rows"
        )
    table, longest = token_table(model), real.sum(dim=1)
    if table is not None and hasattr(table, "weight"):
        if table.weight.is_meta and not hooked(model):
            raise ValueError(
                f"{type(model).__name__} has no weights (device meta): load them with "
                "from_pretrained, or make the model on a real device"
            )
        size = int(getattr(table, "num_embeddings", len(table.weight)))
        if row := _first_row(real & ((ids < 0) | (ids >= size))):
            worst = ids[row[0]][real[row[0]]]
            raise ValueError(
                f"row {row[0]} has token id {int(worst.max())}, and the model's embedding has "
                f"{size} rows: use the tokenizer of this model, or model.resize_token_embeddings"
            )
    for limit in position_tables(model).values():
        limit -= prompt_tokens(model)
        if row := _first_row((longest > limit)[:, None]):
            raise ValueError(_too_long(row[0], int(longest[row[0]]), limit))


def _first_row(bad: Tensor) -> list[int]:
    """The number of the first row with a True entry, in a list; empty if there is none."""
    rows: list[int] = bad.any(dim=1).nonzero()[:1, 0].tolist()
    return rows


def _too_long(row: int, tokens: int, limit: int) -> str:
    return (
        f"row {row} has {tokens} tokens, and the model has {limit} positions: cut the texts, "
        "or use a model with a longer context"
    )


def _shares(model: CausalLM, share: bool | None) -> bool:
    if share is False or (share is None and not as_exact_as_its_weights(model)):
        return False
    able = takes_trees(model)
    if share and not able:
        kind = getattr(getattr(model, "config", None), "model_type", type(model).__name__)
        raise ValueError(
            f"sharing common beginnings is not proven for {kind!r} in its present state "
            "(layers, attention, positions or randomness); leave share at None"
        )
    return able


def _chunks(batch: Batch, size: int) -> Iterator[Batch]:
    for start in range(0, len(batch), size):
        yield batch.rows(slice(start, start + size))
