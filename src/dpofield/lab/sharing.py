"""Whether a model computes the same numbers on a forest, and how it is made to.

No list of architectures decides. What cannot be seen in a short test is refused by what the object
is: wrappers other than adapters, prompts that are learned, compiled code, positions that depend on
the longest row, convolutions and recurrences. Everything else is tried once: a few random tokens
that branch at several depths, on a forest and row by row. Values and gradients must agree, and the
derivative of a row with respect to a token that it does not contain must be exactly 0. The answer
is kept for the model, with the state that it was found in: modules, modes, adapters, dtypes. It is
tried again when weights that were 0, nan or infinite have changed, since these hide what they do.

The trial changes no weight, gradient, mode or random state, and hooks of others do not see it.
"""

from __future__ import annotations

import math
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from dpofield.lab.attending import Way, attention_configs, attention_of, logprobs_on, replaced
from dpofield.lab.forest import Forest, plant
from dpofield.lab.forward import hooked_by_user, selects_places

# Per model and state: the answer, and the weights whose effect the trial could not show.
_Answers = dict[int, tuple[Way | None, list[Tensor]]]
_ANSWERS: WeakKeyDictionary[torch.nn.Module, _Answers] = WeakKeyDictionary()
_STATES = 16  # answers kept per model
_SEQUENTIAL = (torch.nn.modules.conv._ConvNd, torch.nn.RNNBase)
# How far values and gradients may differ by rounding, relative to their size.
_ROUNDING = {
    torch.float64: (1e-11, 1e-5),
    torch.float32: (1e-4, 1e-3),
    torch.float16: (1e-2, 0.1),
    torch.bfloat16: (5e-2, 0.3),
}
# The trial: tokens that each row shares with the first one, tokens per row, and in its prompt.
_SHARED, _LENGTH, _PROMPT = (12, 4, 6, 10, 0), 12, 4
_Found = tuple[Tensor, Tensor]
# Attributes of modules that change what is computed: of checkpointing, adapters and compilation.
_DECIDING = (
    "gradient_checkpointing", "_active_adapter", "_disable_adapters", "merged_adapters",
    "_compiled_call_impl",
)  # fmt: skip
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def way_of(model: Any) -> Way | None:
    """How the model attends on trees; None if it computes other numbers there, or if unknown."""
    inside = _inside(model)
    if inside is None:
        return None
    answers, state = _ANSWERS.setdefault(model, {}), _state(model)
    if state not in answers or not all(_hiding(answers[state][1])):
        if len(answers) >= _STATES:
            answers.clear()
        if _refused(model):
            answers[state] = None, []
        else:
            weights = list(model.parameters())
            hidden = [p for p, hides in zip(weights, _hiding(weights), strict=True) if hides]
            answers[state] = _try(model, inside), hidden
    return answers[state][0]


@torch.no_grad()
def _hiding(weights: list[Tensor]) -> list[bool]:
    """For each of the weights: whether all its numbers are 0, or one is nan or infinite."""
    sizes = map(float, torch._foreach_norm(weights, math.inf)) if weights else ()
    return [size == 0 or not math.isfinite(size) for size in sizes]


def _inside(model: Any) -> PreTrainedModel | None:
    """The model of `transformers` inside adapters of PEFT; None for any other object."""
    adapters = getattr(model, "peft_config", None) or {}
    for config in adapters.values():
        # These read virtual tokens, or look for words among the input ids.
        if config.is_prompt_learning or getattr(config, "alora_invocation_tokens", None):
            return None
    if hasattr(model, "get_base_model"):
        model = model.get_base_model()
    return model if isinstance(model, PreTrainedModel) else None


def _refused(model: torch.nn.Module) -> bool:
    """Whether something excludes trees that a trial with short rows may not show."""
    configs = attention_configs(model)
    kinds = {attention_of(c) for c in configs}
    ropes = [
        str(getattr(c, name, "")) for c in configs for name in ("rope_parameters", "rope_scaling")
    ]
    return (
        not configs
        or hooked_by_user(model)
        or selects_places(model)
        or any(p.is_meta for p in model.parameters())
        or not kinds <= {"sdpa", "eager"}
        # Most of these compute the softmax in float32, whose sums depend on the number of columns.
        or ("eager" in kinds and any(p.dtype == torch.float64 for p in model.parameters()))
        # These frequencies depend on the longest row, and this scale on the column.
        or any("dynamic" in rope or "longrope" in rope for rope in ropes)
        or any(getattr(c, "attn_temperature_tuning", False) for c in configs)
        or any(
            isinstance(m, _SEQUENTIAL) or m._compiled_call_impl is not None for m in model.modules()
        )
    )


def _state(model: torch.nn.Module) -> int:
    """What the answer depends on, as a hash."""
    parts: list[Any] = [torch.is_autocast_enabled(device) for device in ("cpu", "cuda")]
    parts.append(hooked_by_user(model))
    for module in model.modules():
        own, kind = vars(module), type(module)
        parts.append((id(module), kind, kind.forward, module.training, id(own.get("forward"))))
        if weights := own["_parameters"]:
            parts += [(w.dtype, w.device) for w in weights.values() if w is not None]
        parts += [str(own[name]) for name in _DECIDING if name in own]
        if "config" in own:
            parts += (attention_of(own["config"]), own["config"].__class__)
    return hash(tuple(parts))


def _try(model: torch.nn.Module, inside: PreTrainedModel) -> Way | None:
    """The first way in which the trial agrees with the model called row by row."""
    with _undisturbed(model):
        ids = _rows(inside)
        scored = torch.ones_like(ids, dtype=torch.bool)
        scored[:, :_PROMPT] = False
        forest = plant(ids, torch.ones_like(scored), scored)
        ways: list[Way] = []
        for own in (False, True):
            # Whatever the model raises here, it does not support this.
            with suppress(Exception):
                if found := _discovered(model, forest, own):
                    ways += [found, Way(own)]
        for way in ways:
            with suppress(Exception):
                rows, trees = _by_rows(model, inside, ids), _on_forest(model, inside, forest, way)
                if _agree(rows, trees, forest, model):
                    return way
    return None


def _rows(inside: PreTrainedModel) -> Tensor:
    """Token ids of the trial, (5, T), with different tokens on different branches if possible."""
    table, configs = inside.get_input_embeddings().weight, attention_configs(inside)
    special = {getattr(c, "pad_token_id", None) for c in configs}
    words = [i for i in range(min(len(table), 10**4)) if i not in special]
    longest = [getattr(c, "max_position_embeddings", None) or _LENGTH for c in configs]
    size = len(_SHARED), min(_LENGTH, *longest)
    new = np.resize(np.random.default_rng(0).permutation(words), size)
    rows = [np.concatenate([new[0, :n], new[i, n:]]) for i, n in enumerate(_SHARED)]
    return torch.from_numpy(np.stack(rows)).to(table.device)


@contextmanager
def _undisturbed(model: torch.nn.Module) -> Iterator[None]:
    """Within the block the model can be called with a graph, and calls leave no trace."""
    devices = {p.device for p in model.parameters() if p.device.type == "cuda"}
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(list(devices)))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        for module in model.modules():
            for name in _HOOKS:
                if kept := getattr(module, name):
                    setattr(module, name, OrderedDict())
                    stack.callback(setattr, module, name, kept)
        yield


def _discovered(model: torch.nn.Module, forest: Forest, own: bool) -> Way | None:
    """The way with the ends of the last layer; None if the model has another attention.

    An end is a module with weights that is called once, after the last attention, on all places.
    """
    attended: list[Any] = []
    began: dict[str, list[int]] = {}  # name of a module -> attentions before each of its calls
    fit: set[str] = set()

    def begin(name: str, *_: Any) -> None:
        began.setdefault(name, []).append(len(attended))

    def end(name: str, module: torch.nn.Module, args: tuple[Any, ...], out: Any) -> None:
        whole = [
            isinstance(x, Tensor) and x.dim() > 1 and x.shape[-2] == len(forest.input_ids)
            for x in (*args[:1], out)
        ]
        if whole == [True, True] and any(p.dim() > 1 for p in module.parameters()):
            fit.add(name)

    with ExitStack() as stack:
        for name, module in model.named_modules():
            hooks = (
                module.register_forward_pre_hook(partial(begin, name)),
                module.register_forward_hook(partial(end, name)),
            )
            for hook in hooks:
                stack.callback(hook.remove)
        logprobs_on(model, forest, Way(own), attended)
    late = [name for name, when in began.items() if when == [len(attended)]]
    outermost = [n for n in late if not any(n.startswith(f"{other}.") for other in late)]
    return Way(own, tuple(n for n in outermost if n in fit)) if attended else None


@contextmanager
def _inputs_of(inside: PreTrainedModel) -> Iterator[list[Tensor]]:
    """Within the block, the list receives the embedded tokens of each call of the model."""
    leaves: list[Tensor] = []

    def take(_: torch.nn.Module, args: Any, out: Tensor) -> Tensor:
        leaves.append(out.detach().requires_grad_())
        return leaves[-1].clone()

    hook = inside.get_input_embeddings().register_forward_hook(take)
    try:
        yield leaves
    finally:
        hook.remove()


def _by_rows(model: torch.nn.Module, inside: PreTrainedModel, ids: Tensor) -> _Found:
    """Log-probabilities (R,) of rows without padding, and derivatives (R, T, d) by their tokens."""
    with ExitStack() as stack:
        for module in model.modules():
            if vars(module).get("gradient_checkpointing"):
                stack.enter_context(replaced(module, "gradient_checkpointing", False))
        leaves = stack.enter_context(_inputs_of(inside))
        logits = model(input_ids=ids, use_cache=False).logits[:, _PROMPT - 1 : -1]
    logits = logits.float() if logits.dtype.itemsize < 4 else logits
    tokens = ids[:, _PROMPT:, None].to(logits.device)
    values = logits.log_softmax(-1).gather(-1, tokens)[..., 0].sum(1)
    (leaf,) = leaves
    return values.detach(), torch.autograd.grad(values.sum(), leaf)[0]


def _on_forest(model: torch.nn.Module, inside: PreTrainedModel, forest: Forest, way: Way) -> _Found:
    """The same on a forest: (R,), and derivatives (R, P, d) by its places."""
    with _inputs_of(inside) as leaves:
        values = logprobs_on(model, forest, way)
    (leaf,) = leaves
    slopes = [torch.autograd.grad(v, leaf, retain_graph=True)[0][0] for v in values]
    return values.detach(), torch.stack(slopes)


def _agree(rows: _Found, trees: _Found, forest: Forest, model: torch.nn.Module) -> bool:
    """Whether values and derivatives are equal, and exactly 0 for places of other paths."""
    kinds = {p.dtype for p in model.parameters()}
    kinds |= {torch.get_autocast_dtype(d) for d in ("cpu", "cuda") if torch.is_autocast_enabled(d)}
    near, nearly = map(max, zip(*(_ROUNDING[k] for k in kinds if k in _ROUNDING), strict=True))
    (values, slopes), (found, moved) = rows, trees
    if not bool(((found - values).abs() <= near * (1 + values.abs())).all()):
        return False
    seen = forest.sees().expand(len(forest.rows), -1, -1)
    for row in range(forest.size):
        mine = forest.place[forest.sequence == row]
        last = int(forest.home[mine[forest.depth[mine].argmax()]])
        at = divmod(last, forest.rows.shape[1])
        path = forest.rows[at[0]][seen[at]]
        off = torch.ones(len(forest.input_ids), dtype=torch.bool).index_fill(0, path.cpu(), False)
        if bool(moved[row][off.to(moved.device)].any()):
            return False
        right = slopes[row, : len(path)]
        gap = (moved[row][path.to(moved.device)] - right).norm()
        if not bool(gap <= nearly * right.norm()):
            return False
    return True
