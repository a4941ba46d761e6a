"""Log-probabilities with every common beginning computed once: a batch of rows is a forest.

Both responses of a pair follow the same prompt, and often agree for some words more. A causal model
gives equal beginnings equal hidden states, so what stands in several rows need stand only once: a
pair is a tree of tokens that branches where the responses part, and all responses to a prompt are
one large tree. The places of all trees lie in one line, without any padding, and go through the
layers together; a place's position is its depth. Only attention needs to know who stands before
whom: there the places are laid out again in rows, each a path from a root or a bough of several
paths, and back.

More is left out, because nothing depends on it: the last token of a response is predicted but
predicts nothing, so it is never read; and only places that predict a scored token pass what in the
last layer comes after attention, and reach the vocabulary. The numbers are those of
`logprobs.sequence_logprobs`, up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding, scaled_dot_product_attention
from tqdm.auto import tqdm
from transformers import AttentionInterface

Ints = NDArray[np.int64]

# Architectures proven by tests/lab/test_trees.py: all that mixes places is attention, and attention
# is asked for by name. A sliding window or a recurrence would need another form. For each, what the
# last layer does to single places after attention.
ARCHITECTURES: dict[str, Callable[[Any], tuple[torch.nn.Module, ...]]] = {
    "gpt2": lambda m: (m.transformer.h[-1].attn.c_proj, m.transformer.h[-1].mlp),
    "llama": lambda m: (m.model.layers[-1].self_attn.o_proj, m.model.layers[-1].mlp),
}
_NAME = "dpofield-trees"
# To bring a place to its row and back costs as much as it costs to attend to this many places.
_MOVE = 8


@dataclass(frozen=True)
class Forest:
    """P places of token trees in depth-first order, and what is to be read off them.

    `input_ids`, `depth` (P,) int64: a place's token, and how many tokens stand before it on its
    path. For attention: `rows` (A, T), the places of each row, filled up with the first; `home`
    (P,), where each place is found in them, counted through all rows; `end` (A, T), where in its
    row a place's subtree ends, or None if every row is one path. For each of E scored tokens:
    `sequence`, the row of the batch that it belongs to; `place`, the place that predicts it;
    `token`. `size`: rows of the batch.
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

    def mask(self, dtype: torch.dtype) -> Tensor | None:
        """What attention adds to a place's view of another in its row: 0, or minus infinity.

        (A, 1, T, T), or None where rows are paths: causal attention is what is wanted then.
        """
        if self.end is None:
            return None
        place = torch.arange(self.end.shape[1], device=self.end.device)
        seen = (place[:, None] >= place) & (place[:, None] < self.end[:, None, :])
        unseen = torch.full(seen.shape, -torch.inf, dtype=dtype, device=seen.device)
        return unseen.masked_fill_(seen, 0.0)[:, None]

    def rows_only(self, start: int, stop: int) -> Forest:
        """The forest that these rows of attention make up, and the scored tokens found in them."""
        rows = self.rows[start:stop]
        places, inside = torch.unique(rows, return_inverse=True)
        line = torch.arange(rows.numel(), device=rows.device)
        home = torch.empty_like(places).scatter_reduce_(
            0, inside.flatten(), line, "amin", include_self=False
        )
        # A place may stand in rows of several parts; what it predicts is read off in one of them.
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


def takes_trees(model: Any) -> bool:
    """Whether `model` is of a kind whose layers are known to work on trees."""
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
    >>> int(rows[1].sum()), len(plant(*rows).input_ids)  # tokens in rows, places in trees
    (143, 94)
    """
    return forest_logprobs(model, plant(input_ids, attention_mask, response_mask))


def forest_logprobs(model: torch.nn.Module, forest: Forest) -> Tensor:
    """log pi(response | prompt) of each row of the planted batch, in nats: (R,).

    Differentiable in the model's parameters. For a forest too large for one pass: `harvest`.
    """
    if not len(forest.place):
        return torch.zeros(forest.size, device=forest.place.device)
    places, slot = torch.unique(forest.place, return_inverse=True)
    with _attending_by(model), _last_layer_only_at(places, len(forest.input_ids), model):
        logits = model(
            input_ids=forest.input_ids[None],
            position_ids=forest.depth[None],
            logits_to_keep=places,
            use_cache=False,
            trees=_Rows(forest, next(model.parameters()).dtype),
        ).logits[0]
    picked = logits.log_softmax(dim=-1)[slot, forest.token]
    total: Tensor = picked.new_zeros(forest.size).index_add(0, forest.sequence, picked)
    return total


@torch.no_grad()
def harvest(
    model: torch.nn.Module, forest: Forest, *, places: int = 4096, progress: bool = False
) -> Tensor:
    """`forest_logprobs` without a graph, about `places` places of its rows at a time: (R,)."""
    height, width = forest.rows.shape
    step = max(1, places // max(1, width))
    total: Tensor | None = None
    bar = tqdm(range(0, height, step), desc="log-probs", disable=not progress, leave=False, delay=1)
    for start in bar:
        part = forest if step >= height else forest.rows_only(start, min(start + step, height))
        values = forest_logprobs(model, part)
        total = values if total is None else total + values
    return forest_logprobs(model, forest) if total is None else total


class _Rows:
    """How attention finds the rows of a forest; made once a pass, used by every layer."""

    def __init__(self, forest: Forest, dtype: torch.dtype) -> None:
        self.index, self.home, self.mask = forest.rows, forest.home, forest.mask(dtype)
        line = torch.arange(forest.rows.numel(), device=forest.rows.device)
        # Trees of one size fill the rows as they lie.
        self.in_line = len(forest.home) == len(line) and bool((forest.home == line).all())

    def out(self, states: Tensor) -> Tensor:
        """(1, P, heads, d) to (A, T, heads, d)."""
        _, places, *last = states.shape
        if not self.in_line:
            # Its backward pass adds up what a place gets from several rows in a fixed order.
            states = embedding(self.index, states.reshape(places, -1))
        return states.view(*self.index.shape, *last)

    def back(self, states: Tensor) -> Tensor:
        """(A, T, heads, d) to (1, P, heads, d)."""
        _, _, *last = states.shape
        if not self.in_line:
            states = embedding(self.home, states.reshape(self.index.numel(), -1))
        return states.reshape(1, -1, *last)


def _attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    trees: _Rows,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention along the rows of a forest, in the form that `transformers` asks for by name."""
    heads, groups = query.shape[1], query.shape[1] // key.shape[1]
    parts = [x.transpose(1, 2) for x in (query, key, value)]
    if trees.in_line:
        parts = [trees.out(x) for x in parts]
    else:  # one move for all three
        moved = trees.out(torch.cat(parts, dim=2))
        parts = [moved[:, :, :heads], *moved[:, :, heads:].chunk(2, dim=2)]
    query, key, value = (x.transpose(1, 2) for x in parts)
    if groups > 1:
        key, value = (x.repeat_interleave(groups, dim=1) for x in (key, value))
    found = scaled_dot_product_attention(
        query, key, value, attn_mask=trees.mask, is_causal=trees.mask is None, scale=scaling
    )
    return trees.back(found.transpose(1, 2)), None


AttentionInterface.register(_NAME, _attend)


@contextmanager
def _attending_by(model: torch.nn.Module) -> Iterator[None]:
    """Within the block the model's attention is ours."""
    config: Any = model.config
    before = config._attn_implementation
    config._attn_implementation = _NAME
    try:
        yield
    finally:
        config._attn_implementation = before


@contextmanager
def _last_layer_only_at(places: Tensor, total: int, model: torch.nn.Module) -> Iterator[None]:
    """Within the block only `places` of the `total` pass the end of the last layer; else 0."""
    config: Any = model.config
    parts = ARCHITECTURES[config.model_type](model) if len(places) < 0.9 * total else ()

    def narrow(_: torch.nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (args[0][:, places], *args[1:])

    def widen(_: torch.nn.Module, args: tuple[Tensor, ...], out: Tensor) -> Tensor:
        return out.new_zeros(1, total, out.shape[-1]).index_copy(1, places, out)

    hooks = []
    for part in parts:
        hooks += [part.register_forward_pre_hook(narrow), part.register_forward_hook(widen)]
    try:
        yield
    finally:
        for hook in hooks:
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
    inputs, reads, ids, scored = inputs[rank], reads[rank], ids[rank], scored[rank]
    equal = (inputs[1:] == inputs[:-1]) & (inputs[1:] >= 0)
    shared = np.concatenate([[0], equal.cumprod(axis=1).sum(axis=1)])[: len(rank)]

    new = (columns >= shared[:, None]) & (columns < reads[:, None])
    # A place that is not new is the one that stood last in its column.
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
    """The cheapest rows: every path in its own, or boughs of as many paths as fit a width."""
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
    """What attention costs: entries of its matrices, and the moves unless all lies in line."""
    return rows * width * (width + (_MOVE if rows * width > places else 0))


def _largest_tree(reads: Ints, shared: Ints) -> int:
    """Places of the largest tree that shares no beginning with another."""
    return _cut(reads, shared, int(reads.sum()))[1] if len(reads) else 0


def _cut(reads: Ints, shared: Ints, width: int) -> tuple[NDArray[np.bool_], int]:
    """Cut the sorted sequences into boughs of at most `width` places: where each begins; largest.

    What a bough shares with the one before it is in both.
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
    """Where in its row each place's subtree ends: at the next place that is not deeper.

    Padding has depth 0 here, so it ends all that stands before it.
    """
    place = np.arange(depth.shape[1])
    stops = (place > place[:, None]) & (depth[:, None, :] <= depth[:, :, None])
    return np.where(stops.any(axis=2), stops.argmax(axis=2), len(place))
