"""A tiny book in a temporary folder, built with the project's own tools."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
JUPYTER_BOOK = Path(sys.executable).with_name("jupyter-book")

PYPROJECT = """\
[project]
name = "dpofield"
version = "0"
dependencies = ["numpy>=2.0"]
[project.optional-dependencies]
book = ["jupyter-book>=1.0,<2"]
"""
CONFIG = """\
title: Tiny
only_build_toc_files: true
exclude_patterns: ["**/_build", "tools", "src"]
execute: {execute_notebooks: cache, timeout: 60}
html: {use_issues_button: false}
sphinx:
  extra_extensions: [ext.freshness]
  local_extensions: {tiny: tools}
"""
TOC = """\
format: jb-book
root: book/index
chapters: [{file: book/one}, {file: book/two}]
"""
CHAPTER = """\
---
kernelspec: {{name: python3, display_name: python3}}
file_format: mystnb
---
# Chapter {name}

Some prose.

```{{code-cell}} python
{code}
```
"""
ONE = """\
from dpofield.value import VALUE
open("../_build/RUNS", "a").write("one ")
print("the value is", VALUE)"""
# The file _build/ORDER selects an action, so that a test can disturb a running build.
TWO = """\
import time
from pathlib import Path
from dpofield.note import NOTE
open("../_build/RUNS", "a").write("two ")
order = Path("../_build/ORDER").read_text() if Path("../_build/ORDER").exists() else ""
if order == "edit":
    Path("../src/dpofield/note.py").write_text("NOTE = 'edited'")
if order == "wait":
    Path("../_build/STARTED").touch()
    time.sleep(50)
print("two is done", NOTE)"""
# Replaces the book's other extensions; can kill the build between two pages.
TINY_EXTENSION = """\
import os, signal
from pathlib import Path

def between_pages(app, pagename, *_):
    order = Path("_build/ORDER")
    if pagename == "book/one" and order.exists() and order.read_text() == "die":
        os.kill(os.getpid(), signal.SIGKILL)

def setup(app):
    app.connect("html-page-context", between_pages)
"""


@dataclass
class Tree:
    """The folder of a book, with methods that build it and read the results."""

    root: Path

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace ``old``, which must be there, in the file ``name``."""
        text = (self.root / name).read_text(encoding="utf-8")
        assert old in text, f"{old!r} is not in {name}"
        self.write(name, text.replace(old, new))

    def start(self, *command: str | Path) -> subprocess.Popen[str]:
        """Start a command in the tree, without our PYTHONPATH."""
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        return subprocess.Popen(
            [*map(str, command)],
            cwd=self.root,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, *command: str | Path) -> tuple[int, str]:
        """Run a command in the tree; return its exit code and its output."""
        process = self.start(*command)
        output, _ = process.communicate(timeout=600)
        return process.returncode, output

    def build(self, *options: str) -> tuple[int, str]:
        """Run the last step of ``make book``."""
        return self.run(sys.executable, "tools/build.py", *options)

    def jupyter_book(self) -> tuple[int, str]:
        """Build with Jupyter Book itself, without ``make book``."""
        return self.run(JUPYTER_BOOK, "build", ".")

    def page(self, name: str) -> str:
        """The built page of a chapter."""
        return (self.root / "_build" / "html" / f"{name}.html").read_text(encoding="utf-8")

    def runs(self) -> list[str]:
        """The chapters executed so far, in order."""
        return (self.root / "_build" / "RUNS").read_text().split()

    def mark(self) -> Path:
        return self.root / "_build" / "html.complete.json"


@pytest.fixture(scope="session")
def _built_book(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    tree = Tree(tmp_path_factory.mktemp("tiny"))
    (tree.root / "tools" / "ext").mkdir(parents=True)
    for name in ("build.py", "chapters.py", "fingerprint.py", "ext/freshness.py"):
        shutil.copy(ROOT / "tools" / name, tree.root / "tools" / name)
    tree.write("tools/tiny.py", TINY_EXTENSION)
    tree.write("pyproject.toml", PYPROJECT)
    tree.write("constraints.txt", "numpy\n")
    tree.write("_config.yml", CONFIG)
    tree.write("_toc.yml", TOC)
    tree.write("src/dpofield/__init__.py", "")
    tree.write("src/dpofield/sources.py", (ROOT / "src/dpofield/sources.py").read_text("utf-8"))
    tree.write("src/dpofield/value.py", "VALUE = 'first'\n")
    tree.write("src/dpofield/note.py", "NOTE = 'noted'\n")
    tree.write("src/dpofield/lab/__init__.py", "")
    tree.write("src/dpofield/lab/checkpoint.py", "print('checkpoint made')\n")
    tree.write("book/index.md", "# Tiny\n\nA page without code.\n")
    tree.write("book/one.md", CHAPTER.format(name="one", code=ONE))
    tree.write("book/two.md", CHAPTER.format(name="two", code=TWO))
    code, output = tree.build()
    assert code == 0, output
    return tree


@pytest.fixture
def tiny(_built_book: Tree, tmp_path: Path) -> Tree:
    """A tiny book that is built and current, for changes by one test."""
    shutil.copytree(_built_book.root, tmp_path / "tiny")
    return Tree(tmp_path / "tiny")
