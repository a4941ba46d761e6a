"""Log-probabilities of a batch, with every prefix that several rows share computed once.

The two responses of a pair follow the same prompt and often begin alike. A causal model computes
equal hidden states for equal prefixes, so the rows of a batch are stored as prefix trees
(`forest`), and the model reads each place of the trees once (`attending`), if it computes the same
numbers that way (`sharing`). Each place attends to the same tokens at the same positions as in
`logprobs.sequence_logprobs`, so the numbers are equal up to rounding.

Two parts are skipped, because no result depends on them. The last token of a row predicts nothing,
so it is not read. And only places that predict a scored token pass through the part of the last
layer after attention, and through the output layer.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from dpofield.lab.attending import logprobs_on
from dpofield.lab.forest import Forest as Forest  # also found here
from dpofield.lab.forest import plant as plant
from dpofield.lab.sharing import way_of


def takes_trees(model: Any) -> bool:
    """Whether `model` computes the same numbers on trees, as tried once for its present state.

    >>> from dpofield.lab.model import small_gpt2
    >>> model = small_gpt2(seed=0)
    >>> takes_trees(model), takes_trees(torch.nn.DataParallel(model))
    (True, False)
    """
    return way_of(model) is not None


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

    Differentiable in the model's parameters, and in float32 at least. For a forest too large for
    one pass, use `harvest`. Raises `ValueError` for a model that does not take trees.
    """
    if not len(forest.place):
        return torch.zeros(forest.size, device=forest.place.device)
    way = way_of(model)
    if way is None:
        raise ValueError(
            f"{type(model).__name__} does not compute the same numbers on trees; use the rows "
            "(logprobs with share=None or False)"
        )
    return logprobs_on(model, forest, way)


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
