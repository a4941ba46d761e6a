"""The reference log-probabilities of `training.dpo`, from the places where people have them.

All functions return one value per row, (2 N,), preferred first, in nats, summed over the response:
float32 or float64, without a graph, on the device of the pairs.

- another model, of any size, dtype or device: `reference_from_model`;
- the same PEFT model without its adapter, or with another adapter: `reference_without_adapter`;
- columns of a file, as TRL writes them: `reference_from_columns`;
- none: `no_reference`.

`explain_start` in `first_loss` explains why a run does not start at u = v = 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dpofield.lab.batch import Batch
from dpofield.lab.logprobs import reference_logprobs
from dpofield.lab.model import CausalLM, model_device

_HALF = (torch.float16, torch.bfloat16)
# A sum of float32 log-probabilities near 0 may be positive by rounding.
_ROUNDING = 1e-4


def reference_from_model(model: CausalLM, pairs: Batch, *, share: bool | None = None) -> Tensor:
    """The log-probabilities of `pairs` under another model, which may be on another device.

    Both models need the same tokenizer. `share` as in `logprobs.logprobs`.
    """
    values = reference_logprobs(model, pairs.to(model_device(model)), share=share)
    return values.to(pairs.input_ids.device, torch.promote_types(values.dtype, torch.float32))


def reference_without_adapter(
    model: CausalLM, pairs: Batch, *, adapter: str | None = None, share: bool | None = None
) -> Tensor:
    """The log-probabilities of `pairs` under a PEFT model whose adapter is off.

    With the name of another `adapter` of the model (TRL's `ref_adapter_name`), this one is active
    instead. Errors as in `other_adapter`.
    """
    with other_adapter(model, adapter):
        return reference_from_model(model, pairs, share=share)


@contextmanager
def other_adapter(model: CausalLM, adapter: str | None = None) -> Iterator[None]:
    """Within the block, the model runs without any PEFT adapter, or with the one of this name.

    Afterwards, also after an exception, the same adapters are active, and the same parameters
    require a gradient. Raises `ValueError` for a model without adapters, an unknown name, and an
    adapter that is merged into the weights.
    """
    known = getattr(model, "peft_config", None)
    if not known:
        raise ValueError(
            f"{type(model).__name__} has no PEFT adapter to switch off: compute the reference "
            "with reference_logprobs(model, pairs) before training"
        )
    if adapter is not None and adapter not in known:
        raise ValueError(f"no adapter {adapter!r}: the model has {', '.join(known)}")
    # Layers of PEFT have a flag of this name; models of `transformers` have a method.
    layers: list[Any] = [
        m for m in model.modules() if isinstance(getattr(m, "disable_adapters", None), bool)
    ]
    if any(getattr(layer, "merged", False) for layer in layers):
        raise ValueError(
            "an adapter is merged into the weights, so it cannot be switched off exactly: call "
            "model.unmerge_adapter(), or load the base model as the reference"
        )
    trained = [(p, p.requires_grad) for p in model.parameters()]
    states = [(layer, layer.disable_adapters, list(layer.active_adapters)) for layer in layers]
    prompt: Any = model if getattr(known[next(iter(known))], "is_prompt_learning", False) else None
    before = prompt.active_adapter if prompt else None
    try:
        with ExitStack() as stack:
            for layer in layers:
                if adapter is not None:
                    layer.set_adapter([adapter])
                layer.enable_adapters(adapter is not None)
            if prompt and adapter is None:
                stack.enter_context(prompt.disable_adapter())
            elif prompt:
                prompt.set_adapter(adapter)
            yield
    finally:
        if prompt:
            prompt.set_adapter(before)
        for layer, off, active in states:
            layer.set_adapter(active)
            layer.enable_adapters(not off)
        for parameter, needs in trained:
            parameter.requires_grad_(needs)


def reference_from_columns(chosen: Sequence[Any], rejected: Sequence[Any], pairs: Batch) -> Tensor:
    """The reference from two columns of N log-probabilities in nats, in the order of the pairs.

    TRL calls them `ref_chosen_logps` and `ref_rejected_logps`. Raises `ValueError`, with column
    and row, for another number of rows, a value that is missing, nan, infinite or positive, a
    list of token log-probabilities, and a column in half precision.

    >>> from dpofield.lab.batch import encode
    >>> from dpofield.lab.pairs import Pair
    >>> from dpofield.lab.tokenizer import word_tokenizer
    >>> pairs = encode(word_tokenizer(), [Pair("soup :", "good .", "very good .")])
    >>> reference_from_columns([-3.5], [-4.25], pairs)
    tensor([-3.5000, -4.2500], dtype=torch.float64)
    """
    columns = {"ref_chosen_logps": chosen, "ref_rejected_logps": rejected}
    values = torch.cat([_column(name, x, len(pairs) // 2) for name, x in columns.items()])
    return values.to(pairs.input_ids.device)


def no_reference(pairs: Batch) -> Tensor:
    """The reference of a training without one: 0, so that u and v are log-probabilities."""
    return torch.zeros(len(pairs), device=pairs.input_ids.device)


def checked(reference: Tensor, pairs: Batch) -> Tensor:
    """The reference of N pairs without a graph, on their device, for `training.dpo`.

    Raises `ValueError` for another shape, half precision, and a value that is not finite.
    """
    n = len(pairs) // 2
    if reference.shape != (2 * n,):
        raise ValueError(
            f"reference has shape {tuple(reference.shape)}, the {n} pairs need ({2 * n},): "
            "use reference_logprobs(model, pairs)"
        )
    _require_precision("reference", reference.dtype)
    bad = (~torch.isfinite(reference)).nonzero().flatten().tolist()
    if bad:
        which = "preferred" if bad[0] < n else "dispreferred"
        raise ValueError(
            f"the reference log-probability of {which} {bad[0] % n} is {float(reference[bad[0]])} "
            f"({len(bad)} of {2 * n} values are not finite): compute it again, in float32"
        )
    return reference.detach().to(pairs.input_ids.device)


def _column(name: str, given: Sequence[Any], n: int) -> Tensor:
    dtype = getattr(given, "dtype", None)
    _require_precision(name, getattr(torch, str(dtype), dtype))
    try:
        values = torch.as_tensor(
            given if isinstance(given, Tensor) else np.array(list(given), dtype=np.float64),
            dtype=torch.float64,
            device="cpu",
        ).detach()
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} has a value that is not a number ({error}): give one log-probability per "
            "pair, the sum over the tokens of the response"
        ) from error
    if values.shape != (n,):
        raise ValueError(
            f"{name} has shape {tuple(values.shape)} and there are {n} pairs: give one sum per "
            "pair, of the same rows in the same order"
        )
    for bad, what in (
        (~torch.isfinite(values), "is missing or not finite: compute it again, or drop the pair"),
        (values > _ROUNDING, "is positive: give log pi, neither -log pi nor a probability"),
    ):
        if bool(bad.any()):
            row = int(bad.nonzero()[0])
            raise ValueError(f"{name}[{row}] = {float(values[row]):g} {what}")
    return values


def _require_precision(name: str, dtype: Any) -> None:
    if dtype in _HALF:
        step = 2.0**7 * torch.finfo(dtype).eps
        kind = str(dtype).removeprefix("torch.")
        raise ValueError(
            f"{name} is in {kind}, which rounds a log-probability of -200 to a multiple of "
            f"{step:g} nats: compute and save it in float32"
        )
    if isinstance(dtype, torch.dtype) and not dtype.is_floating_point:
        raise ValueError(f"{name} has {dtype} values: give log-probabilities in float32 or float64")
