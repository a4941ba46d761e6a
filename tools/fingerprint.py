"""Hashes of everything that a page depends on.

Jupyter-cache identifies a chapter by the text of its cells; it does not see what the cells import.
The fingerprint of a chapter covers everything else that can change an output: the modules that its
cells import, directly or indirectly, data, versions, and the environment variables of its kernel.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))  # this tree's package, as in the kernels

from dpofield.sources import Sources, read_code  # noqa: E402

# Only Sphinx reads these under book/, and it tracks their changes itself.
PAGE_SUFFIXES = {".md", ".ipynb", ".bib"}
PAGE_FOLDERS = {"assets"}
# Code can read a file or folder of the root by its name. These are excluded: the package, the book
# and the versions are hashed separately, and the others do not change outputs.
NOT_READ = {"src", "book", "tests", "tools", "_build", "pyproject.toml", "constraints.txt"}
# Made from the finished site or its figures, and read by no chapter (a test checks this).
WRITTEN_ABOUT_THE_SITE = {"results/audit.json", "results/response.json"}
SKIPPED_FOLDERS = {"__pycache__", ".ipynb_checkpoints", "node_modules"}
# Writes only its own files, with its own fingerprint, and no page.
WRITES_NO_PAGE = {"demos.py"}

CELL = re.compile(r"^ {0,3}(```+|~~~+)\{code-cell\}[^\n]*\n(.*?)^ {0,3}\1", re.M | re.S)
OPTIONS = re.compile(r"\A(?:---\n.*?^---\n|(?::[^\n]*\n(?:[ \t]+[^\n]*\n)*)+)", re.M | re.S)


def kernel_environment(root: Path = ROOT) -> dict[str, str]:
    """Environment variables of every chapter's kernel, however it is started.

    One thread per kernel, because chapters run in parallel and sums must not depend on the number
    of threads. This tree's ``src`` comes first, so that the hashed code is the code that runs.
    ``DPOFIELD_PAGE`` means that the page has no kernel (`dpofield.workbench`).
    """
    others = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    source = str(root / "src")
    return {
        "PYTHONPATH": os.pathsep.join([source, *(p for p in others if p != source)]),
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "DPOFIELD_PAGE": "static",
    }


def files_under(folder: Path) -> Iterator[Path]:
    """Every file below ``folder`` in a fixed order, without caches and hidden files."""
    for path in sorted(folder.rglob("*")) if folder.is_dir() else []:
        parts = path.relative_to(folder).parts
        hidden = any(
            p.startswith(".") or p in SKIPPED_FOLDERS or p.endswith(".egg-info") for p in parts
        )
        if path.is_file() and not hidden and path.suffix != ".pyc":
            yield path


def hash_files(paths: Iterable[Path], root: Path, *more: object) -> str:
    """SHA-256 over ``paths`` (names relative to ``root``, contents) and over ``more``."""
    digest = hashlib.sha256(json.dumps(more, sort_keys=True).encode())
    for path in paths:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(root).as_posix()}\0{content}\n".encode())
    return digest.hexdigest()


def declared_dependencies(root: Path = ROOT) -> dict[str, list[str]]:
    """Requirements in pyproject.toml by extra; ``""`` is the package itself."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras: dict[str, list[str]] = project["optional-dependencies"]
    return {"": project["dependencies"], **extras}


def installed_versions(requirements: Iterable[str]) -> dict[str, str]:
    """Installed version of each requirement; ``"-"`` if it is not installed."""
    versions = {}
    for requirement in requirements:
        found = re.match(r"[A-Za-z0-9._-]+", requirement)
        assert found, requirement
        try:
            versions[found.group()] = importlib.metadata.version(found.group())
        except importlib.metadata.PackageNotFoundError:
            versions[found.group()] = "-"
    return versions


def chapter_code(text: str) -> str:
    """The code of a chapter's cells, joined; empty for a page without code.

    A cell that loads a file, or may show a traceback, keeps its options. The result is then not
    valid Python, so the chapter depends on everything.
    """
    cells = []
    for _, cell in CELL.findall(text):
        options = OPTIONS.match(cell)
        if options and not re.search(r"\bload:|raises-exception", options.group()):
            cell = cell[options.end() :]
        cells.append(cell)
    return "\n".join(cells)


class Snapshot:
    """The current tree, with fingerprints of each chapter and of the whole site."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self.sources = Sources(root / "src" / "dpofield")
        dependencies = declared_dependencies(root)
        shown = [line for extra in ("", "notebook", "book") for line in dependencies.get(extra, ())]
        self.common = hash_files(
            [path for path in [root / "constraints.txt", *self._book_data()] if path.exists()],
            root,
            dependencies,
            installed_versions(shown),
            [platform.python_implementation(), *sys.version_info[:3]],
            [sys.platform, platform.machine()],
            {k: v for k, v in kernel_environment(root).items() if k != "PYTHONPATH"},
        )
        entries = [p.name for p in root.iterdir() if p.name[0] != "." and p.name not in NOT_READ]
        names = "|".join(map(re.escape, sorted(entries)))
        self.entry = re.compile(rf"(?<!\w)(?:{names})(?!\w)")
        self.hash_entry = cache(self._hash_entry)
        self.named = cache(self._named)

    def _book_data(self) -> list[Path]:
        """Files under ``book/`` that any cell may read; they count for every chapter."""
        book = self.root / "book"
        return [
            path
            for path in files_under(book)
            if path.suffix not in PAGE_SUFFIXES
            and not PAGE_FOLDERS & set(path.relative_to(book).parts)
        ]

    def _hash_entry(self, name: str) -> str:
        """Hash of a file in the root, or of all files in a folder there."""
        path = self.root / name
        files = [path] if path.is_file() else files_under(path)
        relevant = (
            f for f in files if f.relative_to(self.root).as_posix() not in WRITTEN_ABOUT_THE_SITE
        )
        return hash_files(relevant, self.root)

    def _named(self, strings: frozenset[str]) -> set[str]:
        """Files and folders of the root that one of these strings names."""
        return {name for string in strings for name in self.entry.findall(string)}

    def of_code(self, *sources: str) -> str:
        """Hash of everything these sources import, directly or indirectly, and of their data.

        Data outside the package counts if a string in the sources, or in a module that they
        import, names it: a string with ``results`` adds all of ``results/``.
        """
        codes = [read_code(source) for source in sources]
        modules = self.sources.closure(*codes)
        read = set[str]().union(
            *(self.named(code.strings) for code in [*codes, *map(self.sources.code, modules)])
        )
        data = {name: self.hash_entry(name) for name in sorted(read)}
        all_text = any(code.reads_text for code in codes)
        return hash_files([], self.root, self.sources.digest(modules, all_text), data)

    def chapter(self, name: str) -> str:
        """Fingerprint of the page ``name`` (as in the table of contents); empty without code."""
        path = self.root / f"{name}.md"
        code = chapter_code(path.read_text(encoding="utf-8")) if path.is_file() else ""
        return hash_files([], self.root, self.common, self.of_code(code)) if code else ""

    def site(self, pages_only: bool = True) -> str:
        """Hash of what affects every page: configuration, build tools, and their imports.

        Without ``pages_only``, the sources of other files of the site count too.
        """
        paths = [*files_under(self.root / "tools")]
        paths += [p for p in (self.root / "_config.yml", self.root / "_toc.yml") if p.exists()]
        extensions = [
            path.read_text(encoding="utf-8")
            for path in files_under(self.root / "tools" / "ext")
            if path.suffix == ".py" and not (pages_only and path.name in WRITES_NO_PAGE)
        ]
        return hash_files(paths, self.root, self.of_code(*extensions))

    def state(self) -> dict[str, str]:
        """Hashes of the sources of a site: executed code, tools, and text."""
        files = list(files_under(self.root / "book"))
        pages = [p.relative_to(self.root).with_suffix("") for p in files if p.suffix == ".md"]
        chapters = {page.as_posix(): self.chapter(page.as_posix()) for page in pages}
        return {
            "execution": hash_files([], self.root, chapters),
            "site": self.site(pages_only=False),
            "pages": hash_files(files, self.root),
        }


def mark_of(site: Path) -> Path:
    """File that exists while the site is complete, with the hashes of its sources."""
    return site.with_name(f"{site.name}.complete.json")


def why_not_current(root: Path = ROOT) -> str:
    """Why the built site is not current; empty if it is."""
    site = root / "_build" / "html"
    try:
        made_of = json.loads(mark_of(site).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "there is no finished site under _build/html"
    changed = [name for name, value in Snapshot(root).state().items() if made_of.get(name) != value]
    return f"the site was built before a change ({', '.join(changed)})" if changed else ""


def write_whole(path: Path, text: str) -> None:
    """Write ``text`` atomically: after an interruption the file is complete or unchanged."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
