"""log pi(response | prompt): the reference implementation, and the functions that callers use.

A row is prompt + response + end of sequence. Its log-probability is the sum, in nats, of the
log-probabilities of the response tokens and the end; the prompt is conditioned on, not scored.
`sequence_logprobs` is the reference. `logprobs` returns the same numbers up to rounding, and is
faster for models that `trees` supports.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from dpofield.lab.batch import Batch
from dpofield.lab.batch import encode as encode  # also found here
from dpofield.lab.model import CausalLM
from dpofield.lab.trees import harvest, plant, takes_trees, tree_logprobs


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
            f"sharing common beginnings is not proven for {kind!r} in its present state "
            "(layers, attention, positions or randomness); leave share at None"
        )
    return able if share is None else share


def _chunks(batch: Batch, size: int) -> Iterator[Batch]:
    for start in range(0, len(batch), size):
        yield batch.rows(slice(start, start + size))
