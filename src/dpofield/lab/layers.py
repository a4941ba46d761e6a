"""Log-probability gradients by layers: what one forward and one backward pass tell of every row.

The gradient of a row's log-probability by a weight matrix is a sum over places of outer products:
one factor is what came into the layer at that place, the other is the gradient by what went out of
it there. Rows do not meet in a forward pass, so one backward pass of the sum of their
log-probabilities brings both factors of every row. `outer` turns them into inner products, and no
gradient by all parameters is ever held.

A layer that is called twice, or two layers that share a weight, have their places added up.
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
from dpofield.lab.logprobs import Batch, sequence_logprobs
from dpofield.lab.model import CausalLM
from dpofield.lab.outer import Form, Outer

Take = Callable[[int, Tensor, list[Outer]], None]
Rule = Callable[[Any, Tensor, Tensor], Mapping[str, Outer]]

_PLAIN = 'use method="plain", one backward pass a response'


def grams(
    model: CausalLM,
    rows: Batch,
    group: int,
    *,
    metric: Sequence[Tensor] | None = None,
    form: Form | None = None,
) -> Tensor:
    """Inner products of the rows' gradients within each `group` of consecutive rows.

    (R / group, group, group) float64 for R rows, on the model's device. `metric` holds a tensor a
    trained parameter; `form` as in `outer.gram`. Holds what one training step of these rows holds
    less gradients and optimizer. Raises `ValueError` for a trained parameter whose layer has no
    rule here, and for a model that mixes rows.

    >>> from dpofield.lab.logprobs import encode
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
    """Inner product of each row's gradient with `direction`, a tensor a trained parameter.

    (R,) float64, on the model's device. Memory and errors as in `grams`.
    """
    device = next(model.parameters()).device
    found = torch.zeros(len(rows), dtype=torch.float64, device=device)

    def take(k: int, parameter: Tensor, terms: list[Outer]) -> None:
        found.add_(outer.project(terms, _matrix(direction[k])))

    _backward(model, rows, take)
    return found


# Rules: what a layer's parameters get as terms, of what came in, x, and the gradient d by what went
# out, both (R, ...). A bias or a gain is a matrix of one row, with one place.


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
    if layer.padding_idx is not None:  # autograd gives this row no gradient
        d = d.masked_fill((ids == layer.padding_idx)[..., None], 0.0)
    return {"weight": Outer(ids.reshape(len(ids), -1), _places(d))}


def _layer_norm(layer: nn.LayerNorm, x: Tensor, d: Tensor) -> Mapping[str, Outer]:
    unit = nn.functional.layer_norm(x, layer.normalized_shape, eps=layer.eps)
    terms = {"weight": _summed(d * unit, layer.weight)}
    return terms if layer.bias is None else terms | {"bias": _summed(d, layer.bias)}


def _rms_norm(layer: nn.Module, x: Tensor, d: Tensor) -> Mapping[str, Outer]:
    """For any norm that is linear in its gain, or linear but for a constant (Gemma's 1 + gain)."""
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
    """The rule for exactly this class: a subclass may compute something else."""
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
    """Collects the terms of every trained parameter while a graph is built and walked back.

    A parameter's terms go to `take` as soon as its last use has been passed, and are forgotten.
    """

    def __init__(self, model: CausalLM, rows: int, take: Take) -> None:
        self.rows, self.take = rows, take
        trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self.names = {id(p): name for name, p in trained}
        self.numbered = {id(p): (k, p) for k, (_, p) in enumerate(trained)}
        self.calls: Counter[int] = Counter()  # uses seen, a parameter
        self.terms: dict[int, list[Outer]] = {key: [] for key in self.names}
        self.starts: list[Tensor] = []  # where a backward pass may end

    def watch(self, path: str, layer: nn.Module) -> Callable[..., None]:
        """A forward hook that keeps what comes in until the backward pass arrives."""
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
            kept = [x.detach()]  # the graph keeps it too, and sees to it that nobody changes it

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
        """Raise `ValueError` if the graph uses a parameter elsewhere than in the calls seen."""
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
    """Half precision is too narrow for products of gradients."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _backward(model: CausalLM, rows: Batch, take: Take) -> None:
    """One pass of all rows, forward and back; `take` once for each parameter that had a part."""
    if not len(rows):
        return
    recorder, handles = _Recorder(model, len(rows), take), []
    layers = [(path, layer) for path, layer in model.named_modules() if _own(layer)]
    try:
        for path, layer in layers:
            hook = recorder.watch(path, layer)
            handles.append(layer.register_forward_hook(hook, with_kwargs=True, prepend=True))
        values = sequence_logprobs(model, rows.input_ids, rows.attention_mask, rows.response_mask)
    finally:
        for handle in handles:
            handle.remove()
    # Taken out of the recorder: its hooks hang on these tensors, a ring that nothing would free.
    starts, recorder.starts = recorder.starts, []
    recorder.check(values)
    if starts:
        # Ends at what the first layers give, so that no gradient by a parameter is computed.
        torch.autograd.grad(values.sum(), starts, allow_unused=True)
    for key in list(recorder.terms):  # a call that led nowhere keeps the others waiting
        recorder.finish(key)
