"""Inner products of log-probability gradients, layer by layer, from one backward pass for all rows.

A *place* is here one position of a row at which a layer is applied (in `trees` the word means a
node). For a linear layer y = W x, the gradient of a row's log-probability with respect to W is the
sum over places of d x^T, where x is the layer's input and d the gradient with respect to its
output. A *term* is an `Outer` that holds these two factors for every place of every row, from one
call of one layer. The rows of a batch do not interact, so one backward pass of the sum of their
log-probabilities yields d for every row. `outer` computes the inner products from the factors. The
results are exact up to rounding.

The cost is one forward and one backward pass, and the products of `outer`. The gradient of a row
with respect to all parameters is never stored: a parameter's terms are discarded as soon as its
products are added up. If a layer is called twice, or two layers share a weight, the weight has
several terms, and its gradient is their sum.

To support another kind of layer, add a function to `_RULES` that returns its terms. `_Recorder`
collects the terms by hooks, and raises an error if the model uses a weight where no hook sees it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from transformers.pytorch_utils import Conv1D

from dpofield.lab import outer
from dpofield.lab.batch import Batch
from dpofield.lab.logprobs import in_one_pass
from dpofield.lab.model import CausalLM
from dpofield.lab.outer import Form, Outer

Take = Callable[[int, Tensor, list[Outer]], None]
Rule = Callable[[Any, Tensor, Tensor], Mapping[str, Outer]]

_PLAIN = 'use method="plain", one backward pass per response'


def grams(
    model: CausalLM,
    rows: Batch,
    group: int,
    *,
    metric: Sequence[Tensor] | None = None,
    form: Form | None = None,
) -> Tensor:
    """Inner products of the rows' gradients within each `group` of consecutive rows.

    (R / group, group, group) float64 for R rows, on the model's device. `metric` has one tensor per
    trained parameter; `form` as in `outer.gram`. Memory: that of a training step on these rows,
    without parameter gradients and optimizer state. Raises `ValueError` for a trained parameter
    whose layer has no rule here, and for a model that mixes rows.

    >>> from dpofield.lab.batch import encode
    >>> from dpofield.lab.model import small_gpt2
    >>> from dpofield.lab.tokenizer import word_tokenizer
    >>> from dpofield.lab.world import World
    >>> rows = encode(word_tokenizer(), World().pairs(3, seed=0))
    >>> grams(small_gpt2(seed=0), rows, 2).shape
    torch.Size([3, 2, 2])
    """
    device = next(model.parameters()).device
    groups = len(rows) // max(1, group)
    found = torch.zeros(groups, group, group, dtype=torch.float64, device=device)

    def take(k: int, parameter: Tensor, terms: list[Outer]) -> None:
        P = None if metric is None else _matrix(metric[k])
        height = _matrix(parameter).shape[0]
        found.add_(outer.gram(terms, height, group, metric=P, form=form))

    _backward(model, rows, take)
    return found


def projections(model: CausalLM, rows: Batch, direction: Sequence[Tensor]) -> Tensor:
    """Inner product of each row's gradient with `direction`, one tensor per trained parameter.

    (R,) float64, on the model's device. Memory and errors as in `grams`.
    """
    device = next(model.parameters()).device
    found = torch.zeros(len(rows), dtype=torch.float64, device=device)

    def take(k: int, parameter: Tensor, terms: list[Outer]) -> None:
        found.add_(outer.project(terms, _matrix(direction[k])))

    _backward(model, rows, take)
    return found


# Rules: the terms of a layer's parameters, from its input x and the gradient d with respect to its
# output, both (R, ...). A bias or a gain is treated as a matrix with one row, with a single place.


def _matrix(part: Tensor) -> Tensor:
    return part.detach() if part.dim() == 2 else part.detach().reshape(1, -1)


def _summed(d: Tensor, parameter: Tensor) -> Outer:
    right = d.reshape(len(d), -1, parameter.numel()).sum(dim=1, keepdim=True)
    return Outer(right.new_ones(len(d), 1, 1), right)


def _places(x: Tensor) -> Tensor:
    return x.reshape(len(x), -1, x.shape[-1])


def _linear(layer: nn.Linear, x: Tensor, d: Tensor) -> Mapping[str, Outer]:
    terms = {"weight": Outer(_places(d), _places(x))}
    return terms if layer.bias is None else terms | {"bias": _summed(d, layer.bias)}


def _conv1d(layer: Any, x: Tensor, d: Tensor) -> Mapping[str, Outer]:
    return {"weight": Outer(_places(x), _places(d)), "bias": _summed(d, layer.bias)}


def _embedding(layer: nn.Embedding, ids: Tensor, d: Tensor) -> Mapping[str, Outer]:
    if layer.padding_idx is not None:  # torch gives this row no gradient
        d = d.masked_fill((ids == layer.padding_idx)[..., None], 0.0)
    return {"weight": Outer(ids.reshape(len(ids), -1), _places(d))}


def _layer_norm(layer: nn.LayerNorm, x: Tensor, d: Tensor) -> Mapping[str, Outer]:
    unit = nn.functional.layer_norm(x, layer.normalized_shape, eps=layer.eps)
    terms = {"weight": _summed(d * unit, layer.weight)}
    return terms if layer.bias is None else terms | {"bias": _summed(d, layer.bias)}


def _rms_norm(layer: nn.Module, x: Tensor, d: Tensor) -> Mapping[str, Outer]:
    """For any norm whose output is affine in its gain (Gemma's factor is 1 + gain)."""
    gain = layer.get_parameter("weight")
    ones, zeros = (
        functional_call(layer, {"weight": torch.full_like(gain, value)}, (x,)) for value in (1, 0)
    )
    return {"weight": _summed(d * (ones - zeros), gain)}


_RULES: dict[type[nn.Module], Rule] = {
    nn.Linear: _linear,
    Conv1D: _conv1d,
    nn.Embedding: _embedding,
    nn.LayerNorm: _layer_norm,
    nn.RMSNorm: _rms_norm,
}


def _rule(path: str, layer: nn.Module) -> Rule:
    """The rule of exactly this class, because a subclass may compute something else."""
    kind = type(layer)
    named = kind.__name__.endswith("RMSNorm") and kind.__module__.startswith("transformers.models.")
    if named and [name for name, _ in layer.named_parameters()] == ["weight"]:
        return _rms_norm
    rescaled = kind is nn.Embedding and (layer.max_norm is not None or layer.scale_grad_by_freq)
    if kind not in _RULES or rescaled:
        raise ValueError(f"no rule for {path or 'the model'} ({kind.__name__}): {_PLAIN}")
    return _RULES[kind]


def _own(layer: nn.Module) -> dict[str, Tensor]:
    return {name: p for name, p in layer.named_parameters(recurse=False) if p.requires_grad}


class _Recorder:
    """Collects the terms of every trained parameter during a forward and a backward pass.

    When the backward pass has visited every call that uses a parameter, the parameter's terms are
    passed to `take` and discarded.
    """

    def __init__(self, model: CausalLM, rows: int, take: Take) -> None:
        self.rows, self.take = rows, take
        trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self.names = {id(p): name for name, p in trained}
        self.numbered = {id(p): (k, p) for k, (_, p) in enumerate(trained)}
        self.calls: Counter[int] = Counter()  # calls seen, per parameter
        self.terms: dict[int, list[Outer]] = {key: [] for key in self.names}
        self.starts: list[Tensor] = []  # outputs at which the backward pass ends

    def watch(self, path: str, layer: nn.Module) -> Callable[..., None]:
        """A forward hook that keeps the layer's input until the backward pass needs it."""
        rule, own = _rule(path, layer), {name: id(p) for name, p in _own(layer).items()}

        def called(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
            x, *more = *args, *kwargs.values()
            alone = not more and len(x) == len(out) == self.rows
            if not alone or not out.requires_grad:
                kind = type(layer).__name__
                raise ValueError(f"{path} ({kind}) does not take gradients row by row: {_PLAIN}")
            self.calls.update(own.values())
            if not x.requires_grad:
                self.starts.append(out)
            kept = [x.detach()]  # autograd raises an error if it is changed in place

            def passed(d: Tensor) -> None:
                found = rule(layer, kept.pop(), d)
                for name, key in own.items():
                    self.add(key, found[name])

            out.register_hook(passed)

        return called

    def add(self, key: int, term: Outer) -> None:
        self.terms[key].append(Outer(*map(_wide, term)))
        if len(self.terms[key]) == self.calls[key]:
            self.finish(key)

    def finish(self, key: int) -> None:
        terms = self.terms.pop(key)
        if terms:
            self.take(*self.numbered[key], terms)

    def check(self, values: Tensor) -> None:
        """Raise `ValueError` if the graph uses a parameter outside the calls that were seen.

        Each call adds one edge from the graph to the parameter; further edges are other uses.
        """
        edges: Counter[int] = Counter()
        ahead: list[Any] = [values.grad_fn]
        seen = set()
        while ahead:
            node = ahead.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            leaves = [n.variable for n, _ in node.next_functions if hasattr(n, "variable")]
            edges.update(map(id, leaves))
            ahead.extend(n for n, _ in node.next_functions)
        for key, name in self.names.items():
            if edges[key] > self.calls[key]:
                raise ValueError(f"{name} is used outside the layer that owns it: {_PLAIN}")


def _wide(x: Tensor) -> Tensor:
    """Half precision becomes float32: products of gradients need more digits and more range."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _backward(model: CausalLM, rows: Batch, take: Take) -> None:
    """One forward and one backward pass of all rows; calls `take` once per parameter with terms."""
    if not len(rows):
        return
    recorder, handles = _Recorder(model, len(rows), take), []
    layers = [(path, layer) for path, layer in model.named_modules() if _own(layer)]
    try:
        for path, layer in layers:
            hook = recorder.watch(path, layer)
            handles.append(layer.register_forward_hook(hook, with_kwargs=True, prepend=True))
        values = in_one_pass(model, rows)
    finally:
        for handle in handles:
            handle.remove()
    # Detached from the recorder: tensors and hooks would otherwise form a reference cycle, which
    # keeps the graph in memory.
    starts, recorder.starts = recorder.starts, []
    recorder.check(values)
    if starts:
        # Gradients with respect to the first trained layers' outputs: the pass runs every hook and
        # computes no parameter gradient.
        torch.autograd.grad(values.sum(), starts, allow_unused=True)
    for key in list(recorder.terms):  # terms that wait for a call the values do not depend on
        recorder.finish(key)
