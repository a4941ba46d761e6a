"""The prefix trees of a batch: every prefix that several rows share is stored once.

- a *prefix* is the first n tokens of a row, without padding;
- a *place* is a node of a tree, and stands for the last token of one distinct prefix;
- a *path* is the sequence of places from a root to a place: the tokens of its prefix;
- a *tree* holds the paths of all rows with the same first token; the *forest* holds all trees.

A model reads the P places as one sequence without padding, and a place's position is its depth.
Attention works on *attention rows*: each is the path of one row of the batch, or a part of a tree
with several paths, where a mask limits each place to its own path. Attention costs the square of
the width of each attention row, plus the copies; `_rows_of_attention` takes the layout with the
lowest estimate. The last token of a row predicts nothing, so it has no place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Ints = NDArray[np.int64]

# Copying a place into an attention row and back costs as much as attending to this many places.
_MOVE = 8


@dataclass(frozen=True)
class Forest:
    """P places of token trees in depth-first order, and the scored tokens that they predict.

    - `input_ids`, `depth` (P,) int64: the token of each place, and the number of places before it
      on its path.
    - `rows` (A, T): the places of each of A attention rows, padded with the row's first place.
    - `home` (P,): an index of each place in the flattened `rows`.
    - `end` (A, T): the column after the subtree of each entry of `rows`; None if every attention
      row is a single path.
    - `sequence`, `place`, `token` (E,): for each scored token the row of the batch that it belongs
      to, the place that predicts it, and its id.
    - `size`: number of rows of the batch.
    """

    input_ids: Tensor
    depth: Tensor
    rows: Tensor
    home: Tensor
    end: Tensor | None
    sequence: Tensor
    place: Tensor
    token: Tensor
    size: int

    def to(self, device: torch.device | str) -> Forest:
        """The same forest on another device."""
        parts: list[Any] = [
            p.to(device) if isinstance(p, Tensor) else p for p in vars(self).values()
        ]
        return Forest(*parts)

    def sees(self, rule: Callable[[Tensor, Tensor], Tensor] | None = None) -> Tensor:
        """Which place attends to which: (A, T, T) bool, or (1, T, T) if all rows have the same.

        A place attends to the places of its own path for which `rule(its depth, their depth)` is
        true. Every place attends to itself, since a softmax of nothing is nan.
        """
        column = torch.arange(self.rows.shape[1], device=self.rows.device)
        seen = (column[:, None] >= column)[None]
        if self.end is not None:
            seen = seen & (column[:, None] < self.end[:, None, :])
        if rule is not None:
            depth = self.depth[self.rows]
            seen = seen & rule(depth[:, :, None], depth[:, None, :])
        return seen

    def rows_only(self, start: int, stop: int) -> Forest:
        """The forest of attention rows `start` to `stop`, with the tokens that they predict."""
        rows = self.rows[start:stop]
        places, inside = torch.unique(rows, return_inverse=True)
        line = torch.arange(rows.numel(), device=rows.device)
        home = torch.empty_like(places).scatter_reduce_(
            0, inside.flatten(), line, "amin", include_self=False
        )
        # A place can be in several parts; its scored tokens are counted only in that of its `home`.
        its_part = torch.div(self.home[places], rows.shape[1], rounding_mode="floor")
        scored = torch.isin(self.place, places[(its_part >= start) & (its_part < stop)])
        return Forest(
            self.input_ids[places],
            self.depth[places],
            inside,
            home,
            None if self.end is None else self.end[start:stop],
            self.sequence[scored],
            torch.searchsorted(places, self.place[scored]),
            self.token[scored],
            self.size,
        )


def plant(input_ids: Tensor, attention_mask: Tensor, response_mask: Tensor) -> Forest:
    """The forest of a batch; the arguments are the fields of a `Batch`, (R, T) each.

    After sorting, no earlier row shares a longer prefix with a row than the one just before it. The
    tokens after that prefix become new places. Raises `ValueError` if the first token of a row is
    scored.
    """
    ids, real, scored = (
        t.cpu().numpy() for t in (input_ids, attention_mask.bool(), response_mask.bool())
    )
    if scored[:, :1].any():
        raise ValueError(
            "the first token of a row is scored, and nothing predicts it: give a prompt"
        )
    # Moves padding to the right end and keeps the order of the tokens.
    order = np.argsort(~real, axis=1, kind="stable")
    ids, scored = (np.take_along_axis(a, order, axis=1) for a in (ids, scored & real))
    columns = np.arange(ids.shape[1])
    # `reads`: tokens read per row, those before its last scored token.
    reads = np.where(scored, columns, 0).max(axis=1, initial=0)
    inputs = np.where(columns < reads[:, None], ids, -1)

    rank = np.lexsort(inputs.T[::-1])
    inputs, reads, ids, scored = inputs[rank], reads[rank], ids[rank], scored[rank]
    # `shared`: length of the prefix that a row has in common with the row before it.
    equal = (inputs[1:] == inputs[:-1]) & (inputs[1:] >= 0)
    shared = np.concatenate([[0], equal.cumprod(axis=1).sum(axis=1)])[: len(rank)]

    new = (columns >= shared[:, None]) & (columns < reads[:, None])
    # `path`: the place of each token. A shared token has the latest place of its column.
    path = np.maximum.accumulate(np.where(new, np.cumsum(new).reshape(new.shape) - 1, -1), axis=0)
    depth = np.broadcast_to(columns, new.shape)[new]
    rows, end = _rows_of_attention(path, reads, shared, depth)
    home = np.zeros(len(depth), dtype=np.int64)
    home[rows.ravel()[::-1]] = np.arange(rows.size)[::-1]

    sequence, column = np.nonzero(scored)

    def there(array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(input_ids.device)

    return Forest(
        there(inputs[new]),
        there(depth),
        there(rows),
        there(home),
        None if end is None else there(end),
        there(rank[sequence]),
        there(path[sequence, column - 1]),
        there(ids[sequence, column]),
        len(ids),
    )


def _rows_of_attention(
    path: Ints, reads: Ints, shared: Ints, depth: Ints
) -> tuple[Ints, Ints | None]:
    """`rows` and `end` of a `Forest`, in the cheapest of several layouts.

    One layout has a row per path. The others have rows of several paths, up to a width in places.
    """
    longest = int(reads.max(initial=1))
    best = (_cost(len(reads), longest, len(depth)), longest, np.ones(len(reads), dtype=bool))
    for width in {int(longest * 1.3**k) for k in range(1, 9)} | {_largest_tree(reads, shared)}:
        if longest <= width <= 8 * longest:
            first, largest = _cut(reads, shared, width)
            cost = _cost(int(first.sum()), largest, len(depth))
            if cost < best[0]:
                best = (cost, largest, first)
    _, width, first = best
    row = np.cumsum(first) - 1
    rows = np.full((int(first.sum()), width), -1)
    used = np.zeros(len(rows), dtype=np.int64)
    for s, r in enumerate(row.tolist()):
        start = 0 if first[s] else shared[s]
        stop = used[r] + reads[s] - start
        rows[r, used[r] : stop] = path[s, start : reads[s]]
        used[r] = stop
    padding = rows < 0
    rows = np.where(padding, np.where(padding[:, :1], 0, rows[:, :1]), rows)
    return rows, None if first.all() else _ends(np.where(padding, 0, depth[rows]))


def _cost(rows: int, width: int, places: int) -> float:
    """Estimated cost of attention: entries of its matrices, and the copies if they are needed."""
    return rows * width * (width + (_MOVE if rows * width > places else 0))


def _largest_tree(reads: Ints, shared: Ints) -> int:
    """Number of places of the largest tree."""
    return _cut(reads, shared, int(reads.sum()))[1] if len(reads) else 0


def _cut(reads: Ints, shared: Ints, width: int) -> tuple[NDArray[np.bool_], int]:
    """Divide the sorted paths into attention rows of at most `width` places.

    Returns whether each path begins an attention row, and the places of the largest one. A prefix
    that two attention rows share is in both.
    """
    first = np.zeros(len(reads), dtype=bool)
    size = largest = 0
    for s, (length, common) in enumerate(zip(reads.tolist(), shared.tolist(), strict=True)):
        if common and size + length - common <= width:
            size += length - common
        else:
            first[s], size = True, length
        largest = max(largest, size)
    return first, largest


def _ends(depth: Ints) -> Ints:
    """The column after each place's subtree, that of the next place that is not deeper: (A, T).

    Padding has depth 0 here, so it ends every subtree before it.
    """
    place = np.arange(depth.shape[1])
    stops = (place > place[:, None]) & (depth[:, None, :] <= depth[:, :, None])
    return np.where(stops.any(axis=2), stops.argmax(axis=2), len(place))
