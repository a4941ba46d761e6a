"""Log-probabilities with every common beginning computed once: a batch of rows is a few trees.

Both responses of a pair follow the same prompt, and often agree for some words more. A causal model
gives equal beginnings equal hidden states, so what stands twice in the two rows need stand only
once: the pair is a tree of tokens that branches where the responses part, and all responses to a
prompt are one larger tree. A tree is laid out in depth-first order along a row of places. A place
attends to its ancestors only and has its depth as position, so it computes what it would compute
in a row of its own: the numbers are those of `logprobs.sequence_logprobs`, up to rounding.

Three more things are left out, because nothing depends on them: the last token of a response is
predicted but predicts nothing, so it is never read; only places that predict a scored token reach
the vocabulary; and several small trees share a row, so that little padding is computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm.auto import tqdm

Ints = NDArray[np.int64]

# Architectures whose attention obeys a four-dimensional mask and explicit positions, proven by
# tests/lab/test_trees.py. A sliding window or a recurrence would need another form.
ARCHITECTURES = ("gpt2", "llama")
# A place attends along its row: this many places of a row cost as much as the place itself.
_PLACES_PER_TOKEN = 800


@dataclass(frozen=True)
class Forest:
    """Token trees laid out in R rows of T places, and what is to be read off them.

    `input_ids`, `depth`, `end` (R, T) int64: a place's token, how many tokens stand before it on
    its path, and the place in its row before which its subtree ends. For each of E scored tokens:
    `sequence` (E,), the row of the batch that it belongs to; `place` (E,), the place that predicts
    it, counted through all rows; `token` (E,). `size`: rows of the batch.
    """

    input_ids: Tensor
    depth: Tensor
    end: Tensor
    sequence: Tensor
    place: Tensor
    token: Tensor
    size: int

    def mask(self, dtype: torch.dtype) -> Tensor:
        """What attention adds: 0 where the key is an ancestor or the place itself, (R, 1, T, T)."""
        place = torch.arange(self.end.shape[1], device=self.end.device)
        below = (place[:, None] >= place) & (place[:, None] < self.end[:, None, :])
        never = torch.finfo(dtype).min
        return torch.zeros_like(below, dtype=dtype).masked_fill_(~below, never)[:, None]

    def chunks(self, rows: int) -> Iterator[Forest]:
        """The same forest, at most `rows` of its rows at a time."""
        height, width = self.input_ids.shape
        for start in range(0, height, rows):
            stop = min(start + rows, height)
            inside = (self.place >= start * width) & (self.place < stop * width)
            cut = slice(start, stop)
            yield Forest(
                self.input_ids[cut],
                self.depth[cut],
                self.end[cut],
                self.sequence[inside],
                self.place[inside] - start * width,
                self.token[inside],
                self.size,
            )


def takes_trees(model: Any) -> bool:
    """Whether `model` is of a kind whose attention is known to work on trees."""
    config = getattr(model, "config", None)
    return getattr(config, "model_type", None) in ARCHITECTURES and getattr(
        config, "_attn_implementation", None
    ) in ("sdpa", "eager")


def tree_logprobs(
    model: torch.nn.Module, input_ids: Tensor, attention_mask: Tensor, response_mask: Tensor
) -> Tensor:
    """What `sequence_logprobs` gives, (R,) nats, computed on trees; arguments and errors alike.

    >>> from dpofield.lab.logprobs import encode, sequence_logprobs
    >>> from dpofield.lab.model import small_gpt2
    >>> from dpofield.lab.tokenizer import word_tokenizer
    >>> from dpofield.lab.world import World
    >>> pairs = encode(word_tokenizer(), World().pairs(4, seed=0, edit_distance=1))
    >>> rows = pairs.input_ids, pairs.attention_mask, pairs.response_mask
    >>> model = small_gpt2(seed=0).double()
    >>> bool(torch.allclose(tree_logprobs(model, *rows), sequence_logprobs(model, *rows)))
    True
    >>> forest = plant(*rows)
    >>> int(rows[1].sum()), forest.input_ids.numel()  # tokens in rows, places in trees
    (143, 102)
    """
    return forest_logprobs(model, plant(input_ids, attention_mask, response_mask))


def forest_logprobs(model: torch.nn.Module, forest: Forest) -> Tensor:
    """log pi(response | prompt) of each row of the planted batch, in nats: (R,).

    Differentiable in the model's parameters. For a forest too large for one pass: `harvest`.
    """
    if not len(forest.place):
        return torch.zeros(forest.size, device=forest.place.device)
    places, slot = torch.unique(forest.place, return_inverse=True)
    with _only(model.get_output_embeddings(), places):  # type: ignore[operator]
        logits = model(
            input_ids=forest.input_ids,
            position_ids=forest.depth,
            attention_mask=forest.mask(next(model.parameters()).dtype),
            use_cache=False,
        ).logits[0]
    picked = logits[slot, forest.token] - logits.logsumexp(dim=-1)[slot]
    total: Tensor = picked.new_zeros(forest.size).index_add(0, forest.sequence, picked)
    return total


@torch.no_grad()
def harvest(
    model: torch.nn.Module, forest: Forest, *, places: int = 8192, progress: bool = False
) -> Tensor:
    """`forest_logprobs` without a graph, about `places` places at a time: (R,)."""
    rows = max(1, places // max(1, forest.input_ids.shape[1]))
    parts = list(forest.chunks(rows))
    bar = tqdm(parts, desc="responses", disable=not progress, leave=False, delay=1)
    return torch.stack([forest_logprobs(model, part) for part in bar]).sum(dim=0)


@contextmanager
def _only(head: torch.nn.Module, places: Tensor) -> Iterator[None]:
    """Let just these places, counted through all rows, through the vocabulary projection."""

    def keep(_: torch.nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (args[0].flatten(0, 1)[places][None], *args[1:])

    hook = head.register_forward_pre_hook(keep)
    try:
        yield
    finally:
        hook.remove()


def plant(input_ids: Tensor, attention_mask: Tensor, response_mask: Tensor) -> Forest:
    """Lay the rows of a batch out as trees; the arguments are the fields of a `Batch`.

    Rows in alphabetical order share most with their neighbours, so a row's new places are those
    after what it has in common with the row before it. Raises `ValueError` as `sequence_logprobs`.
    """
    ids, real, scored = (
        t.cpu().numpy() for t in (input_ids, attention_mask.bool(), response_mask.bool())
    )
    if scored[:, :1].any():
        raise ValueError(
            "a response token stands first in its row: nothing predicts it; give a prompt"
        )
    # Real tokens to the left, in their order.
    order = np.argsort(~real, axis=1, kind="stable")
    ids, scored = (np.take_along_axis(a, order, axis=1) for a in (ids, scored & real))
    columns = np.arange(ids.shape[1])
    # The last scored token is predicted by the place before it; from there on nothing is read.
    reads = np.where(scored, columns, 0).max(axis=1, initial=0)
    inputs = np.where(columns < reads[:, None], ids, -1)

    rank = np.lexsort(inputs.T[::-1])
    sorted_inputs, reads = inputs[rank], reads[rank]
    equal = (sorted_inputs[1:] == sorted_inputs[:-1]) & (sorted_inputs[1:] >= 0)
    shared = np.concatenate([[0], equal.cumprod(axis=1).sum(axis=1)])[: len(rank)]
    row, first, width = _lay_out(reads, shared)

    height = int(row.max(initial=-1)) + 1
    tokens = np.zeros((height, width), dtype=np.int64)
    depth = np.zeros((height, width), dtype=np.int64)
    used = np.zeros(height, dtype=np.int64)
    path = np.zeros(inputs.shape, dtype=np.int64)  # place of each token of a sequence, in its row
    for s, r in enumerate(row):
        start = 0 if first[s] else shared[s]
        new = slice(used[r], used[r] + reads[s] - start)
        if not first[s]:
            path[s, :start] = path[s - 1, :start]
        path[s, start : reads[s]] = np.arange(new.start, new.stop)
        tokens[r, new] = sorted_inputs[s, start : reads[s]]
        depth[r, new] = np.arange(start, reads[s])
        used[r] = new.stop

    sequence, column = np.nonzero(scored[rank])
    places = row[sequence] * width + path[sequence, column - 1]
    targets = ids[rank][sequence, column]

    def there(array: Ints) -> Tensor:
        return torch.from_numpy(array).to(input_ids.device)

    laid_out = there(tokens), there(depth), there(_ends(depth))
    return Forest(*laid_out, there(rank[sequence]), there(places), there(targets), len(ids))


def _ends(depth: Ints) -> Ints:
    """Where each place's subtree ends: at the next place that is not deeper.

    The next tree of a row begins at depth 0, and so does each place of the padding.
    """
    place = np.arange(depth.shape[1])
    stops = (place > place[:, None]) & (depth[:, None, :] <= depth[:, :, None])
    return np.where(stops.any(axis=2), stops.argmax(axis=2), len(place))


def _lay_out(reads: Ints, shared: Ints) -> tuple[Ints, NDArray[np.bool_], int]:
    """Row of each sorted sequence, whether it begins a tree, and the width of the rows.

    Widths are tried from the longest sequence on, and the one that computes least is taken.
    """
    longest = int(reads.max(initial=1))
    largest = _cut(reads, shared, int(reads.sum()))[1]  # trees that are not cut at all
    widths = {int(longest * 1.25**k) for k in range(10)} | {max(largest, default=1)}
    best: tuple[float, Any] = (np.inf, None)
    for width in sorted(w for w in widths if longest <= w <= 8 * longest):
        first, sizes = _cut(reads, shared, width)
        rows = _fill(sizes, width)
        cost = (max(rows, default=-1) + 1) * width * (_PLACES_PER_TOKEN + width)
        if cost < best[0]:
            best = (cost, (first, rows, width))
    first, rows, width = best[1]
    return np.array(rows, dtype=np.int64)[np.cumsum(first) - 1], first, width


def _cut(reads: Ints, shared: Ints, width: int) -> tuple[NDArray[np.bool_], list[int]]:
    """Cut the sorted sequences into trees of at most `width` places: where each begins; sizes."""
    first = np.zeros(len(reads), dtype=bool)
    sizes: list[int] = []
    for s, (length, common) in enumerate(zip(reads.tolist(), shared.tolist(), strict=True)):
        if common and sizes[-1] + length - common <= width:
            sizes[-1] += length - common
        else:
            first[s] = True
            sizes.append(length)
    return first, sizes


def _fill(sizes: list[int], width: int) -> list[int]:
    """Row of each tree: the largest first, each into the first row that has room."""
    rows, room = [0] * len(sizes), list[int]()
    for tree in sorted(range(len(sizes)), key=lambda t: -sizes[t]):
        place = next((r for r, free in enumerate(room) if free >= sizes[tree]), len(room))
        if place == len(room):
            room.append(width)
        room[place] -= sizes[tree]
        rows[tree] = place
    return rows
