"""Lint our JavaScript, `python tools/lint.py`: syntax, ESLint's rules, and no typed mathematics.

The rules are in `tools/eslint.config.mjs`. The bundle of each figure is checked too, because only
there can a name be declared twice.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import node

ROOT = Path(__file__).resolve().parent.parent
OURS = ("src", "tools/assets", "tools/ext", "tools/eslint.config.mjs")


def eslint(*paths: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run ESLint on files and folders below `cwd`; its messages are in `stdout`.

    Raises `node.NodeError` if Node is missing or its packages cannot be installed.
    """
    modules = node.node_modules(dev=True)
    program = modules / "eslint" / "bin" / "eslint.js"
    config = Path(__file__).with_name("eslint.config.mjs")
    command: list[str | Path] = [
        node.node(),
        program,
        "--max-warnings=0",
        "--config",
        config,
        *paths,
    ]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


def bundles() -> dict[str, str]:
    """The module of every figure, and of the workbench's slider, by name."""
    from dpofield.widgets.demo import DEMOS
    from dpofield.workbench.slider import LogSlider

    return {name: figure()._esm for name, figure in DEMOS.items()} | {"slider": LogSlider._esm}


def syntax(text: str) -> str:
    """Node's syntax errors in the module `text`; empty if there are none."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "bundle.mjs")
        path.write_text(text, encoding="utf-8")
        return subprocess.run([node.node(), "--check", path], capture_output=True, text=True).stderr


def main() -> None:
    """Lint all JavaScript; exit with the errors."""
    done = eslint(*OURS)
    found = [done.stdout + done.stderr] if done.returncode else []
    found += [f"{name}: {words}" for name, text in bundles().items() if (words := syntax(text))]
    if found:
        sys.exit("\n".join(found))
    print("JavaScript: all checks passed")


if __name__ == "__main__":
    try:
        main()
    except node.NodeError as error:
        sys.exit(str(error))
