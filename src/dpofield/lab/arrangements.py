"""References that are the model's own log-probabilities in a wrong arrangement.

Swapped columns, another order of the pairs, and means in place of sums can be recognised from the
numbers alone, without the texts and without another pass through the model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor


class Finding(NamedTuple):
    """A kind of explanation (one word), and a sentence with numbers."""

    kind: str
    sentence: str


def recognised(own: Tensor, reference: Tensor, lengths: Tensor, *, left: float) -> Finding | None:
    """A rearrangement or rescaling of the model's log-probabilities that gives the reference.

    `own`, `reference` (2 N,) float64 in nats and `lengths` (2 N,) in tokens; `left` as in `near`.
    None for a single pair, which has too few numbers, and if there is no difference.
    """
    gap = (own - reference).abs()
    if len(own) < 4 or bool((gap <= rounding(own, lengths)).all()):
        return None
    every = _mistakes(own, reference, lengths)
    return next((f for f, values in every if near(values, own, reference, left)), None)


def near(values: Tensor, own: Tensor, reference: Tensor, left: float) -> bool:
    """Whether `values` explain a reference that differs from `own`, up to the share `left`."""
    size = torch.minimum((own - reference).abs().max(), values.abs().max())
    return bool((values - reference).abs().max() <= left * size)


def _mistakes(own: Tensor, reference: Tensor, lengths: Tensor) -> Iterator[tuple[Finding, Tensor]]:
    """Each mistake that needs no further log-probabilities, and the reference that it gives."""
    (w, l), n = own.chunk(2), len(own) // 2  # noqa: E741
    yield Finding("swapped", "The reference has chosen and rejected swapped."), torch.cat([l, w])
    yield (
        Finding(
            "alternating",
            "The rows of the reference alternate (preferred, dispreferred, preferred, ...): "
            "reorder it with reference.view(-1, 2).T.flatten().",
        ),
        torch.stack([w, l], dim=1).flatten(),
    )
    yield (
        Finding(
            "mean",
            "The reference is a mean over tokens, not a sum: multiply it by the numbers of "
            "scored tokens (pairs.lengths).",
        ),
        own / lengths,
    )
    # Both responses of a pair move together, so a sum with an irrational weight identifies a pair.
    theirs, ours = (a + math.pi * b for a, b in (reference.chunk(2), (w, l)))
    order = ours.argsort()[theirs.argsort().argsort()]
    moved = int((order != torch.arange(n, device=order.device)).sum())
    yield (
        Finding(
            "order",
            f"The reference is in another order: {moved} of {n} pairs have the values of another "
            "pair. Compute it after shuffling, sorting and filtering.",
        ),
        torch.cat([w[order], l[order]]),
    )


def rounding(own: Tensor, lengths: Tensor) -> Tensor:
    """A bound on the usual rounding of each sum in float32: the tokens' errors add like noise."""
    return 4 * torch.finfo(torch.float32).eps * (own.abs() + 16 * lengths.sqrt())
