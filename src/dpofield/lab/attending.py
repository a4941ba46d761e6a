"""How a causal model of `transformers` is made to attend along the paths of a forest.

The model is called as usual, with all P places as one sequence. A `Pass` holds what its attention
needs: while the pass is active, places are copied into attention rows, the model's own attention
function runs on these rows, and the results are copied back. So scaling, grouped heads, soft caps,
sinks and dropout are the model's own. Masks are made by the mask function of each layer, which gets
depths in the place of columns: a sliding window or a chunk is a window or a chunk on the path.

Nothing of this may leak. The pass belongs to one thread and to the modules of one model: everything
else that reads a replaced attribute gets the function that was there before. Recomputation in the
backward pass (gradient checkpointing) enters the pass again; a recomputation outside of it raises.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding, scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, causal_mask_function

from dpofield.lab.forest import Forest

_NAME = "dpofield-trees"
_ATTENTION = "_attn_implementation_internal"  # the setter without this ending changes subconfigs
_RECOMPUTE = "_gradient_checkpointing_func"
_PASS: ContextVar[Pass | None] = ContextVar("pass", default=None)
_LOCK = threading.Lock()
# (id of an object, attribute) -> [the object, the value before, how many passes replace it]
_REPLACED: dict[tuple[int, str], list[Any]] = {}


@dataclass(frozen=True)
class Way:
    """How a model attends on trees.

    `own` is true for a model that calls torch's attention without the interface of `transformers`.
    `ends` names the modules of the last layer that follow its attention and treat each place alone.
    """

    own: bool
    ends: tuple[str, ...] = ()


class Pass:
    """One call of a model on a forest; only `places` need the end of the last layer."""

    def __init__(self, model: torch.nn.Module, forest: Forest, places: Tensor, way: Way) -> None:
        self.forest, self.places, self.way = forest, places, way
        self.total = len(forest.input_ids)
        self.parts = [model.get_submodule(name) for name in way.ends]
        if len(places) >= 0.9 * self.total:
            self.parts = []
        modules = list(model.modules())
        self.modules = {id(m) for m in modules}
        self.configs = [] if way.own else attention_configs(model)
        self.layers = [m for m in modules if m.training and hasattr(m, _RECOMPUTE)]
        self.grad = torch.is_grad_enabled()
        self.attended: list[Any] = []  # the attention module of each call
        line = torch.arange(forest.rows.numel(), device=forest.rows.device)
        # If all trees have the same size, places are in the order of the rows and need no copy.
        self.in_line = len(forest.home) == len(line) and bool((forest.home == line).all())

    @contextmanager
    def active(self) -> Iterator[None]:
        """Within the block the model attends along paths."""
        if _PASS.get() is self:
            yield
            return
        with ExitStack() as stack:
            for config in self.configs:
                stack.enter_context(replaced(config, _ATTENTION, _NAME))
            for layer in self.layers:
                stack.enter_context(replaced(layer, _RECOMPUTE, partial(_recomputed, layer)))
            for part in self.parts:
                for hook in (
                    part.register_forward_pre_hook(self._narrow),
                    part.register_forward_hook(self._widen),
                ):
                    stack.callback(hook.remove)
            if self.way.own:
                stack.enter_context(_TorchAttention(self))
            stack.callback(_PASS.reset, _PASS.set(self))
            yield

    def attend(
        self,
        function: Callable[..., Any],
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
    ) -> Any:
        """`function(query, key, value, mask)` on attention rows: (1, heads, P, d) each.

        It returns (A, T, heads, d), perhaps with more; so does this method, for (1, P, heads, d).
        """
        if torch.is_grad_enabled() != self.grad:
            raise ValueError(
                "a part of the model is recomputed in the backward pass by code that trees do not "
                "know; use gradient_checkpointing_enable() of the model, or share=False"
            )
        height, width = self.forest.rows.shape
        if mask is not None and (mask.shape[0] not in (1, height) or mask.shape[-1] != width):
            raise ValueError(f"a mask of shape {tuple(mask.shape)} is not one of attention rows")
        states = [x.transpose(1, 2) for x in (query, key, value)]
        if self.in_line or len({x.shape[-1] for x in states}) > 1:
            states = [self._out(x) for x in states]
        else:  # one copy is faster than three
            moved = self._out(torch.cat(states, dim=2))
            states = list(torch.split(moved, [x.shape[2] for x in states], dim=2))
        if mask is not None:
            mask = mask.to(query.device, None if mask.dtype == torch.bool else query.dtype)
        found, *rest = function(*(x.transpose(1, 2) for x in states), mask)
        return self._back(found), *rest

    def mask(
        self, rule: Callable[..., Tensor], dtype: torch.dtype, *, needed: bool, reach: int | None
    ) -> Tensor | None:
        """Additive mask of the attention rows, or None where attention is causal and needs none."""
        if reach is not None and reach > int(self.forest.depth.max()):
            rule = causal_mask_function
        if rule is causal_mask_function:
            if self.forest.end is None and not needed:
                return None
            seen = self.forest.sees()
        else:
            zero = torch.zeros((), dtype=torch.long, device=self.forest.rows.device)
            seen = self.forest.sees(lambda q, k: rule(zero, zero, q, k))
        unseen = torch.full(seen.shape, -torch.inf, dtype=dtype, device=seen.device)
        return unseen.masked_fill_(seen, 0.0)[:, None]

    def _out(self, states: Tensor) -> Tensor:
        """(1, P, heads, d) to (A, T, heads, d)."""
        _, places, *last = states.shape
        rows = self.forest.rows
        if not self.in_line:
            # The backward pass of `embedding` adds up gradients in a fixed order, so that runs
            # are reproducible.
            states = embedding(rows.to(states.device), states.reshape(places, -1))
        return states.view(*rows.shape, *last)

    def _back(self, states: Tensor) -> Tensor:
        """(A, T, heads, d) to (1, P, heads, d)."""
        _, _, *last = states.shape
        if not self.in_line:
            home = self.forest.home.to(states.device)
            states = embedding(home, states.reshape(self.forest.rows.numel(), -1))
        return states.reshape(1, -1, *last)

    def _narrow(self, _: torch.nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if _PASS.get() is not self:
            return None
        return (args[0].index_select(-2, self.places.to(args[0].device)), *args[1:])

    def _widen(self, _: torch.nn.Module, args: Any, out: Tensor) -> Tensor | None:
        if _PASS.get() is not self:
            return None
        whole = out.new_zeros(*out.shape[:-2], self.total, out.shape[-1])
        return whole.index_copy(-2, self.places.to(out.device), out)


def logprobs_on(
    model: torch.nn.Module, forest: Forest, way: Way, attended: list[Any] | None = None
) -> Tensor:
    """log pi(response | prompt) of each row of the planted batch, in nats: (R,).

    In float32 at least. `attended`, if given, receives the attention module of each call.
    """
    places, slot = torch.unique(forest.place, return_inverse=True)
    now = Pass(model, forest, places, way)
    now.attended = [] if attended is None else attended
    with now.active():
        logits = model(
            input_ids=forest.input_ids[None],
            # Without a mask, `transformers` would take the depths for those of packed sequences.
            attention_mask=torch.ones_like(forest.input_ids)[None],
            position_ids=forest.depth[None],
            logits_to_keep=places,
            use_cache=False,
        ).logits[0]
    if logits.dtype.itemsize < 4:
        logits = logits.float()
    picked = logits.log_softmax(dim=-1)[slot.to(logits.device), forest.token.to(logits.device)]
    total: Tensor = picked.new_zeros(forest.size)
    return total.index_add(0, forest.sequence.to(logits.device), picked)


def attention_configs(model: torch.nn.Module) -> list[Any]:
    """The distinct configurations that modules of the model read their attention from."""
    found = {id(c): c for m in model.modules() if (c := vars(m).get("config")) is not None}
    return [c for c in found.values() if attention_of(c) is not None]


def attention_of(config: Any) -> str | None:
    """The attention that a configuration names, also while a pass replaces it."""
    name: str | None = _before(config, _ATTENTION)
    return name


def _before(holder: Any, name: str) -> Any:
    replaced = _REPLACED.get((id(holder), name))
    return replaced[1] if replaced else getattr(holder, name, None)


@contextmanager
def replaced(holder: Any, name: str, value: Any) -> Iterator[None]:
    """Within the block the attribute has this value; the last of several users restores it."""
    key = id(holder), name
    with _LOCK:
        entry = _REPLACED.setdefault(key, [holder, getattr(holder, name), 0])
        entry[2] += 1
        setattr(holder, name, value)
    try:
        yield
    finally:
        with _LOCK:
            entry[2] -= 1
            if not entry[2]:
                setattr(holder, name, entry[1])
                del _REPLACED[key]


def _attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **options: Any,
) -> Any:
    """The model's own attention on attention rows, with the signature of `transformers`."""
    own, now = _own_attention(module), _PASS.get()
    if now is None or id(module) not in now.modules:
        return own(module, query, key, value, attention_mask, **options)
    now.attended.append(module)
    mask = attention_mask
    if mask is None:
        needed = attention_of(module.config) != "sdpa"
        mask = now.mask(causal_mask_function, query.dtype, needed=needed, reach=None)
    return now.attend(lambda *states: own(module, *states, **options), query, key, value, mask)


def _own_attention(module: Any) -> Callable[..., Any]:
    """The attention function that the module would call without trees."""
    for kind in type(module).__mro__:
        space = vars(sys.modules[kind.__module__])
        if "ALL_ATTENTION_FUNCTIONS" in space:
            found: Callable[..., Any] = space["ALL_ATTENTION_FUNCTIONS"].get_interface(
                attention_of(module.config), space.get("eager_attention_forward")
            )
            return found
    raise ValueError(f"no attention function found for {type(module).__name__}")


def _mask(**options: Any) -> Tensor | None:
    """A mask function with the signature of `transformers`."""
    now, name = _PASS.get(), attention_of(options["config"])
    if now is None or options["q_length"] != now.total:
        mask: Tensor | None = ALL_MASK_ATTENTION_FUNCTIONS[name](**options)
        return mask
    return now.mask(
        options.get("mask_function", causal_mask_function),
        options["dtype"],
        needed=name != "sdpa" or not options.get("allow_is_causal_skip", True),
        reach=options.get("local_size"),
    )


AttentionInterface.register(_NAME, _attend)
AttentionMaskInterface.register(_NAME, _mask)


class _TorchAttention(TorchFunctionMode):
    """For models with their own attention code: torch's attention function, on attention rows."""

    def __init__(self, now: Pass) -> None:
        super().__init__()
        self._now = now

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is not scaled_dot_product_attention or _PASS.get() is not self._now:
            return func(*args, **kwargs)
        return self._attend(*args, **kwargs)

    def _attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        **options: Any,
    ) -> Tensor:
        now = self._now
        if attn_mask is not None:
            # The last place sees everything in a causal mask, and less in a window or with a bias.
            last = attn_mask[..., -1, :]
            is_causal = bool(last.all() if last.dtype == torch.bool else (last == 0).all())
        if not is_causal:
            raise ValueError("attention that is not causal, or more than that; give share=False")
        now.attended.append(None)
        mask = now.mask(causal_mask_function, query.dtype, needed=False, reach=None)

        def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> tuple[Tensor]:
            found = scaled_dot_product_attention(
                q, k, v, mask, dropout_p, is_causal=mask is None, **options
            )
            return (found.transpose(1, 2),)

        found, *_ = now.attend(attend, query, key, value, mask)
        return found.transpose(1, 2)  # type: ignore[no-any-return]


def _recomputed(layer: Any, function: Callable[..., Any], *args: Any) -> Any:
    """Gradient checkpointing of one layer, whose recomputation enters the pass again."""
    now = _PASS.get()
    if now is None or id(layer) not in now.modules:
        return _before(layer, _RECOMPUTE)(function, *args)

    def inside(*args: Any) -> Any:
        with now.active():
            return function(*args)

    return _before(layer, _RECOMPUTE)(inside, *args)
