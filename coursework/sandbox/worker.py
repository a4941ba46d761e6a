"""The student's process: runs the cells of one notebook and answers the grader's questions.

Everything here is in the student's reach, and nothing here is trusted: an answer is data, and the
grader judges it elsewhere. What a student gains by rebinding names of this module is a wrong
answer.
"""

from __future__ import annotations

import builtins
import importlib
import json
import os
import sys
import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coursework.sandbox import wire
else:  # started as a script, in a place where there is no package around it
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import wire


class Shell:
    """Stands in for IPython, so that a line such as ``%matplotlib inline`` does no harm."""

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **options: None


def without_magics(source: str) -> str:
    """A cell without lines that only IPython understands.

    >>> without_magics("%matplotlib inline\\nx = 1")
    'pass\\nx = 1'
    """
    lines = source.split("\n")
    return "\n".join("pass" if line[:1] in ("%", "!") else line for line in lines)


def describe(error: BaseException, name: str) -> dict[str, Any]:
    """An error as data: its type if it is one of Python's own, its words, its line in the cell."""
    known = getattr(builtins, type(error).__name__, None) is type(error)
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == name]
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
    return {
        "type": type(error).__name__ if known else "an exception",
        "message": str(error)[:200],
        "line": lines[-1] if lines else line,
    }


def run_cell(names: dict[str, Any], question: dict[str, Any]) -> dict[str, Any]:
    """Execute one cell; its names stay for the next."""
    exec(compile(without_magics(question["source"]), question["name"], "exec"), names)
    return {}


def value(names: dict[str, Any], question: dict[str, Any]) -> dict[str, Any]:
    """A name of the student's, as data."""
    return {"value": wire.encode(names[question["name"]])}


def call(names: dict[str, Any], question: dict[str, Any]) -> dict[str, Any]:
    """Call a function of the student's; also what is left of its arguments afterwards."""
    arguments = wire.decode(question["arguments"])
    options = wire.decode(question["options"])
    answer = names[question["name"]](*arguments, **options)
    return {"value": wire.encode(answer), "after": wire.encode(arguments)}


def floating(value: Any, kind: type) -> Iterator[Any]:
    """Every tensor of floating numbers in a value, in order, out of lists too."""
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from floating(item, kind)
    elif isinstance(value, kind) and value.is_floating_point():  # type: ignore[attr-defined]
        yield value


def grad(names: dict[str, Any], question: dict[str, Any]) -> dict[str, Any]:
    """Call a function of tensors; also the derivative of the sum of its output by each argument."""
    torch = importlib.import_module("torch")
    arguments = wire.decode(question["arguments"])
    leaves = list(floating(arguments, torch.Tensor))
    for leaf in leaves:
        leaf.requires_grad_()
    answer = names[question["name"]](*arguments, **wire.decode(question["options"]))
    grads = torch.autograd.grad(answer.sum(), leaves, allow_unused=True)
    return {"value": wire.encode(answer), "grads": wire.encode(list(grads))}


def main() -> None:
    """Answer questions until the pipe is closed."""
    spec = json.loads(sys.argv[1])
    inlet, outlet = spec["pipes"]
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silence, stream)
    for module in spec["modules"]:  # before the first question: loading is nobody's time
        importlib.import_module(module)
    if "torch" in spec["modules"]:
        sys.modules["torch"].set_num_threads(1)
    names: dict[str, Any] = {
        "__name__": "__main__",
        "get_ipython": Shell,
        "display": lambda *values, **options: None,
    }
    actions = {"cell": run_cell, "value": value, "call": call, "grad": grad}
    wire.send(outlet, {"ready": True})
    while True:
        try:
            question = wire.receive(inlet)
        except EOFError:
            os._exit(0)
        try:
            reply = actions[question["do"]](names, question)
        except BaseException as error:  # the student's code may raise anything, SystemExit too
            reply = {"error": describe(error, str(question.get("name")))}
        reply["token"] = question["token"]
        try:
            wire.send(outlet, reply)
        except wire.WireError:
            wire.send(outlet, {"token": question["token"], "error": {"type": "too much data"}})


if __name__ == "__main__":
    main()
