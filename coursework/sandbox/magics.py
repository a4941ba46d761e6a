"""IPython's own syntax as Python. Shell lines do not run, and of magics only those that time code.

A cell that is Python already stays as it is. IPython's transformer rewrites any other as calls of
``get_ipython()``, which `Shell` answers.
"""

from __future__ import annotations

import ast
import inspect
import re
from functools import cache
from types import CodeType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

RUN = ("capture", "prun", "time", "timeit")  # magics that run the Python code below or after them
# Magics that define no name, so an answer does not need them.
QUIET = (
    *("autoreload", "conda", "config", "env", "history", "load_ext", "matplotlib", "pinfo"),
    *("pinfo2", "pip", "precision", "psearch", "reload_ext", "time", "timeit", "who", "whos"),
)
LOOKS = re.compile(r"^\s*[%!?]|\?\s*;?\s*$|^\s*(>>>|In \[)|=\s*[%!]", re.M)


class Nothing(list[Any]):
    """The result of what was not run: an empty list, any attribute of which is nothing too."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self

    def __format__(self, spec: str) -> str:
        return ""


class Shell:
    """Replaces IPython's shell; `left_out` lists what it did not run in the cell `cell`."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.names = names
        self.cell = ""
        self.left_out: list[str] = []

    def __call__(self) -> Shell:
        return self

    def __getattr__(self, name: str) -> Any:
        return Nothing()

    def run_cell(self, source: str, cell: str) -> list[str]:
        """Execute a cell and wait for what it awaits; return what was left out."""
        self.cell, self.left_out = cell, []
        self._run(source)
        return self.left_out

    def _run(self, source: str) -> None:
        code = code_of(source, self.cell)
        result: Any = eval(code, self.names)
        if code.co_flags & inspect.CO_COROUTINE:
            event_loop().run_until_complete(result)

    def system(self, line: str) -> None:
        self.left_out.append(f"!{line}")

    def getoutput(self, line: str) -> Nothing:
        self.left_out.append(f"!{line}")
        return Nothing()

    def run_line_magic(self, magic: str, line: str) -> Any:
        if magic not in QUIET:
            self.left_out.append(f"%{magic} {line}".strip())
        if magic != "time":
            return Nothing()
        try:  # as in IPython, `x = %time f()` gives the value of f()
            code = compile(line.strip(), self.cell, "eval")
        except SyntaxError:
            return self._run(line)
        return eval(code, self.names)

    def run_cell_magic(self, magic: str, line: str, body: str) -> Any:
        if magic not in RUN:
            self.left_out.append(f"%%{magic} {line}".strip())
            return Nothing()
        if magic == "capture" and line[:1].isalpha():
            self.names[line.split()[0]] = Nothing()
        return self._run(f"\n{body}")  # the body keeps its line numbers


@cache
def event_loop() -> asyncio.AbstractEventLoop:
    """The event loop of this process, which a cell's tasks share."""
    import asyncio  # few cells need it, and each process starts anew

    return asyncio.new_event_loop()


def code_of(source: str, name: str) -> CodeType:
    """A cell as code. A SyntaxError has `notebook` set if the cell has IPython's syntax in it."""
    try:
        return _compiled(source, name)
    except SyntaxError:
        from IPython.core.inputtransformer2 import TransformerManager
    try:
        return _compiled(TransformerManager().transform_cell(source), name)
    except SyntaxError as error:
        error.notebook = LOOKS.search(source) is not None  # type: ignore[attr-defined]
        raise


def _compiled(source: str, name: str) -> CodeType:
    found: CodeType = compile(source, name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    return found
