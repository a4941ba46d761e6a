"""What a room says is public: a program that reads the source finds it, and so does an import."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOMS = ("experiments", "lab", "widgets", "workbench")
SRC = Path(__file__).parents[1] / "src" / "dpofield"


def declared(room: str) -> dict[str, str]:
    """Public name -> module, by the imports that the source declares for readers of types."""
    tree = ast.parse((SRC / room / "__init__.py").read_text(encoding="utf-8"))
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


@pytest.mark.parametrize("room", ROOMS)
def test_public_names(room: str) -> None:
    """Each is the very object of the module that is declared, also once that module is imported;
    so no public name is that of a module of the room, which would hide it."""
    package = import_module(f"dpofield.{room}")
    modules = {path.stem for path in (SRC / room).iterdir() if path.suffix in (".py", "")}
    assert not modules & set(package.__all__)
    lazy = {n: m for n, m in declared(room).items() if n in package.__all__}
    eager = set(package.__all__) - set(lazy)
    assert all(name in vars(package) for name in eager)
    for name, module in lazy.items():
        assert module.startswith(f"dpofield.{room}.")
        assert getattr(package, name) is getattr(import_module(module), name)


@pytest.mark.parametrize("room", ROOMS)
def test_an_unknown_name(room: str) -> None:
    """It is an error that names it."""
    with pytest.raises(AttributeError, match="nothing"):
        _ = import_module(f"dpofield.{room}").nothing


@pytest.mark.parametrize(
    "code",
    [
        "from dpofield.lab import Pair, Recipe, Training, World",
        "from dpofield.experiments import Config, plan, recorded",
        "from dpofield.workbench import workbench",
    ],
)
def test_what_comes_without_torch(code: str) -> None:
    """The world, settings and recorded tables are there in a moment."""
    said = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint('torch' in sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said.stdout.split() == ["False"]
