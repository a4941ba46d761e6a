"""The fingerprint of a chapter changes with each kind of dependency, and with nothing else."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import fingerprint as fp
import pytest
from chapters import read_chapters

PYPROJECT = '[project]\ndependencies = ["numpy>={}"]\n[project.optional-dependencies]\nbook = []\n'
PACKAGE = {
    "__init__.py": '"""A package."""\n',
    "formulas/__init__.py": "from dpofield.formulas.loss import loss\n",
    "formulas/loss.py": (
        '"""A loss."""\n\nSCALE = 2\n\n\ndef loss(x, beta=0.1):\n'
        '    """Says nothing at run time."""\n    return -SCALE * beta * x\n'
    ),
    "figures/__init__.py": "",
    "figures/drawn.py": (
        "from __future__ import annotations\n\nfrom typing import TYPE_CHECKING\n\n"
        "from dpofield.formulas import loss\n\nif TYPE_CHECKING:\n"
        "    from dpofield.typed import Typed\n\n\ndef draw(data: Typed):\n    return loss(1)\n"
    ),
    "typed.py": "class Typed: ...\n",
    "widgets/__init__.py": (
        "from importlib import import_module\nfrom typing import TYPE_CHECKING\n\n"
        "if TYPE_CHECKING:\n    from dpofield.widgets.player import Player\n"
        "    from dpofield.widgets.other import Other\n\n\ndef __getattr__(name):\n"
        "    return getattr(import_module(f'{__name__}.{name.lower()}'), name)\n"
    ),
    "widgets/player.py": "class Player:\n    run = 'example.json'\n",
    "widgets/other.py": "class Other: ...\n",
    "widgets/js/player.js": "export default 1;\n",
    "widgets/example.json": "{}\n",
    "ledger/__init__.py": (
        "import importlib\n\n\ndef run(name):\n"
        "    importlib.import_module(f'{__name__}.checks.{name}').check()\n"
    ),
    "ledger/checks/__init__.py": "",
    "ledger/checks/claim.py": "def check(): ...\n",
    "ledger/pages/claim.yml": "- id: claim\n",
    "lab/__init__.py": "",
    "lab/outer.py": "def run():\n    from .inner import start\n\n    return start()\n",
    "lab/inner.py": "def start():\n    return 1\n",
    "lab/recorded.py": "from pathlib import Path\n\nFOLDER = Path('..') / 'results'\n",
    "told.py": '"""Printed."""\n\n\ndef story():\n    """Told."""\n',
    "teller.py": "from dpofield.told import story\n\nTEXT = story.__doc__\n",
    "unused.py": "X = 1\n",
}
CELLS = {
    "draws": "from dpofield.figures.drawn import draw",
    "moves": "from dpofield.widgets import Player",
    "claims": "from dpofield import ledger",
    "trains": "import math\nfrom dpofield.lab.outer import run\nfrom dpofield.lab import recorded",
    "tells": "from dpofield.teller import TEXT",
}
FILES = {
    "pyproject.toml": PYPROJECT.format("2.0"),
    "constraints.txt": "numpy==2.0\n",
    "_config.yml": "title: T\n",
    "_toc.yml": "root: book/index\n",
    "README.md": "# Read me\n",
    "results/experiments/runs.parquet": "1\n",
    "results/audit.json": "{}\n",
    "book/data.csv": "1\n",
    "book/index.md": "# Page\n",
    "book/references.bib": "@misc{a}\n",
    "book/assets/picture.svg": "<svg/>\n",
    "tools/ext/theme.py": "from dpofield.typed import Typed\n",
    **{f"src/dpofield/{name}": text for name, text in PACKAGE.items()},
    **{
        f"book/{name}.md": f"# Page\n\n```{{code-cell}}\n:tags: [hide-input]\n\n{code}\n```\n"
        for name, code in CELLS.items()
    },
}
ALL = set(CELLS)
LOSS, DRAWN = "src/dpofield/formulas/loss.py", "src/dpofield/figures/drawn.py"
DRAW = "def draw(data: Typed):"

# Edit -> file, old text (None: a new file), new text, chapters whose fingerprint must change.
WAYS: dict[str, tuple[str, str | None, str, set[str]]] = {
    "a formula": (LOSS, "-SCALE * beta", "SCALE * beta", {"draws"}),
    "a constant": (LOSS, "SCALE = 2", "SCALE = 3", {"draws"}),
    "a default argument": (LOSS, "beta=0.1", "beta=0.2", {"draws"}),
    "a decorator": (LOSS, "def loss", "@staticmethod\ndef loss", {"draws"}),
    "a function of a figure": (DRAWN, "loss(1)", "loss(2)", {"draws"}),
    "a package's __init__": ("src/dpofield/figures/__init__.py", "", "X = 1\n", {"draws"}),
    "the root's __init__": ("src/dpofield/__init__.py", '"""A', 'X = 1\n"""A', ALL),
    "a module imported inside a function": ("src/dpofield/lab/inner.py", "1", "2", {"trains"}),
    "a widget imported lazily": (
        "src/dpofield/widgets/player.py", "class Player:", "class Player(dict):", {"moves"}
    ),
    "a JavaScript file": ("src/dpofield/widgets/js/player.js", "1", "2", {"moves"}),
    "a new style sheet": ("src/dpofield/widgets/js/player.css", None, "a {}\n", {"moves"}),
    "data of the package": ("src/dpofield/widgets/example.json", "{}", "[]", {"moves"}),
    "the ledger's text": ("src/dpofield/ledger/pages/claim.yml", "claim", "other", {"claims"}),
    "a ledger's check": ("src/dpofield/ledger/checks/claim.py", "...", "assert 0", {"claims"}),
    "a new check": ("src/dpofield/ledger/checks/new.py", None, "X = 1\n", {"claims"}),
    "a recorded table": ("results/experiments/runs.parquet", "1", "2", {"trains"}),
    "data under book/": ("book/data.csv", "1", "2", ALL),
    "a module beside the chapters": ("book/math.py", None, "pi = 3\n", ALL),
    "the constraints": ("constraints.txt", "2.0", "2.1", ALL),
    "declared versions": ("pyproject.toml", "2.0", "2.1", ALL),
    "a submodule in an attribute's place": (
        "src/dpofield/formulas/loss/__init__.py", None, "loss = abs\n", {"draws"}
    ),
    "a package in a module's place": (
        "src/dpofield/lab/inner/__init__.py", None, "start = abs\n", {"trains"}
    ),
    "a docstring that is printed": ("src/dpofield/told.py", "Told", "Sold", {"tells"}),
    "a module that is no Python": (LOSS, "def loss(", "def loss((", {"draws"}),
    "the import of a cell": ("book/draws.md", "figures.drawn", "figures", {"draws"}),
    "a cell that may fail": ("book/moves.md", "hide-input", "raises-exception", {"moves"}),
    "nothing: a comment": (LOSS, "SCALE = 2", "SCALE = 2  # or 3", set()),
    "nothing: a comment in JavaScript": (
        "src/dpofield/widgets/js/player.js", "export", "// one\nexport", set()
    ),
    "nothing: a docstring": (LOSS, "nothing at", "not a thing at", set()),
    "nothing: the docstring of a module": (LOSS, '"""A loss', '"""The loss', set()),
    "nothing: layout": (DRAWN, DRAW, "\ndef draw(\n    data: Typed,\n):", set()),
    "nothing: a module that nobody imports": ("src/dpofield/unused.py", "1", "2", set()),
    "nothing: a widget on no page": ("src/dpofield/widgets/other.py", "...", "x = 1", set()),
    "nothing: an import for types": ("src/dpofield/typed.py", "...", "x = 1", set()),
    "nothing: the README": ("README.md", "Read", "Reread", set()),
    "nothing: results about the site": ("results/audit.json", "{}", "[]", set()),
    "nothing: settings": ("pyproject.toml", "[project]", "[tool.ruff]\n[project]", set()),
}  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The files of a small project."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def edit(tree: Path, name: str, old: str | None, new: str) -> None:
    """Replace ``old``, which must be there, by ``new``; None makes the file, "" appends to it."""
    path = tree / name
    if old is None:
        assert not path.exists()
        path.parent.mkdir(exist_ok=True)
        path.write_text(new)
    else:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1) if old else text + new)


def fingerprints(tree: Path) -> dict[str, str]:
    now = fp.Snapshot(tree)
    return {name: now.chapter(f"book/{name}") for name in CELLS}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


@pytest.mark.parametrize("way", WAYS)
def test_what_a_chapter_depends_on(tree: Path, way: str) -> None:
    """Protects: no page is older than its sources, and no chapter runs without need."""
    name, old, new, chapters = WAYS[way]
    before, state = fingerprints(tree), fp.Snapshot(tree).state()
    edit(tree, name, old, new)
    assert changed(before, fingerprints(tree)) == chapters
    assert ("execution" in changed(state, fp.Snapshot(tree).state())) == bool(chapters)


@pytest.mark.parametrize("name", ["src/dpofield/widgets/example.json", "book/data.csv"])
def test_data_count_by_name(tree: Path, name: str) -> None:
    """Protects: the name of a data file counts, not only its content."""
    before = fingerprints(tree)
    (tree / name).rename((tree / name).with_name("renamed.txt"))
    assert changed(before, fingerprints(tree))


def test_the_surroundings_count(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects: the versions of libraries and Python, and the kernel's variables, count."""
    seen = [fingerprints(tree)]
    with monkeypatch.context() as context:
        context.setattr(importlib.metadata, "version", lambda name: "99")
        seen.append(fingerprints(tree))
    with monkeypatch.context() as context:
        context.setattr(sys, "version_info", (3, 99, 0))
        seen.append(fingerprints(tree))
    environment = fp.kernel_environment(tree)
    with monkeypatch.context() as context:
        context.setattr(fp, "kernel_environment", lambda root: environment | {"NEW": "1"})
        seen.append(fingerprints(tree))
    for name in CELLS:
        assert len({each[name] for each in seen}) == len(seen)
    assert fingerprints(tree) == seen[0]


@pytest.mark.parametrize(
    "code",
    [
        "from dpofield import widgets as w",
        "import dpofield.widgets as w",
        "import dpofield.figures",
        "from dpofield.widgets import *",
        "from dpofield.widgets import Unknown",
        "%load_ext dpofield.widgets",
        "__import__('dpofield.widgets.other')",
        "import runpy; runpy.run_module('dpofield.widgets.other')",
        "import subprocess; subprocess.run(['python', '-m', 'dpofield.widgets.other'])",
        "eval('x')",
    ],
)
def test_where_the_modules_are_not_known_more_are_counted(tree: Path, code: str) -> None:
    """Protects: if the code may import any lazy name (by a star, a magic), all of them count."""
    (tree / "book/moves.md").write_text(f"# Page\n\n```{{code-cell}}\n{code}\n```\n")
    before = fingerprints(tree)
    edit(tree, "src/dpofield/widgets/other.py", "...", "x = 1")
    assert "moves" in changed(before, fingerprints(tree))


@pytest.mark.parametrize(
    ("name", "old", "part"),
    [
        ("book/index.md", "Page", "pages"),
        ("book/references.bib", "misc", "pages"),
        ("book/assets/picture.svg", "svg", "pages"),
        ("tools/ext/theme.py", "Typed", "site"),
        ("src/dpofield/typed.py", "...", "site"),
        ("_config.yml", "T", "site"),
        ("_toc.yml", "index", "site"),
    ],
)
def test_what_needs_no_execution(tree: Path, name: str, old: str, part: str) -> None:
    """Protects: an edit of text or tools makes the site stale, but not the outputs.

    A module of the package counts as a tool if an extension of Sphinx imports it.
    """
    before = fp.Snapshot(tree).state()
    edit(tree, name, old, "x")
    assert changed(before, fp.Snapshot(tree).state()) == {part}


def test_no_page_reads_what_is_written_about_the_site() -> None:
    """Protects: no chapter or module reads the files under results/ that are not hashed."""
    for folder in ("book", "src"):
        for path in fp.files_under(fp.ROOT / folder):
            for name in fp.WRITTEN_ABOUT_THE_SITE:
                assert Path(name).name.encode() not in path.read_bytes(), path


def test_cells_are_those_that_run() -> None:
    """Protects: the code that is hashed is the code that Jupyter Book executes."""
    for chapter in read_chapters(fp.ROOT):
        cells = [c.source for c in chapter.notebook.cells if c.cell_type == "code"]
        found = fp.chapter_code(chapter.path.read_text(encoding="utf-8"))
        assert ast.dump(ast.parse(found)) == ast.dump(ast.parse("\n".join(cells))), chapter.name


# Runs the import statements of each chapter, including those in functions, after removing the
# package from sys.modules; prints the modules of the package that are then imported.
RUN_IMPORTS = """\
import ast, json, sys

for name, code in json.load(sys.stdin).items():
    for module in [m for m in sys.modules if m.split(".")[0] == "dpofield"]:
        del sys.modules[module]
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            exec(ast.unparse(node))
    ours = [m for m, module in sys.modules.items() if m.split(".")[0] == "dpofield"
            and module.__spec__]  # a former name of a module has no file
    print(json.dumps([name, ours]))
"""


def test_the_closure_holds_all_that_is_imported() -> None:
    """Protects: the modules found in the syntax trees are a superset of those that Python runs."""
    now = fp.Snapshot()
    codes = {
        chapter.name: fp.chapter_code(chapter.path.read_text(encoding="utf-8"))
        for chapter in read_chapters(fp.ROOT)
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN_IMPORTS],
        input=json.dumps(codes),
        env=fp.kernel_environment() | {"PATH": "", "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    ran = dict(json.loads(line) for line in done.stdout.splitlines())
    assert ran.keys() == codes.keys()
    for name, modules in ran.items():
        found = now.sources.closure(fp.read_code(codes[name]))
        assert set(modules) <= found, f"{name}: {sorted(set(modules) - found)}"
        assert modules or "dpofield" not in codes[name], "nothing was imported"
