"""What happens inside of a forward pass: calls of modules, and uses of parameters in the graph.

Autograd numbers the nodes of the graph in the order in which they are made. So the numbers made
during a call of a module show which uses of a parameter belong to the call, also for a weight that
another module reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_leaves


class NotByLayersError(ValueError):
    """The gradients of single rows cannot be separated in one pass of several rows."""


_ZERO = torch.zeros((), requires_grad=True)


class Call:
    """One call of a module in a pass of R rows, with its inputs, outputs and their gradients.

    `split` says of each input and output whether its first dimension is divided among the rows: it
    has R entries, or R times the places of a row. What is not split belongs to all rows.
    """

    def __init__(
        self, path: str, module: nn.Module, rows: int, given: Any, out: Any, first: int
    ) -> None:
        self.path, self.module, self.rows = path, module, rows
        leaves, self.form = tree_flatten(given)
        self.inputs = [x.detach() if isinstance(x, Tensor) else x for x in leaves]
        self.outputs = [y.detach() for y in tensors(out)]
        self.gradients: list[Tensor | None] = [None] * len(self.outputs)
        self.versions = [x._version if isinstance(x, Tensor) else 0 for x in self.inputs]
        self.first_versions = [y._version for y in self.outputs]
        self.begins = not any(isinstance(x, Tensor) and x.requires_grad for x in leaves)
        self.first, self.last = first, now()
        self.split = [
            isinstance(x, Tensor) and x.dim() > 0 and len(x) > 0 and len(x) % rows == 0
            for x in [*self.inputs, *self.outputs]
        ]

    def made(self, number: int) -> bool:
        """Whether the node of this number was made during the call."""
        return self.first <= number < self.last

    def check_inputs(self) -> None:
        """Raise `NotByLayersError` if an input was changed in place after the call."""
        for x, version in zip(self.inputs, self.versions, strict=True):
            if isinstance(x, Tensor) and x._version != version:
                raise NotByLayersError(
                    f"an input of {named(self)} is changed in place after the call"
                )

    def by_row(self, x: Tensor) -> Tensor:
        """A split tensor, with one entry per row in its first dimension."""
        return x if len(x) == self.rows else x.reshape(self.rows, -1, *x.shape[1:])

    def inputs_of(self, row: int) -> list[Any]:
        """All inputs, those that are split without the other rows."""
        return [
            self.cut(x, row) if split else x
            for x, split in zip(self.inputs, self.split, strict=False)
        ]

    def cut(self, x: Tensor, row: int) -> Tensor:
        """The part of a split tensor that belongs to a row."""
        size = len(x) // self.rows
        return x[row * size : (row + 1) * size]


def named(call: Call) -> str:
    """The call's module, for messages."""
    return f"{call.path or 'the model'} ({type(call.module).__name__})"


def tensors(out: Any) -> list[Tensor]:
    """The tensors in the output of a module, in a fixed order."""
    leaves = [x if isinstance(x, Tensor) else getattr(x, "__dict__", x) for x in tree_leaves(out)]
    return [y for y in tree_leaves(leaves) if isinstance(y, Tensor)]


@contextmanager
def calls_of(
    modules: Mapping[str, nn.Module], rows: int, see: Callable[[Call, list[Tensor]], None]
) -> Iterator[None]:
    """Within the block, `see` gets every call of these modules, and the outputs with their graph.

    Inner calls come before the calls that contain them. `modules` has each module's path as key.
    """
    handles = []
    starts: dict[str, list[int]] = {path: [] for path in modules}
    for path, module in modules.items():

        def before(_: nn.Module, __: Any, path: str = path) -> None:
            starts[path].append(now())

        def after(m: nn.Module, args: Any, kw: Any, out: Any, path: str = path) -> None:
            call = Call(path, m, rows, (args, kw), out, starts[path].pop())
            see(call, tensors(out))

        handles.append(module.register_forward_pre_hook(before, prepend=True))
        handles.append(module.register_forward_hook(after, with_kwargs=True, prepend=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def now() -> int:
    """The number of the next node of the graph."""
    with torch.enable_grad():
        return int((_ZERO + 0).grad_fn._sequence_nr())  # type: ignore[union-attr]


class Edge(NamedTuple):
    """The node of number `user` uses this output of `used`, which may be a leaf of the graph."""

    user: int
    used: Any
    output: int


def edges(value: Tensor) -> Iterator[Edge]:
    """All edges of the graph of `value`."""
    ahead, seen = [value.grad_fn], {value.grad_fn}
    while ahead:
        node = ahead.pop()
        assert node is not None
        for used, index in node.next_functions:
            if used is None:
                continue
            if type(used).__name__ == "CheckpointFunctionBackward":
                raise NotByLayersError("a reentrant checkpoint hides the layers within it")
            yield Edge(node._sequence_nr(), used, index)
            if used not in seen:
                seen.add(used)
                ahead.append(used)
