"""Supervised fine-tuning and preference training that record every pair."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dpofield.formulas import LOSSES
from dpofield.lab.arrangements import recognised
from dpofield.lab.batch import Batch
from dpofield.lab.descent import Interrupted, Records, descend
from dpofield.lab.logprobs import logprobs, pair_logprobs, reference_logprobs
from dpofield.lab.model import CausalLM, model_device
from dpofield.lab.reference import checked
from dpofield.lab.runs import Run
from dpofield.lab.settings import Training, require_rate, require_whole
from dpofield.lab.steps import optimizer_of, trainable
from dpofield.lab.watch import Watch

_WARMUP = 20


def sft(
    model: CausalLM,
    examples: Batch,
    *,
    steps: int,
    batch: int,
    lr: float,
    seed: int,
    share: bool | None = None,
    state: str | os.PathLike[str] | None = None,
    save_every: int = 100,
    progress: bool = True,
    watch: Watch | None = None,
) -> NDArray[np.float64]:
    """Fine-tune `model` in place on encoded (prompt, response) rows; loss per response, in nats.

    Minimises the mean negative log-probability of the response tokens with AdamW (no weight
    decay): linear warm-up over `_WARMUP` steps, linear decay over the second half, gradient norm
    clipped to 1. There is no dropout, also if the model is in train mode. Returns the batch mean
    of -log pi(response | prompt) before each update, (steps,). `state` names a file to resume from,
    see `descend`; `share`, `watch`, warnings and errors as in `dpo`.
    """
    for name, value in {"steps": steps, "batch": batch}.items():
        require_whole(name, value, 1)
    require_rate(lr)
    _check_size(len(examples), "examples", batch)
    weights = trainable(model)
    examples = examples.to(model_device(model))
    config = {"steps": steps, "batch": batch, "lr": lr, "seed": seed, "data": _digest(examples)}
    records: Records = {"loss": []}

    def rate(step: int) -> float:
        decay = min(1.0, 2 * (1 - step / steps))
        return lr * decay * min(1.0, (step + 1) / _WARMUP)

    with optimizer_of("adamw", weights, lr, betas=(0.9, 0.98)) as optimizer:
        # A hook of the optimizer, because `descend` has no call between backward pass and step.
        optimizer.register_step_pre_hook(lambda *_: _clip(weights))

        def objective(step: int) -> Tensor:
            for group in optimizer.param_groups:
                group["lr"] = rate(step)
            index = batch_index(len(examples), batch, step, seed)
            rows = examples.rows(index)
            logprob = logprobs(model, rows, share=share)
            _require_finite(step, index, {"example": logprob})
            records["loss"].append(-logprob.detach().double().mean().cpu().numpy())
            return -logprob.sum() / rows.lengths.sum()

        descend(
            weights, optimizer, objective, records, steps=steps, config=config,
            state=Path(state) if state else None, save_every=save_every, progress=progress,
            label="SFT", watch=watch or Watch(), look=max(range(steps), key=rate),
        )  # fmt: skip
    return np.array(records["loss"])


def dpo(
    model: CausalLM,
    reference: Tensor,
    pairs: Batch,
    settings: Training,
    *,
    watch: Watch | None = None,
    share: bool | None = None,
    state: str | os.PathLike[str] | None = None,
    save_every: int = 100,
    progress: bool = True,
) -> Run:
    """Train `model` in place on N encoded pairs, as `settings` specify.

    `reference` (2 N,) is `reference_logprobs(model_ref, pairs)` in nats, or made by `reference`.
    Only parameters that require a gradient are trained. There is no dropout, also if the model is
    in train mode. Each update descends the mean loss of a batch, with the reference
    log-probabilities and lengths of its pairs if the loss needs them. At the start, after every
    `settings.record_every` updates and at the end, the `Run` records log-probs, loss and autograd's
    ratio gradients of the recorded pairs. `watch` observes the training and may stop it. `share` as
    in `logprobs.logprobs`. `state` names a file to resume from, saved every `save_every` steps, see
    `descend`.

    Warns (`RuntimeWarning`) if the first step moves no weight, and if the reference is that of the
    model with its rows or tokens in a wrong arrangement: swapped, alternating, in another order, or
    a mean per token. Any other start is legitimate; `first_loss.explain_start` explains it.

    Raises `ValueError` for no pairs, a batch larger than their number, a model without a trained
    parameter, and a reference of another size, in half precision or not finite;
    `FloatingPointError`, with step and pair or parameter, if a log-probability or a gradient is not
    finite; `Interrupted`, with the `Run` so far, on Ctrl-C and when `watch` stops the training.
    """
    n = len(pairs) // 2
    _check_size(n, "pairs", settings.batch)
    weights = trainable(model)
    pairs = pairs.to(model_device(model))
    reference = checked(reference, pairs)
    loss, params, watch = settings.loss, settings.params, watch or Watch()
    of_loss = loss_arguments(loss, params, pairs, reference)
    record = _Record(model, reference, pairs, settings, watch, share)

    def objective(step: int) -> Tensor:
        if step % settings.record_every == 0:
            record.take(step)
        index = batch_index(n, settings.batch, step, settings.seed)
        lw, ll = pair_logprobs(model, pairs.pairs(index), share=share)
        _require_finite(step, index, {"preferred": lw, "dispreferred": ll})
        u, v = lw - reference[index], ll - reference[index + n]
        per_pair: Tensor = LOSSES[loss].torch(u, v, **of_loss(index))
        return per_pair.mean()

    try:
        with optimizer_of(settings.optimizer, weights, settings.lr) as optimizer:
            watch.begin(optimizer)
            descend(
                weights, optimizer, objective, record.values, steps=settings.steps,
                config=record.config, state=Path(state) if state else None, save_every=save_every,
                label=" ".join([loss, *(f"{name}={x:g}" for name, x in params.items())]),
                progress=progress, watch=watch,
            )  # fmt: skip
    except Interrupted as stop:
        stop.run = record.run()
        raise
    record.take(settings.steps)
    return record.run()


class _Record:
    """The record of `dpo`: `values` by name, one per recorded step, and the `Run` made of them."""

    def __init__(
        self,
        model: CausalLM,
        reference: Tensor,
        pairs: Batch,
        settings: Training,
        watch: Watch,
        share: bool | None,
    ) -> None:
        n = len(pairs) // 2
        chosen = settings.recorded
        self._model, self._loss, self._watch, self._share = model, settings.loss, watch, share
        self._index = torch.arange(n) if chosen is None else torch.tensor(chosen)
        self._of_loss = loss_arguments(settings.loss, settings.params, pairs, reference)
        self._pairs = pairs.pairs(self._index)
        rows = torch.cat([self._index, self._index + n])
        self._ref_w, self._ref_l = reference[rows].double().chunk(2)
        self.config = settings.flat() | {"data": _digest(pairs, reference)}
        self.values: Records = {}

    def take(self, step: int) -> None:
        """Record the pairs after `step` updates, and call `Watch.record`."""
        lw, ll = reference_logprobs(self._model, self._pairs, share=self._share).double().chunk(2)
        _require_finite(step, self._index, {"preferred": lw, "dispreferred": ll})
        if step == 0:
            self._require_arrangement(torch.cat([lw, ll]))
        u, v = lw - self._ref_w, ll - self._ref_l
        values = ratio_gradients(self._loss, u, v, **self._of_loss(self._index))
        row = zip(("loss", "dx1", "dx2"), values, strict=True)
        for name, value in [("step", torch.tensor(step)), ("lw", lw), ("ll", ll), *row]:
            self.values.setdefault(name, []).append(value.cpu().numpy())
        self._watch.record(step, u.cpu().numpy(), v.cpu().numpy())

    def _require_arrangement(self, own: Tensor) -> None:
        reference = torch.cat([self._ref_w, self._ref_l])
        # Only what the numbers prove, because a training may start away from u = v = 0 on purpose.
        found = recognised(own, reference, self._pairs.lengths, left=1e-4)
        if found:
            more = "first_loss.explain_start shows the start of this training"
            warnings.warn(f"{found.sentence} {more}", RuntimeWarning, stacklevel=6)

    def run(self) -> Run:
        """The `Run` so far."""
        arrays = {name: np.stack(values) for name, values in self.values.items()}
        ref_w, ref_l = self._ref_w.cpu().numpy(), self._ref_l.cpu().numpy()
        return Run(config=self.config, ref_w=ref_w, ref_l=ref_l, **arrays)


def loss_arguments(
    loss: str, params: Mapping[str, float], pairs: Batch, reference: Tensor
) -> Callable[[Tensor], dict[str, Any]]:
    """A function from an index of pairs to the arguments of their loss besides u and v.

    These are the parameters `params`, and those of the pairs' reference log-probabilities (nats)
    and lengths (scored tokens, including the end) that the loss needs.
    """
    (ref_w, ref_l), (len_w, len_l) = reference.chunk(2), pairs.lengths.chunk(2)
    known = {"ref_w": ref_w, "ref_l": ref_l, "len_w": len_w, "len_l": len_l}
    needed = {parameter.name: known[parameter.name] for parameter in LOSSES[loss].inputs}
    return lambda index: dict(params) | {name: values[index] for name, values in needed.items()}


def ratio_gradients(loss: str, u: Tensor, v: Tensor, **params: Any) -> tuple[Tensor, ...]:
    """Per-pair loss, dL/dx1 and dL/dx2 by autograd, at log-ratios u, v: three float64 tensors.

    Autograd differentiates with respect to the ratios x1 = exp(u), x2 = exp(v), so no derivative
    comes from a formula of this book. nan if a ratio overflows or underflows in float64.

    >>> zero = torch.zeros(1)
    >>> [round(float(t), 4) for t in ratio_gradients("dpo", zero, zero, beta=0.1)]
    [0.6931, -0.05, 0.05]
    """
    u, v = u.detach().double(), v.detach().double()
    x1, x2 = u.exp().requires_grad_(), v.exp().requires_grad_()
    through = LOSSES[loss].torch(x1.log(), x2.log(), **params).sum()
    dx1, dx2 = torch.autograd.grad(through, (x1, x2), allow_unused=True, materialize_grads=True)
    lost = ~((x1 > 0) & (x2 > 0) & torch.isfinite(x1) & torch.isfinite(x2))
    dx1, dx2 = dx1.masked_fill(lost, torch.nan), dx2.masked_fill(lost, torch.nan)
    return LOSSES[loss].torch(u, v, **params), dx1, dx2


def batch_index(n: int, batch: int, step: int, seed: int) -> Tensor:
    """Indices of the items of step `step`, (batch,): a new order of n items for every epoch.

    The order depends on the seed and the epoch only.

    >>> first, second = batch_index(4, 2, 0, seed=0), batch_index(4, 2, 1, seed=0)
    >>> sorted([*first.tolist(), *second.tolist()])
    [0, 1, 2, 3]
    """
    places = range(step * batch, (step + 1) * batch)
    orders = {e: np.random.default_rng([seed, e]).permutation(n) for e in {p // n for p in places}}
    return torch.tensor([int(orders[p // n][p % n]) for p in places])


def _clip(weights: Mapping[str, Tensor]) -> None:
    torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)


def _check_size(n: int, what: str, batch: int) -> None:
    if n == 0:
        raise ValueError(f"no {what} to train on: give at least one")
    if batch > n:
        raise ValueError(f"batch is {batch} but there are {n} {what}; make it smaller")


def _require_finite(step: int, index: Tensor, logprobs: Mapping[str, Tensor]) -> None:
    for which, value in logprobs.items():
        values = value.detach()
        bad = ~torch.isfinite(values)
        if bool(bad.any()):
            i = int(bad.nonzero()[0])
            raise FloatingPointError(
                f"log-probability of {which} {int(index[i])} is {float(values[i])} at step {step}; "
                "lower the learning rate, or check the weights the run started from"
            )


def _digest(rows: Batch, *more: Tensor) -> str:
    """Hash of the data, so that a state file is not resumed with other data."""
    tensors = (rows.input_ids, rows.attention_mask, rows.response_mask, *more)
    digest = hashlib.sha256()
    for tensor in tensors:
        # As bytes, because NumPy has no bfloat16.
        data = tensor.cpu().contiguous().view(torch.uint8).numpy().tobytes()
        digest.update(str(tuple(tensor.shape)).encode() + data)
    return digest.hexdigest()[:16]
