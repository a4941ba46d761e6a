"""What a page depends on, as hashes, and caches that are believed under one such hash only.

Jupyter-cache knows a chapter by the text of its cells; it does not see the package that the cells
import, so a changed formula would leave a stale, green page. Here everything else that can change
an output is hashed, and a cache filled under another hash is emptied before it is read.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Under book/, these are read by Sphinx only, which watches them itself.
PAGE_SUFFIXES = {".md", ".ipynb", ".bib"}
PAGE_FOLDERS = {"assets"}
# Made from the finished site or its figures, and read by no chapter (a test looks).
WRITTEN_ABOUT_THE_SITE = {"results/audit.json", "results/response.json"}
SKIPPED_FOLDERS = {"__pycache__", ".ipynb_checkpoints", "node_modules"}


def kernel_environment(root: Path = ROOT) -> dict[str, str]:
    """Variables that every chapter is executed under, whoever starts its kernel.

    One thread a kernel, since chapters run side by side and sums must not depend on their number;
    the tree's own ``src`` first, so that the code which runs is the code which was hashed. And the
    page will have no kernel, so what needs one says so (`dpofield.workbench`).
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
        hidden = any(p.startswith(".") or p in SKIPPED_FOLDERS for p in parts)
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
    """Requirements named in pyproject.toml: ``""`` for the package itself, else by extra."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras: dict[str, list[str]] = project["optional-dependencies"]
    return {"": project["dependencies"], **extras}


def installed_versions(requirements: Iterable[str]) -> dict[str, str]:
    """Version that is installed of each requirement; ``"-"`` where there is none."""
    versions = {}
    for requirement in requirements:
        found = re.match(r"[A-Za-z0-9._-]+", requirement)
        assert found, requirement
        try:
            versions[found.group()] = importlib.metadata.version(found.group())
        except importlib.metadata.PackageNotFoundError:
            versions[found.group()] = "-"
    return versions


def execution_fingerprint(root: Path = ROOT) -> str:
    """Hash of all that a chapter's output depends on besides the chapter's own text.

    The package (the inputs of the GPT-2 checkpoint are in it), recorded results, data under
    ``book/``, the proven versions, those really installed, Python, and the kernels' environment.
    """
    data = [
        path
        for path in files_under(root / "book")
        if path.suffix not in PAGE_SUFFIXES
        and not PAGE_FOLDERS & set(path.relative_to(root / "book").parts)
    ]
    results = [
        path
        for path in files_under(root / "results")
        if path.relative_to(root).as_posix() not in WRITTEN_ABOUT_THE_SITE
    ]
    paths = [*files_under(root / "src" / "dpofield"), *results, *data]
    paths += [path for path in [root / "constraints.txt"] if path.exists()]
    dependencies = declared_dependencies(root)
    environment = {k: v for k, v in kernel_environment(root).items() if k != "PYTHONPATH"}
    return hash_files(
        paths,
        root,
        dependencies,
        installed_versions(dependencies[""]),
        [platform.python_implementation(), *sys.version_info[:3], sys.platform, platform.machine()],
        environment,
    )


def site_fingerprint(root: Path = ROOT) -> str:
    """Hash of what shapes a page besides its text and outputs: configuration and build tools."""
    paths = [*files_under(root / "tools"), root / "_config.yml", root / "_toc.yml"]
    return hash_files([path for path in paths if path.exists()], root)


def state(root: Path = ROOT) -> dict[str, str]:
    """All that a site is made of: one hash each for the outputs' sources, the site's, the text."""
    return {
        "execution": execution_fingerprint(root),
        "site": site_fingerprint(root),
        "pages": hash_files(files_under(root / "book"), root),
    }


def mark_of(site: Path) -> Path:
    """File that exists while the site in folder ``site`` is whole, and says of what it was made."""
    return site.with_name(f"{site.name}.complete.json")


def why_not_current(root: Path = ROOT) -> str:
    """Why the built site must not be taken for the book's present state; empty if it may."""
    site = root / "_build" / "html"
    try:
        made_of = json.loads(mark_of(site).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "there is no finished site under _build/html"
    changed = [name for name, value in state(root).items() if made_of.get(name) != value]
    return f"the site was built before a change ({', '.join(changed)})" if changed else ""


def write_whole(path: Path, text: str) -> None:
    """Write ``text`` so that a reader sees all of it or none, even after an interruption."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def claim(cache: Path, fingerprint: str) -> bool:
    """Empty ``cache`` unless it was filled under ``fingerprint``; return whether it was emptied.

    The mark goes first and comes back last, before anything is executed: whenever this is
    interrupted, the next call empties the cache again.
    """
    mark = cache / "FINGERPRINT"
    if mark.is_file() and mark.read_text(encoding="utf-8") == fingerprint and is_sound(cache):
        return False
    disown(cache)
    # What jupyter-cache makes, by name, and never the folder: a wrong path must cost nothing.
    shutil.rmtree(cache / "executed", ignore_errors=True)
    for name in ("global.db", "__version__.txt"):
        (cache / name).unlink(missing_ok=True)
    write_whole(mark, fingerprint)
    return True


def disown(cache: Path) -> None:
    """Let nobody believe ``cache`` any more."""
    (cache / "FINGERPRINT").unlink(missing_ok=True)


def is_sound(cache: Path) -> bool:
    """Whether every record in a jupyter-cache has its notebook, whole.

    Jupyter-cache enters the record first and then writes the notebook in place, so a build that
    was killed between the two leaves a record that is wrong.
    """
    from jupyter_cache import get_cache

    if not (cache / "global.db").exists():
        return True
    store = get_cache(cache)
    try:
        for record in store.list_cache_records():
            store.get_cache_bundle(record.pk)
    except Exception:  # any damage whatever means that the cache must be filled anew
        return False
    return True
