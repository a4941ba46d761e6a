"""One forward pass of any causal language model, the same however the caller left the model.

`still` switches every kind of dropout off and keeps gradient checkpointing exact. `last_logits`
calls a model with the arguments that its `forward` has. `reading` decides from a model's modules
whether rows of different lengths may be read together.
"""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import CheckpointWrapper
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.pytorch_utils import Conv1D

# Modules that use their weights in the weights' own type. Norms are tried, and remembered here.
_PLAIN = (nn.Linear, nn.Embedding, nn.LayerNorm, Conv1D)
_NORMS: dict[type[nn.Module], bool] = {}
_LIMITS = ("max_position_embeddings", "n_positions", "max_seq_len")

Reading = Literal["together", "equal lengths", "one by one"]


@contextmanager
def still(model: Any) -> Iterator[None]:
    """Within the block `model` is in eval mode, also when the backward pass computes layers again.

    Afterwards every module has its own training flag again. A layer that a model in train mode
    checkpoints stays checkpointed, and gradients are those without checkpointing. Raises
    `ValueError` for a model that draws random numbers in eval mode, and for one in train mode that
    checkpoints its layers by code of its own.
    """
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    training = [module for module in modules if module.training]
    differentiated = bool(training) and torch.is_grad_enabled()
    recomputed = _recomputed(model, training) if differentiated else []
    own = [(layer, name, getattr(layer, name)) for layer, name in recomputed]
    before = _random_states(modules)
    for module in training:
        module.training = False
    for layer, name, _ in own:
        layer.training = True  # it asks its own flag whether to checkpoint; its parts are in eval
        setattr(layer, name, partial(_again_in_eval_mode, layer))
    hidden = any(hasattr(m, "_orig_mod") or m._compiled_call_impl is not None for m in modules)
    watched = differentiated and not hidden  # compiled code calls no hooks
    watch = register_module_forward_pre_hook(_Watch(model).see) if watched else None
    try:
        yield
    finally:
        if watch is not None:
            watch.remove()
        for layer, name, function in own:
            setattr(layer, name, function)
        for module in training:
            module.training = True
    if any(map(_differ, before, _random_states(modules))):
        raise ValueError(
            f"{_name(model)} draws random numbers even in eval mode, so its log-probabilities "
            "change from call to call: set every dropout to 0 (lab.model.prepared)"
        )


def last_logits(model: Any, ids: Tensor, lengths: Tensor, keep: int) -> Tensor:
    """The logits of the last `keep` columns of unpadded or right-padded rows, on their device.

    `ids` (R, T), `lengths` (R,) without padding; returns (R, keep, V), in float32 or float64. A
    causal model reads padding on the right after all that is scored, so no mask is needed.
    """
    for module in _dynamic_ropes(model):
        _forget_lengths(module)
    inner = _unwrapped(model)
    names = inspect.signature(inner.forward if isinstance(inner, nn.Module) else inner).parameters
    real = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
    inputs: dict[str, Any] = {
        "use_cache": False,
        "logits_to_keep": keep,
        "attention_mask": real.long(),
        "position_ids": (real.long().cumsum(dim=1) - 1).clamp(min=0),
    }
    # The mask only where it is required. Positions are the default ones, but one set per row,
    # because the kernel needs the gradient of a table of positions per row.
    default = {"attention_mask"}
    if _quantised(model):  # the scale of the output layer depends on the columns that it reads
        del inputs["logits_to_keep"]
    if prompt_tokens(model) or not _counts_from_zero(model):
        default.add("position_ids")
    inputs = {
        name: value
        for name, value in inputs.items()
        if name in names and (name not in default or names[name].default is inspect.Parameter.empty)
    }
    named = "input_ids" in names or any(p.kind is p.VAR_KEYWORD for p in names.values())
    found = model(input_ids=ids, **inputs) if named else model(ids, **inputs)
    logits: Tensor = found if isinstance(found, Tensor) else getattr(found, "logits", found)
    if not isinstance(logits, Tensor):
        logits = found["logits"] if isinstance(found, dict) else found[0]
    logits = logits[:, -keep:].to(ids.device)
    # Some families return float32 from a model in float64, and most half precision as it is.
    wide = logits.dtype == torch.float64 or _in_float64(model)
    return logits.double() if wide else logits.float()


def reading(model: Any) -> Reading:
    """Which rows one pass may read so that each row has the numbers that it has alone.

    Padding must not matter, which needs causal attention or a recurrence, and frequencies that do
    not depend on the longest row. Hooks of a user see rows without padding. In float64 rows are
    read together only if no part can compute in float32, where the last digits depend on what else
    is read: attention is `sdpa`, no layer is checkpointed, and all weights are in modules that keep
    float64. Layers that scale activations over all that they read, as in 8-bit quantisation, need
    one row at a time.
    """
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    inner = _unwrapped(model)
    causal = {m.is_causal for m in modules if hasattr(m, "is_causal")}
    recurrent = bool(getattr(inner, "_is_stateful", False))
    known = isinstance(inner, PreTrainedModel) and (causal == {True} or (recurrent and not causal))
    alike = known and not any(_rope_types(m) & {"dynamic", "longrope"} for m in modules)
    alike = alike and not selects_places(model) and not hooked_by_user(model)
    if _quantised(model):
        return "one by one"
    if not _in_float64(model):
        return "together" if alike else "equal lengths"
    attention = getattr(getattr(inner, "config", None), "_attn_implementation", None)
    plain = attention == "sdpa" and not recurrent and not any(m.training for m in modules)
    return "together" if alike and plain and all(map(_keeps_float64, modules)) else "one by one"


def as_exact_as_its_weights(model: Any) -> bool:
    """Whether no part of a model in float64 may compute in float32, as most RMSNorms do."""
    modules = model.modules() if isinstance(model, nn.Module) else ()
    return not _in_float64(model) or all(
        type(m) in _PLAIN
        or not (list(m.parameters(recurse=False)) or type(m).__name__.endswith("Norm"))
        for m in modules
    )


def _keeps_float64(module: nn.Module) -> bool:
    """Whether the module's own weights, if it has any, are used in float64."""
    own = list(module.parameters(recurse=False))
    kind = type(module)
    if not own:
        return True
    if any(p.dtype != torch.float64 or p.is_meta for p in own):
        return False
    if kind in _PLAIN:
        return True
    if not kind.__name__.endswith("RMSNorm") or len(own) != 1:
        return False
    if kind not in _NORMS:
        found, probe = [], copy.deepcopy(module)
        for gain in (1.0, 1.0 + 1e-10):
            next(probe.parameters()).data.fill_(gain)
            found.append(probe.forward(torch.ones_like(own[0].detach())))
        _NORMS[kind] = not torch.equal(*found)
    return _NORMS[kind]


def position_tables(model: Any) -> dict[nn.Embedding, int]:
    """The tables of learned positions of `model`, and how many positions each has."""
    inner, tokens = _unwrapped(model), token_table(model)
    config = getattr(inner, "config", None)
    limits = {getattr(config, name, None) for name in _LIMITS}
    found = {}
    for module in inner.modules() if isinstance(inner, nn.Module) else ():
        if isinstance(module, nn.Embedding) and module is not tokens:
            # Some families begin to count behind the padding row, or leave rows free.
            padding = -1 if module.padding_idx is None else module.padding_idx
            free = getattr(module, "offset", padding + 1)
            if limits & {module.num_embeddings, module.num_embeddings - free}:
                found[module] = module.num_embeddings - free
    return found


def longest_row(model: Any) -> int | None:
    """The context length in the model's configuration, which not every model needs."""
    config = getattr(_unwrapped(model), "config", None)
    return next((n for name in _LIMITS if (n := getattr(config, name, None))), None)


def token_table(model: Any) -> Any:
    """The input embedding of `model`; None if it has none that can be found."""
    try:
        return _unwrapped(model).get_input_embeddings()
    except (AttributeError, NotImplementedError):
        return None


def hooked(model: Any) -> bool:
    """Whether accelerate moves inputs and weights to their devices when modules are called."""
    modules = model.modules() if isinstance(model, nn.Module) else ()
    return any(hasattr(module, "_hf_hook") for module in modules)


def hooked_by_user(model: Any) -> bool:
    """Whether a part of the model has a forward hook of a user, which may change some columns."""
    modules = list(model.modules())[1:] if isinstance(model, nn.Module) else []
    hooks = [
        h for m in modules for d in (m._forward_hooks, m._forward_pre_hooks) for h in d.values()
    ]
    homes = {getattr(getattr(h, "func", h), "__module__", "").partition(".")[0] for h in hooks}
    return not homes <= {"transformers", "peft", "accelerate", "dpofield"}


def selects_places(model: Any) -> bool:
    """Whether attention reads only the best places, chosen among later ones too (DeepSeek V3.2)."""
    modules = model.modules() if isinstance(model, nn.Module) else ()
    return any("Indexer" in type(module).__name__ for module in modules)


def prompt_tokens(model: Any) -> int:
    """The number of learned prompt tokens that PEFT puts before every row."""
    if not isinstance(model, nn.Module):
        return 0
    configs = [getattr(module, "active_peft_config", None) for module in model.modules()]
    return max((getattr(c, "num_virtual_tokens", None) or 0 for c in configs if c), default=0)


def _counts_from_zero(model: Any) -> bool:
    tables = position_tables(model)
    return any(type(t) is nn.Embedding and t.padding_idx is None for t in tables)


def _unwrapped(model: Any) -> Any:
    """The model inside of a compiled, parallel or PEFT model."""
    while True:
        if isinstance(model, nn.parallel.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif hasattr(model, "_orig_mod"):
            model = model._orig_mod
        elif hasattr(model, "get_base_model"):
            model = model.get_base_model()
        else:
            return model


def _again_in_eval_mode(
    layer: nn.Module, function: Callable[..., Any], *args: Any, **kw: Any
) -> Any:
    """`function(*args)`, computed again by the backward pass, both times in eval mode.

    Without reentrance, because that loses gradients of inputs given by name and of frozen inputs.
    """

    def run(*args: Any, **kw: Any) -> Any:
        training = [module for module in layer.modules() if module.training]
        for module in training:
            module.training = False
        _Watch.known += 1
        try:
            return function(*args, **kw)
        finally:
            _Watch.known -= 1
            for module in training:
                module.training = True

    return checkpoint(run, *args, use_reentrant=False, preserve_rng_state=False, **kw)


class _Watch:
    """Finds modules that run within a checkpoint which `_again_in_eval_mode` does not handle."""

    known = 0

    def __init__(self, model: Any) -> None:
        self.model, self.hooks = model, _saving()

    def see(self, module: nn.Module, _: Any) -> None:
        """Called before each forward pass of a module."""
        changed = not torch.is_grad_enabled() or _saving() is not self.hooks
        if not _Watch.known and changed and _inside_a_checkpoint():
            raise ValueError(
                f"{_name(self.model)} is in train mode and checkpoints {type(module).__name__} by "
                "code of its own, which would draw dropout in the backward pass: call "
                "model.eval(), or model.activation_checkpointing_enable() of transformers"
            )


def _saving() -> Any:
    """The hooks that pack tensors for the backward pass; a checkpoint adds its own."""
    return torch._C._autograd._top_saved_tensors_default_hooks(True)


def _inside_a_checkpoint() -> bool:
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_globals.get("__name__") == "torch.utils.checkpoint":
            return True
    return False


def _recomputed(model: Any, modules: list[nn.Module]) -> list[tuple[nn.Module, str]]:
    """The layers that are checkpointed, and the attribute that holds the function for it."""
    if prompt_tokens(model):
        return []  # `transformers` drops a learned prefix in checkpointed layers
    found = [
        (m, "_gradient_checkpointing_func")
        for m in modules
        if isinstance(m, GradientCheckpointingLayer) and m.gradient_checkpointing
    ]
    return found + [(m, "checkpoint_fn") for m in modules if isinstance(m, CheckpointWrapper)]


def _in_float64(model: Any) -> bool:
    weights = model.parameters() if isinstance(model, nn.Module) else ()
    return any(weight.dtype == torch.float64 for weight in weights)


def _random_states(modules: list[nn.Module]) -> list[Tensor]:
    devices = {p.device for m in modules for p in m._parameters.values() if p is not None}
    found = [torch.get_rng_state()]
    return found + [torch.cuda.get_rng_state(d) for d in devices if d.type == "cuda"]


def _differ(a: Tensor, b: Tensor) -> bool:
    return not torch.equal(a, b)


def _name(model: Any) -> str:
    return type(_unwrapped(model)).__name__


def _quantised(model: Any) -> bool:
    modules = model.modules() if isinstance(model, nn.Module) else ()
    names = (type(module).__module__ for module in modules)
    return any("quant" in name or "bitsandbytes" in name for name in names)


def _rope_types(module: nn.Module) -> set[str]:
    kind = getattr(module, "rope_type", None)
    return (
        set(kind.values()) if isinstance(kind, dict) else {kind} if isinstance(kind, str) else set()
    )


def _dynamic_ropes(model: Any) -> list[Any]:
    modules = model.modules() if isinstance(model, nn.Module) else ()
    return [module for module in modules if "dynamic" in _rope_types(module)]


def _forget_lengths(rope: Any) -> None:
    """Undo the growth of dynamic frequencies, which would make a row depend on earlier calls."""
    kinds = [f"{kind}_" for kind in rope.rope_type] if isinstance(rope.rope_type, dict) else [""]
    for prefix in kinds:
        if hasattr(rope, f"{prefix}original_inv_freq"):
            first = getattr(rope, f"{prefix}original_inv_freq")
            held = getattr(rope, f"{prefix}inv_freq")
            setattr(rope, f"{prefix}inv_freq", first.to(held.device))
            if hasattr(rope, f"{prefix}max_seq_len_cached") or not prefix:
                setattr(rope, f"{prefix}max_seq_len_cached", rope.original_max_seq_len)
