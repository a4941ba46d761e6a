"""The kernel of log-probability gradients, and the law of motion that follows from it.

Let g_a be the gradient of log pi_a with respect to the trained parameters; the kernel is
K_ab = <g_a, g_b>. One gradient step of size lr on a loss changes log pi_a, to first order in lr,
by -lr times a weighted sum of kernel entries (`predicted_change`).

There are two methods with the same results up to rounding. `method="layers"` takes one backward
pass for many responses (`dpofield.lab.layers`). `method="plain"` takes one backward pass per
response; it is the specification, and works for any model. `method="auto"`, the default, goes by
layers, or takes the plain form, with a `RuntimeWarning` that names the reason, if the model mixes
the rows of a batch. Gradients have the model's precision, and inner products are added up in
float64. A model in train mode has the gradients of eval mode.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, TypeVar, get_args
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from tqdm.auto import tqdm

from dpofield.formulas import LOSSES
from dpofield.lab import layers
from dpofield.lab.batch import Batch
from dpofield.lab.calls import NotByLayersError
from dpofield.lab.layers import BUDGET as BUDGET
from dpofield.lab.logprobs import sequence_logprobs
from dpofield.lab.model import CausalLM
from dpofield.lab.units import check_graph
from dpofield.lab.units import trained as trained  # also found here

Floats = NDArray[np.float64]
Method = Literal["auto", "layers", "plain"]
T = TypeVar("T")
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
    method: Method = "auto",
    budget: int = BUDGET,
    progress: bool = True,
) -> Gram:
    """Inner products of the two log-probability gradients of each of N encoded pairs.

    Log-probabilities are in nats, summed over response tokens. Gradients are with respect to all
    parameters that require one, in the order of `model.parameters()`. With a diagonal `metric` P
    the product is <g_a, P g_b>. Beside the model, memory is about `budget` bytes (default 1.5 GiB),
    for any N; less than a single pair needs cannot be kept. `method="plain"` keeps two gradients.
    Raises `ValueError` for a model without a trained parameter, for weights that have no gradients
    (quantised) or no values, for a metric that does not fit the model, and with `method="layers"`
    for a model that mixes rows.

    >>> from dpofield.lab.batch import encode
    >>> from dpofield.lab.model import small_gpt2
    >>> from dpofield.lab.tokenizer import word_tokenizer
    >>> from dpofield.lab.world import World
    >>> pairs = encode(word_tokenizer(), World().pairs(3, seed=0))
    >>> K = gram(small_gpt2(seed=0), pairs, progress=False)
    >>> K.ww.shape, bool((K.wl**2 <= K.ww * K.ll).all())
    ((3,), True)
    """
    n, weights = len(pairs) // 2, _fitting(metric, model)

    def by_layers() -> Gram:
        found = np.empty((n, 2, 2))
        for index, part in _parts(model, pairs, 2, budget, progress):
            these = layers.grams(model, part, 2, metric=weights, budget=budget)
            found[index] = these.cpu().numpy()
        return Gram(found[:, 0, 0], found[:, 0, 1], found[:, 1, 1])

    def plain() -> Gram:
        rows = _gradients(model, pairs.rows(_side_by_side(pairs)), progress)
        products = []
        for g_w, g_l in zip(rows, rows, strict=True):
            p_w, p_l = (row if weights is None else _times(weights, row) for row in (g_w, g_l))
            products.append([_inner(g_w, p_w), _inner(g_w, p_l), _inner(g_l, p_l)])
        return Gram(*np.array(products).reshape(n, 3).T)

    return _either(method, model, by_layers, plain)


def gram_matrix(
    model: CausalLM,
    pairs: Batch,
    *,
    metric: Metric | None = None,
    method: Method = "auto",
    budget: int = BUDGET,
    progress: bool = True,
) -> Floats:
    """The whole Gram matrix of N encoded pairs, (2 N, 2 N) float64, rows as in the batch.

    Preferred responses first, then the dispreferred: entry (i, N + j) is <g_iw, g_jl>. Units,
    metric, budget and errors as in `gram`. If not all rows fit into one pass, they are read several
    times; a larger budget means fewer times. `method="plain"` takes 2 N times the memory of the
    trained parameters (32 pairs of a 5-million-parameter model in float32: 1.3 GB).

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
    weights = _fitting(metric, model)

    def by_layers() -> Floats:
        found = layers.grams(
            model, pairs, len(pairs), metric=weights, budget=budget, progress=progress
        )
        return np.asarray(found.cpu().numpy()).reshape(len(pairs), len(pairs))

    def plain() -> Floats:
        rows = list(_gradients(model, pairs, progress))
        total = torch.zeros(len(pairs), len(pairs), dtype=torch.float64)
        for k, parts in enumerate(zip(*rows, strict=True)):
            part = torch.stack([p.flatten() for p in parts]).double()
            scaled = part if weights is None else part * weights[k].flatten().double()
            total += (scaled @ part.T).cpu()
        return np.asarray(total.numpy())

    return _either(method, model, by_layers, plain)


def projections(
    model: CausalLM,
    pairs: Batch,
    direction: Sequence[Tensor],
    *,
    method: Method = "auto",
    budget: int = BUDGET,
    progress: bool = True,
) -> Floats:
    """<g_a, direction> of every row, (2 N,): the derivative of log pi_a along `direction`.

    `direction` has one tensor per trained parameter, of the same shape. Budget and errors as in
    `gram`.
    """
    along = _shaped(direction, model, "direction")

    def by_layers() -> Floats:
        found = np.empty(len(pairs))
        for index, part in _parts(model, pairs, 1, budget, progress):
            found[index] = layers.projections(model, part, along, budget=budget).cpu().numpy()
        return found

    def plain() -> Floats:
        return np.array([_inner(row, along) for row in _gradients(model, pairs, progress)])

    return _either(method, model, by_layers, plain)


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


def _either(method: str, model: CausalLM, by_layers: Callable[[], T], plain: Callable[[], T]) -> T:
    """The result of the one or of the other function, which agree."""
    if method not in get_args(Method):
        raise ValueError(f"no method {method!r}; there are {', '.join(get_args(Method))}")
    if method == "plain":
        return plain()
    try:
        return by_layers()
    except NotByLayersError as why:
        if method == "layers":
            raise NotByLayersError(
                f'{why}: use method="plain", one backward pass per response'
            ) from why
        if _NOTED.get(model) != str(why):
            _NOTED[model] = str(why)
            warnings.warn(
                f"{why}. So there is one backward pass per response, which is exact and slower",
                RuntimeWarning,
                stacklevel=3,
            )
    return plain()


_NOTED: WeakKeyDictionary[CausalLM, str] = WeakKeyDictionary()  # the reasons already given


def _side_by_side(pairs: Batch) -> Tensor:
    """Row numbers in an order that puts the two responses of a pair together, (2 N,)."""
    return torch.arange(len(pairs)).view(2, -1).T.flatten()


def _parts(
    model: CausalLM, pairs: Batch, group: int, budget: int, progress: bool
) -> Iterator[tuple[NDArray[Any], Batch]]:
    """Yield (numbers of groups, their rows), a few groups at a time, without empty columns.

    A group is a row (`group` = 1) or the two rows of a pair (`group` = 2). Groups of similar length
    share a part, so that little padding is computed.
    """
    order = (_side_by_side(pairs) if group == 2 else torch.arange(len(pairs))).view(-1, group)
    lengths = pairs.attention_mask.sum(dim=1).cpu()[order].amax(dim=1)
    ranked = lengths.argsort(stable=True)
    tokens = _CPU_TOKENS if pairs.input_ids.device.type == "cpu" else _TOKENS
    rows = min(tokens // max(1, pairs.input_ids.shape[1]), layers.capacity(model, pairs, budget))
    parts = torch.split(ranked, max(1, rows // group))
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
        check_graph(model, value)
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
    _check_gradients(model)
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


def _fitting(metric: Metric | None, model: CausalLM) -> Metric | None:
    """The metric, if it fits the model. Raises `ValueError` if it does not, or if the model has no
    gradients."""
    _check_gradients(model)
    if metric is None:
        return None
    for name, part in zip(trained(model), _shaped(metric, model, "metric"), strict=True):
        if not bool((part >= 0).all() and torch.isfinite(part).all()):
            raise ValueError(f"the metric for {name} has negative or non-finite factors")
    return metric


def _check_gradients(model: CausalLM) -> None:
    parameters = trained(model)
    if not parameters:
        raise ValueError(
            f"{type(model).__name__} has no trained parameter, so all gradients are empty: call "
            "requires_grad_(True) on the parameters to be trained, or switch the adapter on"
        )
    for name, p in parameters.items():
        if p.is_meta:
            raise ValueError(f"{name} has no values (device meta): load the model on one device")
    for path, module in model.named_modules():
        kind = type(module)
        if kind.__module__.startswith("torch.ao.nn") and "quantized" in kind.__module__:
            raise ValueError(
                f"{path} ({kind.__name__}) is quantised and passes no gradients on: use the model "
                "before quantisation"
            )
