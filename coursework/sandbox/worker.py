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
    from coursework.sandbox import magics, wire
else:  # run as a script in the jail, where the package cannot be imported
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import magics
    import wire


def describe(error: BaseException, name: str) -> dict[str, Any]:
    """An error as data: its type if it is built in, its message, its line in the cell."""
    known = getattr(builtins, type(error).__name__, None) is type(error)
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == name]
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
    return {
        "type": type(error).__name__ if known else "an exception",
        "message": str(error)[:200],
        "line": lines[-1] if lines else line,
        "notebook": getattr(error, "notebook", False) is True,
    }


def run_cell(shell: magics.Shell, question: dict[str, Any]) -> dict[str, Any]:
    """Execute one cell; later cells can use its names."""
    return {"left_out": shell.run_cell(question["source"], question["name"])}


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
        "display": lambda *values, **options: None,
    }
    shell = names["get_ipython"] = magics.Shell(names)
    actions = {"value": value, "call": call, "grad": grad}
    wire.send(outlet, {"ready": True})
    while True:
        try:
            question = wire.receive(inlet)
        except EOFError:
            os._exit(0)
        try:
            if question["do"] == "cell":
                reply = run_cell(shell, question)
            else:
                reply = actions[question["do"]](names, question)
        except BaseException as error:  # student code may raise anything, also SystemExit
            told = describe(error, str(question.get("name")))
            reply = {"error": told, "left_out": shell.left_out}
        reply["token"] = question["token"]
        try:
            wire.send(outlet, reply)
        except wire.WireError:
            wire.send(outlet, {"token": question["token"], "error": {"type": "too much data"}})


if __name__ == "__main__":
    main()
