"""Which calls give the gradients of which parameters: decided on a small pass, for any model.

A *unit* is a module with the parameters whose gradients are taken from its calls. It is the layer
that owns them if a rule of `rules` holds for it. Otherwise it is the smallest module around all
uses of the parameters, if its rows do not interact. So the factors of LoRA are linear layers, but
under DoRA, where their product is normed, the unit is the adapted layer. A model whose rows
interact has no units.

The rows of the small pass are one row and the same tokens in other orders. Rows interact if the
log-probability of the first depends on what a layer returns for the others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge, saved_tensors_hooks

from dpofield.lab.batch import Batch
from dpofield.lab.calls import Call, Edge, NotByLayersError, calls_of, edges, named
from dpofield.lab.forward import Reading, reading
from dpofield.lab.logprobs import in_one_pass
from dpofield.lab.model import CausalLM
from dpofield.lab.rules import Rule, again_alone, candidates, close, holds, matrix, terms


@dataclass
class Unit:
    """A module, the rule for its calls (None: `replayed`), and the names of its parameters.

    `split` as in `Call`. `tested` is False if no gradient came to the module in the small pass, so
    that it is not known whether its rows interact.
    """

    path: str
    rule: Rule | None
    split: list[bool]
    tested: bool
    names: list[str] = field(default_factory=list)


@dataclass
class Plan:
    """The units of a model, and the memory that a row takes, in bytes.

    `graph`: the graph of one token; `logits`: the logits of one token; `replay`: whole gradients of
    one row; `factors`: those of each trained parameter, for one token. `width`: tokens of the row.
    `apart`: which rows one pass may read, as in `forward.reading`.
    """

    units: list[Unit] = field(default_factory=list)
    graph: float = 0.0
    logits: float = 0.0
    replay: float = 0.0
    factors: list[float] = field(default_factory=list)
    width: int = 0
    apart: Reading = "together"

    def rows(self, budget: float, width: int, scored: int) -> int:
        """How many rows of `width` tokens, with logits of `scored` tokens, one pass may have."""
        row = 1.25 * self.graph * width + 3 * self.logits * scored + self.replay
        return max(1, int(budget / max(1.0, row)))


_PLANS: WeakKeyDictionary[nn.Module, tuple[Any, Plan | str]] = WeakKeyDictionary()


def plan(model: CausalLM, rows: Batch, *, anew: bool = False) -> Plan:
    """The units of `model` for rows like these. Kept until its layers change, or `anew` is set.

    Raises `NotByLayersError` if there are none.
    """
    width, state = int(rows.attention_mask.sum(dim=1).max()), _state(model)
    known, found = _PLANS.get(model, (None, ""))
    if anew or known != state or (isinstance(found, Plan) and found.width < width):
        try:
            found = _made(model, rows)
        except NotByLayersError as why:
            found = str(why)
        _PLANS[model] = state, found
    if isinstance(found, str):
        raise NotByLayersError(found)
    return found


def trained(model: CausalLM) -> dict[str, Tensor]:
    """The parameters that require a gradient, by name; the kernel is summed over them."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def check_graph(model: CausalLM, values: Tensor) -> None:
    """Raise `ValueError` if these log-probabilities have no gradient."""
    if not values.requires_grad:
        raise ValueError(
            f"no gradient reaches the trained parameters of {type(model).__name__}: a layer after "
            "them is quantised, or computes without a graph"
        )


@contextmanager
def evaluated(model: nn.Module) -> Iterator[None]:
    """Within the block, all modules are in eval mode and not compiled.

    So there is no dropout, layers are not checkpointed, and their calls can be seen.
    """
    modules = list(model.modules())
    training = [module for module in modules if module.training]
    compiled = any(hasattr(m, "_orig_mod") or m._compiled_call_impl is not None for m in modules)
    for module in training:
        module.training = False
    try:
        with ExitStack() as stack, torch.enable_grad():
            if compiled:
                stack.enter_context(torch.compiler.set_stance("force_eager"))
            yield
    finally:
        for module in training:
            module.training = True


def _state(model: nn.Module) -> Any:
    """What the units depend on: layers, and which parameters are shared or frozen."""
    numbers: dict[int, int] = {}
    layers = tuple((path, type(module)) for path, module in model.named_modules())
    return layers, tuple(
        (name, p.shape, p.dtype, p.requires_grad, numbers.setdefault(id(p), len(numbers)))
        for name, p in model.named_parameters(remove_duplicate=False)
    )


def _made(model: CausalLM, rows: Batch) -> Plan:
    row = int(rows.attention_mask.sum(dim=1).argmax())
    real = rows.attention_mask[row]
    width = int(real.sum())
    copies = next(n for n in (3, 5, 7, 11, 13) if width % n)  # a width never looks like rows
    one = (rows.input_ids, rows.attention_mask, rows.response_mask)
    ids, real, scored = (x[row : row + 1, real].repeat(copies, 1) for x in one)
    for i in range(copies):
        ids[i] = ids[i].roll(i)
    probe = Batch(ids, real, scored)
    calls: list[Call] = []
    outputs: list[list[Tensor]] = []
    ends: list[GradientEdge] = []
    saved: dict[int, Tensor] = {}

    def see(call: Call, out: list[Any]) -> None:
        call.outputs = [y.clone() for y in call.outputs]  # some are changed in place later
        for i, y in enumerate(out):
            if y.requires_grad:
                y.register_hook(partial(call.gradients.__setitem__, i))
                ends.append(get_gradient_edge(y))  # before it is changed in place
        calls.append(call)
        outputs.append(out)

    def pack(x: Tensor) -> Tensor:
        # Without its graph, because a result that its own node saves would never be freed.
        alone = x.detach()
        saved[x.untyped_storage().data_ptr()] = alone
        return alone

    modules = dict(model.named_modules())
    with evaluated(model):
        with saved_tensors_hooks(pack, lambda x: x), calls_of(modules, copies, see):
            values = in_one_pass(model, probe)
        check_graph(model, values)
        apart = reading(model)
        search = _Search(model, modules, calls, outputs, values, ends)
        units = search.units()
        search.check(units, values)
    floats = [y for y in outputs[-1] if y.is_floating_point()]
    logits = max(floats, key=lambda y: y.numel(), default=values)
    held = {p.untyped_storage().data_ptr() for p in [*model.parameters(), *model.buffers()]}
    graph = sum(x.untyped_storage().nbytes() for at, x in saved.items() if at not in held)
    sizes = {name: p.numel() * p.element_size() for name, p in search.trained.items()}
    return Plan(
        units,
        graph / (copies * width),
        logits.shape[-1] * max(4, logits.element_size()),
        max((sum(sizes[n] for n in u.names) for u in units if u.rule is None), default=0),
        [search.factors[id(p)] / (copies * width) for p in search.trained.values()],
        width,
        apart,
    )


class _Search:
    """Units, from the calls of all modules in the small pass."""

    def __init__(
        self,
        model: CausalLM,
        modules: Mapping[str, nn.Module],
        calls: list[Call],
        outputs: list[list[Tensor]],
        values: Tensor,
        ends: list[GradientEdge],
    ) -> None:
        self.modules, self.trained = modules, trained(model)
        self.calls: dict[str, list[Call]] = defaultdict(list)
        self.nodes: dict[int, list[Any]] = {}
        for call, out in zip(calls, outputs, strict=True):
            self.calls[call.path].append(call)
            self.nodes[id(call)] = [(y.grad_fn, y.output_nr) for y in out]
        self.edges: list[Edge] = list(edges(values))
        self.uses: dict[int, list[int]] = defaultdict(list)
        for edge in self.edges:
            if hasattr(edge.used, "variable"):
                self.uses[id(edge.used.variable)].append(edge.user)
        self.factors: dict[int, float] = defaultdict(float)  # bytes, per parameter
        self.found: dict[tuple[str, bool], Unit | None] = {}
        self.why: list[str] = []
        torch.autograd.grad(values[0], ends, allow_unused=True, retain_graph=True)

    def units(self) -> list[Unit]:
        owners: dict[int, list[str]] = defaultdict(list)
        for path, module in self.modules.items():
            for own in module._parameters.values():
                owners[id(own)].append(path)
        found: dict[int, Unit] = {}
        for name, p in self.trained.items():
            if id(p) not in self.uses:
                continue  # its gradient is zero
            for unit in self.of(name, p, owners[id(p)]):
                found[id(unit)] = unit
                unit.names.append(name)
        return list(found.values())

    def check(self, units: list[Unit], values: Tensor) -> None:
        """Compare what `replayed` gives for the first row with autograd's gradient."""
        names = [name for unit in units if unit.rule is None for name in unit.names]
        if not names:
            return
        parameters = [self.trained[name] for name in names]
        wanted = torch.autograd.grad(values[0], parameters)
        total = {name: torch.zeros_like(matrix(d)) for name, d in zip(names, wanted, strict=True)}
        for unit in units:
            own = [name for name in unit.names if name in total]
            for call in self.calls[unit.path] if own else []:
                if all(d is None for d in call.gradients):
                    continue
                found = terms(unit.rule, call, [self.trained[name] for name in own], 1)
                for name, term in zip(own, found, strict=True):
                    total[name] += term.dense(0, len(total[name]))
        for name, d in zip(names, wanted, strict=True):
            if not close(total[name], matrix(d), d.dtype):
                raise NotByLayersError(f"the layers around {name} have only a part of its gradient")

    def of(self, name: str, p: Tensor, owners: list[str]) -> list[Unit]:
        """The layers that own the parameter, or else the smallest module that can be a unit."""
        self.why = []
        steps = owners[0].split(".") if owners[0] else []
        around = [[".".join(steps[:n])] for n in reversed(range(len(steps)))]
        inner = {a for a in owners for b in owners if a != b and (not b or a.startswith(f"{b}."))}
        for paths in [[path for path in owners if path not in inner], *around]:
            calls = [
                c for path in paths for c in self.calls[path] if any(map(c.made, self.uses[id(p)]))
            ]
            if not all(any(c.made(use) for c in calls) for use in self.uses[id(p)]):
                self.why.append("it is used outside the layer that owns it")
                continue
            used = {c.path: [d for d in calls if d.path == c.path] for c in calls}
            units = [self.unit(path, p, these) for path, these in used.items()]
            if all(units):
                for unit, call in zip(units, (these[0] for these in used.values()), strict=True):
                    self.factors[id(p)] += _bytes(unit, call, p)  # type: ignore[arg-type]
                return units  # type: ignore[return-value]
        raise NotByLayersError(f"no gradient of single rows for {name}: {self.why[0]}")

    def unit(self, path: str, p: Tensor, calls: list[Call]) -> Unit | None:
        """The module as a unit for a parameter, if it can be one."""
        by_rule = self.rule(calls, p)
        key = path, by_rule is not None
        if key not in self.found:
            tested = all(any(d is not None and bool(d.any()) for d in c.gradients) for c in calls)
            split = calls[0].split
            alike = all(c.split == split for c in calls)
            good = (
                alike and all(map(self.apart, calls)) and (by_rule or all(map(self.alone, calls)))
            )
            self.found[key] = Unit(path, by_rule, split, tested) if good else None
        return self.found[key]

    def rule(self, calls: list[Call], p: Tensor) -> Rule | None:
        """A rule that holds for this parameter of the module, if there is one."""
        module = calls[0].module
        owned = any(q is p for q in module._parameters.values())
        plain = all(
            len(c.inputs) == len(c.outputs) == 1
            and c.split == [True, True]
            and sum(map(c.made, self.uses[id(p)])) == 1
            for c in calls
        )
        if not owned or not plain:
            return None
        rules, certain = candidates(module)
        return next((r for r in rules if certain or all(holds(r, c, p) for c in calls)), None)

    def apart(self, call: Call) -> bool:
        """Whether the first row depends only on what the call returns for the first row."""
        split = call.split[len(call.inputs) :]
        ways = [(d, s) for d, s in zip(call.gradients, split, strict=True) if d is not None]
        good = bool(ways) and all(s and not d[len(d) // call.rows :].any() for d, s in ways)
        if not good:
            self.why.append(f"{named(call)} does not take gradients row by row")
        return good

    def alone(self, call: Call) -> bool:
        """Whether the call can be repeated for single rows, and returns all that depends on it."""
        inside = {
            (edge.used, edge.output)
            for edge in self.edges
            if not call.made(edge.user) and call.made(edge.used._sequence_nr())
        }
        if not inside <= set(self.nodes[id(call)]):
            self.why.append(f"{named(call)} passes results on in other ways than by its output")
            return False
        try:
            again_alone(call, 0)
        except NotByLayersError as why:
            self.why.append(str(why))
            return False
        return True


def _bytes(unit: Unit, call: Call, p: Tensor) -> float:
    """What `outer.compact` keeps of a parameter's gradients, for all rows of the call."""
    whole = call.rows * p.numel() * max(4, p.element_size())
    if unit.rule is None:
        return whole
    factors = sum(x.numel() * max(4, x.element_size()) for x in (call.inputs[0], call.outputs[0]))
    return min(whole, factors)
