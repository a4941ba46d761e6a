"""Observed changes of log-probabilities in one gradient step, to compare with the law of motion.

Small steps need a float64 model. A Llama of `transformers` computes its norms and rotations in
float32 even if its weights are float64, so the change in a very small step is mostly rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call
from tqdm.auto import tqdm

from dpofield.formulas import LOSSES
from dpofield.lab.batch import Batch
from dpofield.lab.kernel import trained
from dpofield.lab.logprobs import pair_logprobs, scored_logits
from dpofield.lab.model import CausalLM


def steps_alone(
    model: CausalLM,
    pairs: Batch,
    lrs: Sequence[float],
    *,
    reference: Tensor | None = None,
    loss: str = "dpo",
    progress: bool = True,
    **params: Any,
) -> NDArray[np.float64]:
    """Observed change of both log-probabilities, in nats, when each pair steps alone.

    For each of N pairs and each of S step sizes, one step of gradient descent on that pair's loss,
    from the same weights: (S, 2, N), preferred first. The model is not changed. `reference`
    (2 N,) holds reference log-probabilities; without it the model itself is the reference, as at
    the start of training. `params` are the parameters of the loss.

    >>> from dpofield.lab.batch import encode
    >>> from dpofield.lab.model import small_gpt2
    >>> from dpofield.lab.tokenizer import word_tokenizer
    >>> from dpofield.lab.world import World
    >>> pairs = encode(word_tokenizer(), World().pairs(2, seed=0))
    >>> change = steps_alone(small_gpt2(seed=0).double(), pairs, [1e-4], progress=False)
    >>> change.shape, bool((change[0, 0] > change[0, 1]).all())
    ((1, 2, 2), True)
    """
    n, start = len(pairs) // 2, trained(model)
    found = np.empty((len(lrs), 2, n))
    for i in tqdm(range(n), desc="steps", disable=not progress, leave=False, delay=1):
        pair = pairs.pairs(torch.tensor([i]))
        before = torch.cat(pair_logprobs(model, pair))
        past = before.detach() if reference is None else reference[[i, i + n]]
        u, v = (before - past).chunk(2)
        value = LOSSES[loss].torch(u, v, **params).sum()
        slope = torch.autograd.grad(value, list(start.values()))
        for s, lr in enumerate(lrs):
            after = _moved(model, dict(zip(start, slope, strict=True)), lr, pair)
            found[s, :, i] = (after - before.detach()).cpu()
    return found


@torch.no_grad()
def _moved(model: CausalLM, slope: dict[str, Tensor], lr: float, pair: Batch) -> Tensor:
    """Both log-probabilities of a pair after theta -> theta - lr * slope: (2,), in nats."""
    weights = {name: p - lr * slope[name] for name, p in trained(model).items()}

    def stepped(**inputs: Any) -> Any:
        return functional_call(model, weights, (), inputs)

    return torch.cat(pair_logprobs(stepped, pair))  # type: ignore[arg-type]


class Change(NamedTuple):
    """The change of each row's log-probability under a move of the weights, in nats, (R,) each.

    `total` is the whole change. `concave`, never positive, is the part due to the concavity of
    log-softmax in the logits: minus the sum over tokens of log E exp(dz) - E dz, where dz is the
    change of the logits and E the mean under the old policy. To second order each summand is half
    the variance of dz. The rest of the change is linear in dz.
    """

    total: NDArray[np.float64]
    concave: NDArray[np.float64]


@torch.no_grad()
def change(before: CausalLM, after: CausalLM, rows: Batch) -> Change:
    """The change of each row's log-probability between two models, and its concave part.

    >>> from dpofield.lab.batch import encode
    >>> from dpofield.lab.model import small_gpt2
    >>> from dpofield.lab.tokenizer import word_tokenizer
    >>> from dpofield.lab.world import World
    >>> pairs = encode(word_tokenizer(), World().pairs(2, seed=0))
    >>> found = change(small_gpt2(seed=0), small_gpt2(seed=1), pairs)
    >>> found.total.shape, bool((found.concave < 0).all())
    ((4,), True)
    """
    (start, old), (end, new) = (_with_logits(model, rows) for model in (before, after))
    total = (end - start).double().cpu().numpy()
    return Change(total, concave_part(old, new, rows))


@torch.no_grad()
def row_logits(model: CausalLM, rows: Batch) -> Tensor:
    """The logits that predict the S scored tokens of the rows, row by row, (S, V)."""
    return scored_logits(model, rows).logits


@torch.no_grad()
def concave_part(before: Tensor, after: Tensor, rows: Batch) -> NDArray[np.float64]:
    """`Change.concave` from the `row_logits` before and after, (R,)."""
    old, moved = before.double().log_softmax(dim=-1), after.double() - before.double()
    gap = (old + moved).logsumexp(dim=-1) - (old.exp() * moved).sum(dim=-1)
    row = rows.response_mask.nonzero()[:, 0].to(gap.device)
    found: NDArray[np.float64] = -gap.new_zeros(len(rows)).index_add(0, row, gap).cpu().numpy()
    return found


def _with_logits(model: CausalLM, rows: Batch) -> tuple[Tensor, Tensor]:
    """log pi of each row, (R,), and the logits that predict its scored tokens, (S, V)."""
    row, token, logits = scored_logits(model, rows)
    chosen = logits.log_softmax(dim=-1).gather(1, token[:, None])[:, 0]
    return chosen.new_zeros(len(rows)).index_add(0, row, chosen), logits
