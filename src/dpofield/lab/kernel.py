"""The kernel of log-probability gradients, and the law of motion that follows from it.

Let g_a be the gradient of log pi_a with respect to the trained parameters; the kernel is
K_ab = <g_a, g_b>. One gradient step of size lr on a loss changes log pi_a, to first order in lr,
by -lr times a weighted sum of kernel entries (`predicted_change`).

There are two methods with the same results up to rounding. `method="layers"`, the default, takes
one backward pass for many responses (`dpofield.lab.layers`). `method="plain"` takes one backward
pass per response; it is the specification and works for any model. Gradients have the model's
precision, and inner products are added up in float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from tqdm.auto import tqdm

from dpofield.formulas import LOSSES
from dpofield.lab import layers
from dpofield.lab.batch import Batch
from dpofield.lab.logprobs import sequence_logprobs
from dpofield.lab.model import CausalLM

Floats = NDArray[np.float64]
Method = Literal["layers", "plain"]
Metric = Sequence[Tensor]
"""A diagonal metric: one nonnegative tensor per trained parameter, of the same shape."""

# Tokens per pass on a CPU and on a GPU: more tokens take more memory and are hardly faster.
_CPU_TOKENS, _TOKENS = 2**10, 2**13


class Gram(NamedTuple):
    """K_ab = <grad log pi_a, grad log pi_b> of each pair's two responses, (N,) float64 each."""

    ww: Floats
    wl: Floats
    ll: Floats

    @property
    def cosine(self) -> Floats:
        """Cosine of the angle between the two gradients of each pair, (N,)."""
        return np.asarray(self.wl / np.sqrt(self.ww * self.ll))


def gram(
    model: CausalLM,
    pairs: Batch,
    *,
    metric: Metric | None = None,
    method: Method = "layers",
    progress: bool = True,
) -> Gram:
    """Inner products of the two log-probability gradients of each of N encoded pairs.

    Log-probabilities are in nats, summed over response tokens. Gradients are with respect to all
    parameters that require one, in the order of `model.parameters()`. With a diagonal `metric` P
    the product is <g_a, P g_b>. Memory does not grow with N: the model reads a few pairs at a time,
    or with `method="plain"` one response at a time, and two gradients are kept. Raises `ValueError`
    for a metric that does not fit the model and, unless the method is "plain", for a trained layer
    without a rule in `layers`.

    >>> from dpofield.lab.batch import encode
    >>> from dpofield.lab.model import small_gpt2
    >>> from dpofield.lab.tokenizer import word_tokenizer
    >>> from dpofield.lab.world import World
    >>> pairs = encode(word_tokenizer(), World().pairs(3, seed=0))
    >>> K = gram(small_gpt2(seed=0), pairs, progress=False)
    >>> K.ww.shape, bool((K.wl**2 <= K.ww * K.ll).all())
    ((3,), True)
    """
    n, weights = len(pairs) // 2, None if metric is None else _fitting(metric, model)
    if _by_layers(method):
        found = np.empty((n, 2, 2))
        for index, part in _parts(pairs, 2, progress):
            found[index] = layers.grams(model, part, 2, metric=weights).cpu().numpy()
        return Gram(found[:, 0, 0], found[:, 0, 1], found[:, 1, 1])
    rows = _gradients(model, pairs.rows(_side_by_side(pairs)), progress)
    products = []
    for g_w, g_l in zip(rows, rows, strict=True):
        p_w, p_l = (row if weights is None else _times(weights, row) for row in (g_w, g_l))
        products.append([_inner(g_w, p_w), _inner(g_w, p_l), _inner(g_l, p_l)])
    return Gram(*np.array(products).reshape(n, 3).T)


def gram_matrix(
    model: CausalLM,
    pairs: Batch,
    *,
    metric: Metric | None = None,
    method: Method = "layers",
    progress: bool = True,
) -> Floats:
    """The whole Gram matrix of N encoded pairs, (2 N, 2 N) float64, rows as in the batch.

    Preferred responses first, then the dispreferred: entry (i, N + j) is <g_iw, g_jl>. Units,
    metric and errors as in `gram`. The model reads all 2 N rows in one pass, which takes the memory
    of a training step on them. `method="plain"` takes 2 N times the memory of the model's
    parameters (32 pairs of a 5-million-parameter model in float32: 1.3 GB).

    >>> from dpofield.lab.batch import encode
    >>> from dpofield.lab.model import small_gpt2
    >>> from dpofield.lab.tokenizer import word_tokenizer
    >>> from dpofield.lab.world import World
    >>> model, world = small_gpt2(seed=0, layers=1, width=16), World()
    >>> pairs = encode(word_tokenizer(), world.pairs(3, seed=0))
    >>> K = gram_matrix(model, pairs, progress=False)
    >>> K.shape, bool(np.allclose(np.diag(K, 3), gram(model, pairs, progress=False).wl))
    ((6, 6), True)
    """
    weights = None if metric is None else _fitting(metric, model)
    if _by_layers(method):
        found = layers.grams(model, _trimmed(pairs), len(pairs), metric=weights)
        return np.asarray(found.cpu().numpy()).reshape(len(pairs), len(pairs))
    rows = list(_gradients(model, pairs, progress))
    total = torch.zeros(len(pairs), len(pairs), dtype=torch.float64)
    for k, parts in enumerate(zip(*rows, strict=True)):
        part = torch.stack([p.flatten() for p in parts]).double()
        scaled = part if weights is None else part * weights[k].flatten().double()
        total += (scaled @ part.T).cpu()
    return np.asarray(total.numpy())


def projections(
    model: CausalLM,
    pairs: Batch,
    direction: Sequence[Tensor],
    *,
    method: Method = "layers",
    progress: bool = True,
) -> Floats:
    """<g_a, direction> of every row, (2 N,): the derivative of log pi_a along `direction`.

    `direction` has one tensor per trained parameter, of the same shape. Memory and errors as in
    `gram`.
    """
    along = _shaped(direction, model, "direction")
    if _by_layers(method):
        found = np.empty(len(pairs))
        for index, part in _parts(pairs, 1, progress):
            found[index] = layers.projections(model, part, along).cpu().numpy()
        return found
    return np.array([_inner(row, along) for row in _gradients(model, pairs, progress)])


def slopes(loss: str, u: ArrayLike, v: ArrayLike, **params: Any) -> tuple[Floats, Floats]:
    """dL/du and dL/dv of each pair (1/nat), by autograd, at log-ratios u, v: (N,) each.

    `params` holds the loss's parameters and inputs. Raises `ValueError` for an unknown loss.

    >>> slopes("dpo", [0.0, 5.0], [0.0, -5.0], beta=0.1)
    (array([-0.05      , -0.02689414]), array([0.05      , 0.02689414]))
    """
    if loss not in LOSSES:
        raise ValueError(f"no loss {loss!r}; LOSSES has {', '.join(LOSSES)}")
    leaves = [torch.tensor(np.asarray(x, dtype=float), requires_grad=True) for x in (u, v)]
    values = LOSSES[loss].torch(*leaves, **params).sum()
    du, dv = torch.autograd.grad(values, leaves, allow_unused=True, materialize_grads=True)
    return du.numpy(), dv.numpy()


def predicted_change(
    kernel: Gram | Floats, du: ArrayLike, dv: ArrayLike, lr: float
) -> tuple[Floats, Floats]:
    """The law of motion: first-order changes of log pi(yw) and log pi(yl), in nats, (N,) each.

    `du`, `dv` (N,): slopes of each pair's loss. With a `Gram`, each change is that of a step on the
    pair's own loss; with a Gram matrix, that of one step on the mean loss of all N pairs.

    >>> one = Gram(np.array([4.0]), np.array([1.0]), np.array([9.0]))
    >>> predicted_change(one, du=[-0.5], dv=[0.5], lr=0.1)
    (array([0.15]), array([-0.4]))
    >>> predicted_change(np.array([[4.0, 1.0], [1.0, 9.0]]), du=[-0.5], dv=[0.5], lr=0.1)
    (array([0.15]), array([-0.4]))
    """
    du, dv = np.asarray(du, dtype=float), np.asarray(dv, dtype=float)
    if isinstance(kernel, Gram):
        up, down = du * kernel.ww + dv * kernel.wl, du * kernel.wl + dv * kernel.ll
        return -lr * up, -lr * down
    if kernel.shape != (2 * len(du), 2 * len(du)):
        raise ValueError(
            f"{len(du)} pairs need a Gram matrix of shape {(2 * len(du),) * 2}, not {kernel.shape}"
        )
    both = -lr / len(du) * (kernel @ np.concatenate([du, dv]))
    return both[: len(du)], both[len(du) :]


def trained(model: CausalLM) -> dict[str, Tensor]:
    """The parameters that require a gradient, by name; the kernel is summed over them."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def _by_layers(method: str) -> bool:
    if method not in get_args(Method):
        raise ValueError(f"no method {method!r}; there are {', '.join(get_args(Method))}")
    return method == "layers"


def _side_by_side(pairs: Batch) -> Tensor:
    """Row numbers in an order that puts the two responses of a pair together, (2 N,)."""
    return torch.arange(len(pairs)).view(2, -1).T.flatten()


def _parts(pairs: Batch, group: int, progress: bool) -> Iterator[tuple[NDArray[Any], Batch]]:
    """Yield (numbers of groups, their rows), a few groups at a time, without empty columns.

    A group is a row (`group` = 1) or the two rows of a pair (`group` = 2). Groups of similar length
    share a part, so that little padding is computed.
    """
    order = (_side_by_side(pairs) if group == 2 else torch.arange(len(pairs))).view(-1, group)
    lengths = pairs.attention_mask.sum(dim=1).cpu()[order].amax(dim=1)
    ranked = lengths.argsort(stable=True)
    tokens = _CPU_TOKENS if pairs.input_ids.device.type == "cpu" else _TOKENS
    size = max(1, tokens // max(1, group * pairs.input_ids.shape[1]))
    parts = torch.split(ranked, size)
    for index in tqdm(parts, desc="kernel", disable=not progress, leave=False, delay=1):
        yield index.numpy(), _trimmed(pairs.rows(order[index].flatten()))


def _trimmed(rows: Batch) -> Batch:
    real = rows.attention_mask.any(dim=0)
    return Batch(*(x[:, real] for x in (rows.input_ids, rows.attention_mask, rows.response_mask)))


def _gradients(model: CausalLM, rows: Batch, progress: bool) -> Iterator[tuple[Tensor, ...]]:
    parameters = list(trained(model).values())
    bar = tqdm(range(len(rows)), desc="kernel", disable=not progress, leave=False, delay=1)
    for i in bar:
        row = rows.rows(slice(i, i + 1))
        real = row.attention_mask[0]  # a single row needs no padding
        value = sequence_logprobs(
            model, row.input_ids[:, real], row.attention_mask[:, real], row.response_mask[:, real]
        )
        yield torch.autograd.grad(
            value.sum(), parameters, allow_unused=True, materialize_grads=True
        )


def _times(metric: Metric, gradient: Sequence[Tensor]) -> Sequence[Tensor]:
    return [p * g for p, g in zip(metric, gradient, strict=True)]


def _inner(a: Sequence[Tensor], b: Sequence[Tensor]) -> float:
    """The inner product of two gradients (one tensor per parameter), added up in float64."""
    products = [
        torch.dot(x.flatten().double(), y.flatten().double()) for x, y in zip(a, b, strict=True)
    ]
    return float(torch.stack(products).sum())


def _shaped(parts: Sequence[Tensor], model: CausalLM, what: str) -> Sequence[Tensor]:
    parameters = trained(model)
    if len(parts) != len(parameters):
        raise ValueError(
            f"the {what} has {len(parts)} tensors, the model trains {len(parameters)} parameters: "
            "give one per parameter, in the order of model.parameters()"
        )
    for (name, parameter), part in zip(parameters.items(), parts, strict=True):
        if part.shape != parameter.shape:
            raise ValueError(
                f"the {what} for {name} has shape {tuple(part.shape)}, "
                f"the parameter {tuple(parameter.shape)}"
            )
    return parts


def _fitting(metric: Metric, model: CausalLM) -> Metric:
    for (name, _), part in zip(
        trained(model).items(), _shaped(metric, model, "metric"), strict=True
    ):
        if not bool((part >= 0).all() and torch.isfinite(part).all()):
            raise ValueError(f"the metric for {name} has negative or non-finite factors")
    return metric
