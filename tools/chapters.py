"""Read the chapters, execute them in parallel, and cache their outputs."""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import psutil
from fingerprint import write_whole
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.cache.db import NbCacheRecord
from myst_nb.core.read import is_myst_markdown_notebook, myst_nb_reader_plugin
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from sphinx_external_toc.parsing import parse_toc_yaml

KEPT_EXECUTIONS = 60  # includes earlier texts, so that undoing an edit needs no execution


@dataclass
class Chapter:
    """One page with code: its name in the table of contents, its cells, and their cost.

    `data` has `execution_seconds` (the name that MyST-NB reads), `cpu_seconds` and `peak_mb`.
    """

    name: str
    path: Path
    notebook: nbformat.NotebookNode
    data: dict[str, float | None]
    executed: bool = False


def read_chapter(root: Path, name: str) -> Chapter | None:
    """The page `name` (as in the table of contents), or None if it has no code to execute.

    Notebooks (.ipynb) are not executed: they are unsolved assignments, and would raise.
    """
    path = root / f"{name}.md"
    if not path.is_file() or not is_myst_markdown_notebook(path.read_text(encoding="utf-8")):
        return None
    return Chapter(name, path, myst_nb_reader_plugin(str(path)), {})


def read_chapters(root: Path) -> list[Chapter]:
    """Pages with code to execute, in the order of the table of contents.

    Raises FileNotFoundError with the name of a page that _toc.yml lists but that does not exist.
    """
    names = list(parse_toc_yaml(root / "_toc.yml"))
    for name in names:
        if not any((root / f"{name}{suffix}").is_file() for suffix in (".md", ".ipynb")):
            raise FileNotFoundError(f"_toc.yml lists {name}, but there is no {name}.md")
    return [chapter for name in names if (chapter := read_chapter(root, name))]


class Cache:
    """The outputs by the text of the cells, as in Jupyter Book, each with a fingerprint.

    Beside each notebook of jupyter-cache, a file holds the fingerprint under which it was executed.
    This file is written last and removed with the notebook; a record without it is incomplete.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store: Any = get_cache(path)
        try:
            self.store.list_cache_records()
        except Exception:  # after any damage, the cache must be filled again
            self.clear()
        self.store.change_cache_limit(KEPT_EXECUTIONS)

    def clear(self) -> None:
        """Remove all records."""
        # Removes only files of jupyter-cache, never the folder: a wrong path must do no harm.
        shutil.rmtree(self.path / "executed", ignore_errors=True)
        for name in ("global.db", "__version__.txt"):
            (self.path / name).unlink(missing_ok=True)
        self.store = get_cache(self.path)

    def _folder(self, record: Any) -> Path:
        return self.path / "executed" / str(record.hashkey)

    def find(self, chapter: Chapter, fingerprint: str) -> bool:
        """Whether current outputs exist; reads their cost, and removes stale outputs."""
        try:
            record = self.store.match_cache_notebook(chapter.notebook)
        except KeyError:
            return False
        mark = self._folder(record) / "FINGERPRINT"
        if mark.is_file() and mark.read_text(encoding="utf-8") == fingerprint:
            chapter.data = record.data
            return True
        shutil.rmtree(mark.parent, ignore_errors=True)
        NbCacheRecord.remove_records([record.pk], self.store.db)
        return False

    def keep(self, chapter: Chapter) -> None:
        """Store an executed chapter."""
        bundle = CacheBundleIn(chapter.notebook, str(chapter.path), data=chapter.data)
        self.store.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)

    def mark(self, chapter: Chapter, fingerprint: str) -> None:
        """Record the fingerprint under which a chapter in the cache was executed."""
        try:
            record = self.store.match_cache_notebook(chapter.notebook)
        except KeyError:
            return
        write_whole(self._folder(record) / "FINGERPRINT", fingerprint)


def process_cost(pid: int) -> tuple[float | None, float | None]:
    """Processor seconds and peak memory (MB) of a process.

    Both are None where the system has no /proc.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return None, None
    (peak,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system, float(peak) / 1000


def execute(chapter: Chapter, timeout: int) -> str:
    """Run a chapter in a new kernel; return the traceback if it fails, else an empty string."""

    def note_cost(**_: object) -> None:
        process = getattr(getattr(client.km, "provisioner", None), "process", None)
        if process is not None:
            chapter.data["cpu_seconds"], chapter.data["peak_mb"] = process_cost(process.pid)

    client = NotebookClient(
        chapter.notebook,
        timeout=timeout,
        # Times in the metadata of cells would change the key of the cache.
        record_timing=False,
        resources={"metadata": {"path": str(chapter.path.parent)}},
        on_cell_executed=note_cost,
        extra_arguments=["--log-level=ERROR"],  # hides its warning about an open local port
    )
    start = time.perf_counter()
    try:
        client.execute()
    except CellExecutionError as error:
        return str(error)
    except Exception:  # a timeout, or a kernel that crashed or did not start
        return traceback.format_exc()
    chapter.data["execution_seconds"] = time.perf_counter() - start
    chapter.executed = True
    return ""


def side_by_side(
    chapters: Iterable[Chapter], jobs: int, timeout: int
) -> Generator[tuple[Chapter, str], None, None]:
    """Execute chapters, `jobs` at a time; yield each as it ends, with its traceback if it fails.

    Closing the iterator ends the running kernels.
    """
    # Threads, because the kernels do the work; an interruption reaches only this thread.
    # The `local-parallel` executor of jupyter-cache has fixed chunks, no order and no number of
    # jobs, and does not stop on an interruption.
    pool = ThreadPoolExecutor(max_workers=jobs)
    before = set(psutil.Process().children())
    try:
        futures = {pool.submit(execute, chapter, timeout): chapter for chapter in chapters}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for kernel in set(psutil.Process().children()) - before:
            kernel.kill()  # then the thread that waits for it ends
        raise
    pool.shutdown()
