"""The gradient of every row with respect to a layer's parameters, from one call of the layer.

A *place* is here one position of a row at which a layer is applied (in `trees` the word means a
node). For a linear layer y = W x, the gradient of a row's log-probability with respect to W is the
sum over places of d x^T, where x is the layer's input and d the gradient with respect to its
output. A *term* is an `Outer` that holds these two factors for every place of every row.

To support another kind of layer, add a function to `_RULES`. It is used for exactly its class. For
a subclass, which may compute something else, `units` compares it with `replayed` on one row first,
and so it does for `_gain`, the rule of all norms that have one gain. `replayed` works for every
module whose rows do not interact: it calls the module again for each row, which is slower, and its
terms are whole gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils.rnn import pad_sequence
from torch.utils._pytree import tree_unflatten
from transformers.pytorch_utils import Conv1D

from dpofield.lab.calls import Call, NotByLayersError, named, tensors
from dpofield.lab.outer import Outer

Rule = Callable[[Any, Tensor, Tensor], Mapping[str, Outer]]


def candidates(layer: nn.Module) -> tuple[list[Rule], bool]:
    """Rules that may hold for a layer, and whether the first is certain for its class."""
    rescaled = isinstance(layer, nn.Embedding) and (layer.max_norm or layer.scale_grad_by_freq)
    if type(layer) in _RULES and not rescaled:
        return [_RULES[type(layer)]], True
    found = [rule for kind, rule in _RULES.items() if isinstance(layer, kind) and not rescaled]
    if [name for name, _ in layer.named_parameters()] == ["weight"]:
        found.append(_gain)
    return found, False


def terms(
    rule: Rule | None, call: Call, parameters: Sequence[Tensor], rows: int | None = None
) -> list[Outer]:
    """One term per parameter, from a call whose gradients have arrived; by `replayed` if no rule.

    Raises `NotByLayersError` if the call cannot be repeated; `rows` as in `replayed`.
    """
    if rule is None:
        return replayed(call, parameters, rows)
    call.check_inputs()
    (x,), (d,) = call.inputs, call.gradients
    assert d is not None
    found = rule(call.module, call.by_row(x), _wide(call.by_row(d)))
    names = {id(p): name for name, p in call.module._parameters.items()}
    return [Outer(*map(_wide, found[names[id(p)]])) for p in parameters]


def replayed(call: Call, parameters: Sequence[Tensor], rows: int | None = None) -> list[Outer]:
    """One term per parameter, by calling the module again for each of the first `rows` rows.

    Raises `NotByLayersError` if a row alone has another output than in the batch.
    """
    found: list[list[tuple[Tensor, Tensor]]] = [[] for _ in parameters]
    for row in range(call.rows if rows is None else rows):
        with torch.enable_grad():
            again = again_alone(call, row)
        # A gradient contains what comes through later outputs that depend on this one.
        used: list[Tensor] = []
        gradients: list[Tensor] = []
        ways = [
            (y, d)
            for y, d in zip(again, call.gradients, strict=True)
            if d is not None and y.requires_grad
        ]
        for y, d in sorted(ways, key=lambda way: _number(way[0]), reverse=True):
            d = call.cut(d, row)
            if used:
                (through,) = torch.autograd.grad(
                    used, y, gradients, retain_graph=True, materialize_grads=True
                )
                d = d - through
            used.append(y)
            gradients.append(d)
        parts = torch.autograd.grad(
            used, parameters, gradients, allow_unused=True, materialize_grads=True
        )
        for part, kept in zip(parts, found, strict=True):
            dense = _wide(matrix(part))
            places = dense.any(dim=1).nonzero().flatten()  # an embedding has few nonzero rows
            kept.append((places, dense[places]))
    return [Outer(*(pad_sequence(list(x), True) for x in zip(*f, strict=True))) for f in found]


def _number(y: Tensor) -> int:
    return -1 if y.grad_fn is None else y.grad_fn._sequence_nr()


def holds(rule: Rule, call: Call, parameter: Tensor) -> bool:
    """Whether a rule gives the same gradient as `replayed`, for the first row of the call."""
    kept, numbers = call.gradients, torch.Generator().manual_seed(0)
    d = torch.randn(call.outputs[0].shape, generator=numbers, dtype=torch.float64)
    call.gradients = [d.to(call.outputs[0])]
    try:
        found, wanted = (terms(way, call, [parameter], 1)[0] for way in (rule, None))
        height = len(matrix(parameter))
        strict = 1e-10 if parameter.dtype == torch.float64 else None
        return close(found.dense(0, height), wanted.dense(0, height), parameter.dtype, strict)
    except (RuntimeError, ValueError, TypeError, KeyError, IndexError):
        return False  # the rule does not apply to such inputs
    finally:
        call.gradients = kept


def again_alone(call: Call, row: int) -> list[Tensor]:
    """The outputs of the call for one row alone, which must equal those in the batch."""
    call.check_inputs()
    args, kwargs = tree_unflatten(call.inputs_of(row), call.form)
    try:
        again = tensors(call.module(*args, **kwargs))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise NotByLayersError(
            f"{named(call)} cannot be called for a row alone: {error}"
        ) from error
    split = call.split[len(call.inputs) :]
    same = len(again) == len(call.outputs) and all(
        close(y, call.cut(wanted, row) if cut else wanted, y.dtype)
        for y, wanted, cut, version in zip(
            again, call.outputs, split, call.first_versions, strict=True
        )
        if wanted._version == version  # else it was changed in place after the call
    )
    if not same:
        raise NotByLayersError(f"{named(call)} has another output for a row alone than in a batch")
    return again


def close(a: Tensor, b: Tensor, dtype: torch.dtype, tolerance: float | None = None) -> bool:
    """Equal up to the rounding of calculations in `dtype`.

    Some layers compute in float32 even if their inputs are float64.
    """
    if a.shape != b.shape or not a.is_floating_point() or not a.numel():
        return torch.equal(a, b)
    tolerance = tolerance or (0.1 if dtype in _HALF else 1e-4)
    return bool((a.detach() - b).abs().max() <= tolerance * b.abs().max())


def matrix(part: Tensor) -> Tensor:
    """A parameter, or something of its shape, as a matrix: a vector is a matrix with one row."""
    part = part.detach()
    return part.reshape(-1, part.shape[-1]) if part.dim() > 1 else part.reshape(1, -1)


# Rules: the terms of a layer's parameters, from its input x and the gradient d with respect to its
# output, both (R, ...). A bias or a gain has a single place.


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
    scale = getattr(layer, "embed_scale", 1.0)  # of scaled embeddings, as in Gemma
    return {"weight": Outer(ids.reshape(len(ids), -1), _places(d * scale))}


def _layer_norm(layer: nn.LayerNorm, x: Tensor, d: Tensor) -> Mapping[str, Outer]:
    unit = nn.functional.layer_norm(x, layer.normalized_shape, eps=layer.eps)
    terms = {"weight": _summed(d * unit, layer.weight)}
    return terms if layer.bias is None else terms | {"bias": _summed(d, layer.bias)}


def _gain(layer: nn.Module, x: Tensor, d: Tensor) -> Mapping[str, Outer]:
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
    nn.RMSNorm: _gain,
}

_HALF = (torch.float16, torch.bfloat16)


def _wide(x: Tensor) -> Tensor:
    """Half precision becomes float32: products of gradients need more digits and more range."""
    return x.float() if x.dtype in _HALF else x
