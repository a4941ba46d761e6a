"""Why a training starts where it starts: log-ratios u and v of model and reference at step 0.

If the reference is the starting model, u = v = 0 for every pair, and a loss has the value of its
expression there: log 2 for DPO with any beta, 1 for the hinge loss. Another start is legitimate,
for example from another checkpoint. It may also be a mistake in the reference, and many mistakes
leave evidence in the numbers, which this module looks for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dpofield.formulas import LOSSES
from dpofield.lab.arrangements import Finding, near, recognised, rounding
from dpofield.lab.batch import Batch
from dpofield.lab.logprobs import reference_logprobs
from dpofield.lab.model import CausalLM
from dpofield.lab.reference import checked, other_adapter
from dpofield.lab.training import loss_arguments

Floats = NDArray[np.float64]
# The share of a difference that an explanation may leave open.
_OPEN = 0.05


@dataclass(frozen=True)
class Start:
    """The start of a training on N pairs: log-ratios in nats, losses, explanations.

    `u`, `v`, `loss` (N,) are those of step 0; `loss_at_zero` (N,) is the loss at u = v = 0.
    `findings` are the explanations that the numbers support, the most certain one first.
    """

    u: Floats
    v: Floats
    loss: Floats
    loss_at_zero: Floats
    findings: tuple[Finding, ...]

    def __str__(self) -> str:
        said = f"Loss at step 0: {_range(self.loss)}; at u = v = 0: {_range(self.loss_at_zero)}."
        return "\n".join([said, *(finding.sentence for finding in self.findings)])


def explain_start(
    model: CausalLM,
    reference: Tensor,
    pairs: Batch,
    *,
    loss: str = "dpo",
    again: Callable[[], Tensor] | None = None,
    share: bool | None = None,
    **params: float,
) -> Start:
    """Whether a training of `model` on N pairs starts at u = v = 0, and if not, what explains it.

    `reference` (2 N,) as for `training.dpo`. `again` computes the reference once more, which shows
    dropout. `params` are parameters of the loss. The model is read, up to six times, and not
    changed. Kinds of findings: equal, adapter-on, adapter-off, swapped, alternating, order, mean,
    zero, end, first, prompt, precision, random, cut, padding, rows, other. Raises `ValueError` for
    a bad reference, as `training.dpo` does.

    >>> from dpofield.lab.batch import encode
    >>> from dpofield.lab.model import small_gpt2
    >>> from dpofield.lab.tokenizer import word_tokenizer
    >>> from dpofield.lab.world import World
    >>> model, pairs = small_gpt2(seed=0), encode(word_tokenizer(), World().pairs(3, seed=0))
    >>> right = reference_logprobs(model, pairs)
    >>> print(explain_start(model, right, pairs, loss="ipo"))
    Loss at step 0: 25; at u = v = 0: 25.
    u = v = 0 for every pair: the reference is the model.
    >>> print(explain_start(model, right.roll(3), pairs).findings[0].sentence)
    The reference has chosen and rejected swapped.
    """
    reference = checked(reference, pairs).double()
    params = LOSSES[loss].complete(params)
    own = _read(model, pairs, share)
    u, v = (own - reference).chunk(2)
    given = loss_arguments(loss, params, pairs, reference)(torch.arange(len(u)))
    # Added to zeros, because a loss that depends on one log-ratio only has its shape.
    at_start, at_zero = (
        (LOSSES[loss].torch(a, b, **given) + torch.zeros_like(a)).cpu().numpy()
        for a, b in ((u, v), (torch.zeros_like(u), torch.zeros_like(v)))
    )
    findings = tuple(_explained(model, own, reference, pairs, again, share))
    return Start(u.cpu().numpy(), v.cpu().numpy(), at_start, at_zero, findings)


def _explained(
    model: CausalLM,
    own: Tensor,
    reference: Tensor,
    pairs: Batch,
    again: Callable[[], Tensor] | None,
    share: bool | None,
) -> Iterator[Finding]:
    gap, lengths = own - reference, pairs.lengths
    size, close = float(gap.abs().max()), gap.abs() <= rounding(own, lengths)
    without = None
    if getattr(model, "peft_config", None):
        with other_adapter(model):
            without = _read(model, pairs, share)
    if bool(close.all()):
        exact = "" if size == 0 else f" up to rounding (at most {size:.2g} nats)"
        yield Finding("equal", f"u = v = 0 for every pair{exact}: the reference is the model.")
        off = 0.0 if without is None else float((without - own).abs().max())
        if off > 2 * float(rounding(own, lengths).max()):
            yield Finding(
                "adapter-on",
                "The reference was computed with the adapter on. Without the adapter, log-"
                f"probabilities differ by up to {off:.3g} nats: if the base model is meant, use "
                "reference_without_adapter(model, pairs).",
            )
        return
    found = recognised(own, reference, lengths, left=_OPEN)
    if found is None and not bool(reference.any()):
        found = Finding("zero", "The reference is 0 everywhere: u and v are log-probabilities.")
    if found is None and without is not None and near(without, own, reference, _OPEN):
        found = Finding(
            "adapter-off",
            f"The reference is the model without its adapter, which moves log-probabilities by "
            f"{_range(gap)} nats: the adapter has been trained. Start with a new one, or take the "
            "model with the adapter on as the reference.",
        )
    found = found or next(_other_tokens(model, own, reference, pairs, share), None)
    certain = found is not None
    if found:
        yield found
    for dtype in (torch.bfloat16, torch.float16):
        kept = reference != 0
        if int(kept.sum()) > 3 and bool((reference.to(dtype).double() == reference).all()):
            yield Finding(
                "precision",
                f"Every value of the reference is a {_name(dtype)} number, so it was rounded by up "
                f"to {torch.finfo(dtype).eps / 2 * float(reference.abs().max()):.2g} nats: compute "
                "and save it in float32.",
            )
            certain = True
            break
    if again is not None:
        change = float((checked(again(), pairs).double() - reference).abs().max())
        if change > float(rounding(own, lengths).max()):
            yield Finding(
                "random",
                f"The reference computed again differs by up to {change:.3g} nats: dropout is on, "
                "or the model has changed. Use model.eval(), or lab.model.prepared(model).",
            )
            certain = True
    if not certain:
        yield from _by_pattern(gap, close, pairs)


def _other_tokens(
    model: CausalLM, own: Tensor, reference: Tensor, pairs: Batch, share: bool | None
) -> Iterator[Finding]:
    """Findings on which tokens of the same rows were scored, by sum or by mean."""
    scored, real = pairs.response_mask, pairs.attention_mask
    column = torch.arange(scored.shape[1], device=scored.device)
    last = torch.where(scored, column, -1).amax(dim=1, keepdim=True)
    first = torch.where(scored, column, scored.shape[1]).amin(dim=1, keepdim=True)
    begin = torch.where(real, column, scored.shape[1]).amin(dim=1, keepdim=True)
    for kind, mask, what in (
        ("end", scored & (column != last), "leaves out the last token, the end of sequence"),
        ("first", scored & (column != first), "leaves out the first token of the response"),
        ("prompt", real & (column > begin), "scores the tokens of the prompt too"),
    ):
        values = _read(model, replace(pairs, response_mask=mask), share)
        for each, how in ((values, ""), (values / mask.sum(dim=1).clamp(min=1), ", as a mean")):
            if near(each, own, reference, _OPEN):
                sentence = f"The reference {what}{how}: score the same tokens in both."
                yield Finding(kind, sentence)


def _by_pattern(gap: Tensor, close: Tensor, pairs: Batch) -> Iterator[Finding]:
    """What the pattern of the differences points to; none of these is certain."""
    n, good, bad = len(gap) // 2, int(close.sum()), int((~close).sum())
    most = f"{gap.abs().max():.3g} nats"
    # Rounding has no direction; another checkpoint has one.
    drift = float(gap.mean().abs()) / (float(gap.std()) / math.sqrt(2 * n) + 1e-300)
    for dtype in (torch.float16, torch.bfloat16):
        bound = 16 * torch.finfo(dtype).eps * pairs.lengths.sqrt()
        if drift < 3 and bool((gap.abs() <= bound).all()):
            yield Finding(
                "precision",
                f"Differences are at most {most} without a common sign, the size of rounding in "
                f"{_name(dtype)}: model and reference were computed in different precision.",
            )
            return
    if good:
        tokens = pairs.attention_mask.sum(dim=1)
        a, b = tokens[close], tokens[~close]
        rows = f"{good} of {2 * n} rows agree; the other {bad} differ by up to {most}"
        if int(a.max()) < int(b.min()):
            kind, more = "cut", (
                f"all rows of more than {int(a.max())} tokens. The reference was "
                "probably truncated: use the same length limit"
            )  # fmt: skip
        elif int(b.max()) < int(a.min()):
            kind, more = "padding", (
                f"all rows of fewer than {int(a.min())} tokens. The reference "
                "probably depends on padding: give attention mask and positions"
            )  # fmt: skip
        else:
            first = sorted({int(i) % n for i in (~close).nonzero().flatten()})[:5]
            kind, more = "rows", (
                f"first in the pairs {', '.join(map(str, first))}. These texts or their tokens "
                "have changed since the reference was computed"
            )  # fmt: skip
        yield Finding(kind, f"{rows}, {more}.")
        return
    u, v = gap.chunk(2)
    yield Finding(
        "other",
        f"The reference is another model or another checkpoint, or has dropout: u is {_range(u)} "
        f"(mean {u.mean():.3g}) and v {_range(v)} (mean {v.mean():.3g}) nats. If the starting "
        "model is meant, use reference_logprobs(model, pairs) before training.",
    )


def _read(model: CausalLM, pairs: Batch, share: bool | None) -> Tensor:
    return reference_logprobs(model, pairs, share=share).double()


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _range(values: Any) -> str:
    low, high = float(values.min()), float(values.max())
    return f"{low:.4g}" if math.isclose(low, high, rel_tol=1e-4) else f"{low:.4g} to {high:.4g}"
