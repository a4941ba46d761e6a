"""Log-probabilities of a batch, with every prefix that several rows share computed once.

The two responses of a pair follow the same prompt and often begin alike. A causal model computes
equal hidden states for equal prefixes, so the rows of a batch are stored as prefix trees:

- a *prefix* is the first n tokens of a row, without padding;
- a *place* is a node of a tree, and stands for the last token of one distinct prefix;
- a *path* is the sequence of places from a root to a place: the tokens of its prefix;
- a *tree* holds the paths of all rows with the same first token; the *forest* holds all trees.

The model reads the P places as one sequence without padding, and a place's position is its depth.
All layers but attention treat each place separately. Attention works on *attention rows*: each is
the path of one row of the batch, or a part of a tree with several paths, where a mask limits each
place to its own path. The places are copied into attention rows, and the results are copied back.

Each place attends to the same tokens at the same positions as in `logprobs.sequence_logprobs`, so
the numbers are equal up to rounding. The layers compute P places instead of all tokens and padding.
Attention costs the square of the width of each attention row, plus the copies; `_rows_of_attention`
takes the layout with the lowest estimate. Two parts are skipped, because no result depends on them.
The last token of a row predicts nothing, so it is not read. And only places that predict a scored
token pass through the part of the last layer after attention, and through the output layer.
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

# Architectures that tests/lab/test_trees.py covers: only attention mixes places, and the attention
# function is chosen by name. A sliding window or a recurrence would need other code. For each, the
# modules of the last layer after attention, which treat each place separately.
ARCHITECTURES: dict[str, Callable[[Any], tuple[torch.nn.Module, ...]]] = {
    "gpt2": lambda m: (m.transformer.h[-1].attn.c_proj, m.transformer.h[-1].mlp),
    "llama": lambda m: (m.model.layers[-1].self_attn.o_proj, m.model.layers[-1].mlp),
}
_NAME = "dpofield-trees"
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

    def mask(self, dtype: torch.dtype) -> Tensor | None:
        """Additive attention mask: 0 where the second place is on the path of the first, else -inf.

        (A, 1, T, T), or None if every attention row is a single path: then attention is causal.
        """
        if self.end is None:
            return None
        place = torch.arange(self.end.shape[1], device=self.end.device)
        seen = (place[:, None] >= place) & (place[:, None] < self.end[:, None, :])
        unseen = torch.full(seen.shape, -torch.inf, dtype=dtype, device=seen.device)
        return unseen.masked_fill_(seen, 0.0)[:, None]

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


def takes_trees(model: Any) -> bool:
    """Whether `model` has an architecture and an attention for which trees are tested."""
    config = getattr(model, "config", None)
    return getattr(config, "model_type", None) in ARCHITECTURES and getattr(
        config, "_attn_implementation", None
    ) in ("sdpa", "eager")


def tree_logprobs(
    model: torch.nn.Module, input_ids: Tensor, attention_mask: Tensor, response_mask: Tensor
) -> Tensor:
    """`sequence_logprobs` computed on trees: (R,), in nats; the same arguments and errors.

    >>> from dpofield.lab.batch import encode
    >>> from dpofield.lab.logprobs import sequence_logprobs
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

    Differentiable in the model's parameters. For a forest too large for one pass, use `harvest`.
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
    """`forest_logprobs` without a graph: (R,). One pass reads about `places` entries of `rows`."""
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
    """Copies states into attention rows and back; made once per pass, used by every layer."""

    def __init__(self, forest: Forest, dtype: torch.dtype) -> None:
        self.index, self.home, self.mask = forest.rows, forest.home, forest.mask(dtype)
        line = torch.arange(forest.rows.numel(), device=forest.rows.device)
        # If all trees have the same size, places are in the order of the rows and need no copy.
        self.in_line = len(forest.home) == len(line) and bool((forest.home == line).all())

    def out(self, states: Tensor) -> Tensor:
        """(1, P, heads, d) to (A, T, heads, d)."""
        _, places, *last = states.shape
        if not self.in_line:
            # The backward pass of `embedding` adds up gradients in a fixed order, so that runs
            # are reproducible.
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
    """Attention within the attention rows, with the signature that `transformers` requires."""
    heads, groups = query.shape[1], query.shape[1] // key.shape[1]
    parts = [x.transpose(1, 2) for x in (query, key, value)]
    if trees.in_line:
        parts = [trees.out(x) for x in parts]
    else:  # one copy is faster than three
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
    """Within the block the model uses `_attend`."""
    config: Any = model.config
    before = config._attn_implementation
    config._attn_implementation = _NAME
    try:
        yield
    finally:
        config._attn_implementation = before


@contextmanager
def _last_layer_only_at(places: Tensor, total: int, model: torch.nn.Module) -> Iterator[None]:
    """Within the block the last layer's end is computed at `places` only, and is 0 elsewhere."""
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
    """The forest of a batch; the arguments are the fields of a `Batch`, (R, T) each.

    After sorting, no earlier row shares a longer prefix with a row than the one just before it. The
    tokens after that prefix become new places. Raises the `ValueError` of `sequence_logprobs`.
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
