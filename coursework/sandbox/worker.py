"""The student's process: runs the cells of one notebook and answers the grader's questions.

Student code can change everything in this process, so the grader trusts nothing here: an answer is
data, and the grader judges it in another process. Rebinding names of this module can only change
the student's own answers.
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
else:  # run as a script in the jail, where the package cannot be imported
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import wire


class Shell:
    """Replaces IPython's shell, so that ``get_ipython().run_line_magic(...)`` does nothing."""

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
    """An error as data: its type if it is built in, its message, its line in the cell."""
    known = getattr(builtins, type(error).__name__, None) is type(error)
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == name]
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
    return {
        "type": type(error).__name__ if known else "an exception",
        "message": str(error)[:200],
        "line": lines[-1] if lines else line,
    }


def run_cell(names: dict[str, Any], question: dict[str, Any]) -> dict[str, Any]:
    """Execute one cell; later cells can use its names."""
    exec(compile(without_magics(question["source"]), question["name"], "exec"), names)
    return {}


def value(names: dict[str, Any], question: dict[str, Any]) -> dict[str, Any]:
    """The value of a name that student code defined, as data."""
    return {"value": wire.encode(names[question["name"]])}


def call(names: dict[str, Any], question: dict[str, Any]) -> dict[str, Any]:
    """The result of a student's function, and its arguments after the call."""
    arguments = wire.decode(question["arguments"])
    options = wire.decode(question["options"])
    answer = names[question["name"]](*arguments, **options)
    return {"value": wire.encode(answer), "after": wire.encode(arguments)}


def floating(value: Any, kind: type) -> Iterator[Any]:
    """Every floating-point tensor in a value, in order, also those in lists."""
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from floating(item, kind)
    elif isinstance(value, kind) and value.is_floating_point():  # type: ignore[attr-defined]
        yield value


def grad(names: dict[str, Any], question: dict[str, Any]) -> dict[str, Any]:
    """The result of a function of tensors, and the derivatives of its sum by each argument."""
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
    # Before the first question, so that imports do not count as the student's time.
    for module in spec["modules"]:
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
        except BaseException as error:  # student code may raise anything, also SystemExit
            reply = {"error": describe(error, str(question.get("name")))}
        reply["token"] = question["token"]
        try:
            wire.send(outlet, reply)
        except wire.WireError:
            wire.send(outlet, {"token": question["token"], "error": {"type": "too much data"}})


if __name__ == "__main__":
    main()
