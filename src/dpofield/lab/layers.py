"""Inner products of log-probability gradients, layer by layer, from one pass of many rows.

The rows of a batch do not interact, so one backward pass of the sum of their log-probabilities
gives, for every row, the gradient d with respect to the output of every layer. From d and the
layer's input, `rules` makes the terms of the row's gradient, and `outer` their inner products. The
results are exact up to rounding. `units` decides from which layers the terms are taken.

The cost is one forward and one backward pass, and the products of `outer`. The gradient of a row
with respect to all parameters is never stored: a parameter's terms are discarded as soon as its
products are added up. If a layer is called twice, or two layers share a weight, the weight has
several terms, and its gradient is their sum.

Rows that do not fit into one pass are read in several *blocks*. To have the products of all rows,
the terms of as many parameters as fit are kept until all blocks are read; then the blocks are read
again for the next parameters. A weight that is too large for this, such as that of a large
vocabulary, is done in slices.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Container, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge
from tqdm.auto import tqdm

from dpofield.lab import outer
from dpofield.lab.batch import Batch
from dpofield.lab.calls import Call, NotByLayersError, calls_of, edges, named
from dpofield.lab.logprobs import in_one_pass
from dpofield.lab.model import CausalLM
from dpofield.lab.outer import Form, Outer
from dpofield.lab.rules import matrix, terms
from dpofield.lab.units import Plan, Unit, evaluated, plan, trained

Take = Callable[[int, list[Outer]], None]

BUDGET = 3 * 2**29
"""Bytes that one pass takes by default, beside the model: its graph, and terms that are kept."""


class _StaleError(NotByLayersError):
    """A module whose rows were not tested, for want of a gradient, has one now."""


def grams(
    model: CausalLM,
    rows: Batch,
    group: int,
    *,
    metric: Sequence[Tensor] | None = None,
    form: Form | None = None,
    budget: int = BUDGET,
    progress: bool = False,
) -> Tensor:
    """Inner products of the rows' gradients within each `group` of consecutive rows.

    (R / group, group, group) float64 for R rows, on the model's device. `metric` has one tensor per
    trained parameter; `form` as in `outer.gram`; `budget` in bytes. Raises `NotByLayersError` (a
    `ValueError`) for a model that mixes rows.

    >>> from dpofield.lab.batch import encode
    >>> from dpofield.lab.model import small_gpt2
    >>> from dpofield.lab.tokenizer import word_tokenizer
    >>> from dpofield.lab.world import World
    >>> rows = encode(word_tokenizer(), World().pairs(3, seed=0))
    >>> grams(small_gpt2(seed=0), rows, 2).shape
    torch.Size([3, 2, 2])
    """
    parameters = list(trained(model).values())
    groups, device = len(rows) // max(1, group), next(model.parameters()).device

    def by(found: Plan) -> Tensor:
        total = torch.zeros(groups, group, group, dtype=torch.float64, device=device)

        def add(k: int, these: list[Outer], top: int, bottom: int) -> None:
            P = None if metric is None else matrix(metric[k])[top:bottom].to(these[0].right.device)
            total.add_(outer.gram(these, bottom - top, group, metric=P, form=form).to(device))

        blocks = _blocks(found, rows, budget)
        if len(blocks) == 1:
            _backward(model, rows, found, lambda k, t: add(k, t, 0, len(matrix(parameters[k]))))
            return total
        blocks = _blocks(found, rows, budget // 4)
        stages = list(_stages(found, rows, parameters, budget // 2))
        steps = [(stage, block) for stage in stages for block in blocks]
        bar = iter(tqdm(steps, desc="kernel", disable=not progress, leave=False, delay=1))
        for stage in stages:
            kept: dict[int, list[list[Outer]]] = {k: [] for k in stage}
            for _ in blocks:
                _, block = next(bar)
                here: dict[int, list[Outer]] = {}

                def keep(k: int, these: list[Outer], stage: Any = stage, here: Any = here) -> None:
                    here[k] = [outer.part(outer.compact(term), *stage[k]) for term in these]

                _backward(model, rows.rows(block), found, keep, stage)
                for k, parts in kept.items():
                    parts.append(here.get(k, []))
            for k, (top, bottom) in stage.items():
                if joined := outer.joined(kept.pop(k), blocks):
                    add(k, joined, top, bottom)
        return total

    return _planned(model, rows, by)


def projections(
    model: CausalLM, rows: Batch, direction: Sequence[Tensor], *, budget: int = BUDGET
) -> Tensor:
    """Inner product of each row's gradient with `direction`, one tensor per trained parameter.

    (R,) float64, on the model's device. Budget and errors as in `grams`.
    """
    device = next(model.parameters()).device

    def by(found: Plan) -> Tensor:
        total = torch.zeros(len(rows), dtype=torch.float64, device=device)
        for block in _blocks(found, rows, budget):
            index = block.to(device)

            def take(k: int, these: list[Outer], index: Tensor = index) -> None:
                along = matrix(direction[k]).to(these[0].right.device)
                total.index_add_(0, index, outer.project(these, along).to(device))

            _backward(model, rows.rows(block), found, take)
        return total

    return _planned(model, rows, by)


def capacity(model: CausalLM, rows: Batch, budget: int) -> int:
    """How many rows `grams` can take at a time without reading them twice."""
    if not len(rows):
        return 1
    found, width = plan(model, rows), rows.attention_mask.shape[1]
    if found.apart == "together":
        return found.rows(budget, width, _scored(rows))
    return max(1, int(budget / 2 / (width * sum(found.factors))))


def _planned(model: CausalLM, rows: Batch, by: Callable[[Plan], Tensor]) -> Tensor:
    """`by` of the plan, which is made a second time if it has become stale."""
    if not len(rows):
        return by(Plan())
    try:
        return by(plan(model, rows))
    except _StaleError:
        return by(plan(model, rows, anew=True))


def _scored(rows: Batch) -> int:
    """The number of columns for which a pass computes logits."""
    places = rows.attention_mask.cumsum(dim=1)
    first = places.where(rows.response_mask, places[:, -1:].amax())
    return int(places.amax() - first.amin()) + 2


def _blocks(found: Plan, rows: Batch, budget: int) -> list[Tensor]:
    """The row numbers of each pass, so that a pass takes at most `budget` bytes if it can."""
    lengths = rows.attention_mask.sum(dim=1).cpu()
    every = torch.arange(len(rows))
    size = found.rows(budget, int(lengths.max()), _scored(rows)) if len(rows) else 1
    if found.apart == "together" and size >= len(rows):
        return [every]
    if found.apart == "one by one":
        return list(torch.split(every, 1))
    ranked = lengths.argsort(stable=True)
    counts = [len(rows)]
    if found.apart == "equal lengths":
        counts = torch.unique(lengths, return_counts=True)[1].tolist()
    return [part for same in torch.split(ranked, counts) for part in torch.split(same, size)]


def _stages(
    found: Plan, rows: Batch, parameters: Sequence[Tensor], room: int
) -> Iterator[dict[int, tuple[int, int]]]:
    """Parameters whose terms fit into `room` bytes together, with the first and last rows of their
    matrices: all parameters, and all rows of each, occur once."""
    stage: dict[int, tuple[int, int]] = {}
    tokens, left = len(rows) * int(rows.attention_mask.sum(dim=1).max()), float(room)
    for k, (parameter, factor) in enumerate(zip(parameters, found.factors, strict=True)):
        height = len(matrix(parameter))
        # Terms of several blocks are copied into one tensor, a parameter or slice at a time.
        slices = min(height, max(1, math.ceil(factor * tokens / (room / 4))))
        step = math.ceil(height / slices)
        for top in range(0, height, step):
            if stage and (k in stage or factor * tokens / slices > left):
                yield stage
                stage, left = {}, float(room)
            stage[k] = top, min(height, top + step)
            left -= factor * tokens / slices
    yield stage


class _Recorder:
    """Collects the terms of trained parameters during a forward and a backward pass.

    When the backward pass has visited every call that uses a parameter, the parameter's terms are
    passed to `take` and discarded.
    """

    def __init__(self, model: CausalLM, found: Plan, take: Take, wanted: Container[int]) -> None:
        names = trained(model)
        self.numbers = {id(p): k for k, p in enumerate(names.values()) if k in wanted}
        self.names = {id(p): name for name, p in names.items() if id(p) in self.numbers}
        self.all = len(self.numbers) == len(names)
        self.units: dict[str, list[tuple[Unit, list[Tensor]]]] = defaultdict(list)
        for unit in found.units:
            if own := [p for n in unit.names if id(p := names[n]) in self.numbers]:
                self.units[unit.path].append((unit, own))
        self.take = take
        self.ends: list[tuple[Call, list[GradientEdge]]] = []  # outputs, as parts of the graph
        self.calls: dict[int, list[Call]] = {key: [] for key in self.names}
        self.terms: dict[int, list[Outer]] = {key: [] for key in self.names}
        self.ahead: dict[Call, set[int]] = {}  # outputs whose gradients are still to come

    def see(self, call: Call, out: list[Any]) -> None:
        """Note a call, and what to do when its outputs' gradients arrive."""
        units = self.units[call.path]
        split = units[0][0].split
        there = {i for i, y in enumerate(out) if y.requires_grad}
        # Whatever was split in the small pass must be divisible now.
        alike = [
            old or not new or call.rows == 1 for old, new in zip(call.split, split, strict=False)
        ]
        if not there or len(split) != len(call.split) or not all(alike):
            return  # `check` raises an error if the values depend on this call
        call.split = split
        if all(unit.rule for unit, _ in units):
            call.outputs = []  # only `replayed` compares them
        for p in (p for _, own in units for p in own):
            self.calls[id(p)].append(call)
        self.ends.append((call, [get_gradient_edge(out[i]) for i in there]))
        self.ahead[call] = there
        for i in list(there):

            def arrived(d: Tensor, i: int = i) -> None:
                call.gradients[i] = d
                there.discard(i)
                if not there:
                    self.visit(call)

            out[i].register_hook(arrived)

    def visit(self, call: Call) -> None:
        """Make the terms of a call whose gradients have arrived."""
        del self.ahead[call]
        for unit, own in self.units[call.path]:
            if not unit.tested and any(d is not None and bool(d.any()) for d in call.gradients):
                raise _StaleError(f"{named(call)} is not known to take gradients row by row")
            for p, term in zip(own, terms(unit.rule, call, own), strict=True):
                self.terms[id(p)].append(term)
        call.inputs, call.outputs, call.gradients = [], [], []
        for key in {id(p) for _, own in self.units[call.path] for p in own}:
            if not any(other in self.ahead for other in self.calls[key]):
                self.finish(key)

    def finish(self, key: int) -> None:
        if found := [term for term in self.terms.pop(key) if term.right.shape[1]]:
            self.take(self.numbers[key], found)

    def starts(self) -> list[GradientEdge]:
        """The outputs at which the backward pass ends, so that it reaches every call.

        They are detached from the recorder, because the graph and its hooks would otherwise form a
        reference cycle, which keeps them in memory.
        """
        ends, self.ends = self.ends, []
        # Calls within a module that is called again may depend on nothing but its own parameters.
        around = [call for call, _ in ends if call.begins and call.outputs]
        return [
            edge
            for call, edges in ends
            for edge in edges
            if call.begins or not self.all or any(other.made(call.first) for other in around)
        ]

    def check(self, values: Tensor) -> set[Call]:
        """The calls on which the values depend. Raises `NotByLayersError` if the graph uses a
        parameter outside the calls that were seen."""
        found = set()
        for edge in edges(values):
            key = id(getattr(edge.used, "variable", None))
            if key in self.names:
                within = [call for call in self.calls[key] if call.made(edge.user)]
                if not within:
                    name = self.names[key]
                    raise NotByLayersError(f"{name} is used in other ways than in the small pass")
                found.update(within)
        return found


def _backward(
    model: CausalLM, rows: Batch, found: Plan, take: Take, wanted: Container[int] | None = None
) -> None:
    """One forward and one backward pass of all rows; calls `take` once per parameter with terms.

    `wanted` has the numbers of the parameters that matter; by default all do.
    """
    if not len(rows):
        return
    wanted = range(len(found.factors)) if wanted is None else wanted
    recorder = _Recorder(model, found, take, wanted)
    modules = {path: model.get_submodule(path) for path in recorder.units}
    with evaluated(model):
        with calls_of(modules, len(rows), recorder.see):
            values = in_one_pass(model, rows)
        starts = recorder.starts()
        needed = recorder.check(values)
        if starts:
            # Gradients with respect to outputs of layers: the pass runs every hook and computes no
            # parameter gradient.
            torch.autograd.grad(values.sum(), starts, allow_unused=True)
        for call in list(recorder.ahead):
            if any(d is not None for d in call.gradients):
                recorder.visit(call)
            elif call in needed:
                raise NotByLayersError(f"no gradient reaches the output of {named(call)}")
        for key in list(recorder.terms):  # terms that wait for a call without effect
            recorder.finish(key)
