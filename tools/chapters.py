"""The chapters: reading them, executing them side by side, and the cache of their outputs."""

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

KEPT_EXECUTIONS = 60  # in the cache, those of edited chapters too: undoing an edit is then free


@dataclass
class Chapter:
    """One page with code: its name in the table of contents, its cells, and what they cost.

    `data` has `execution_seconds` (the name that MyST-NB reads), `cpu_seconds` and `peak_mb`.
    """

    name: str
    path: Path
    notebook: nbformat.NotebookNode
    data: dict[str, float | None]
    executed: bool = False


def read_chapter(root: Path, name: str) -> Chapter | None:
    """The page `name` (as in the table of contents), or None if it has no code to execute.

    Notebooks as such (.ipynb) are not executed: they are handed out unsolved, and would raise.
    """
    path = root / f"{name}.md"
    if not path.is_file() or not is_myst_markdown_notebook(path.read_text(encoding="utf-8")):
        return None
    return Chapter(name, path, myst_nb_reader_plugin(str(path)), {})


def read_chapters(root: Path) -> list[Chapter]:
    """Pages with code to execute, in the order of the table of contents.

    Raises FileNotFoundError that names a page which _toc.yml lists and which is not there.
    """
    names = list(parse_toc_yaml(root / "_toc.yml"))
    for name in names:
        if not any((root / f"{name}{suffix}").is_file() for suffix in (".md", ".ipynb")):
            raise FileNotFoundError(f"_toc.yml lists {name}, but there is no {name}.md")
    return [chapter for name in names if (chapter := read_chapter(root, name))]


class Cache:
    """Outputs by the text of the cells, as Jupyter Book looks them up, each under a fingerprint.

    Beside each notebook that jupyter-cache keeps, a file says under which fingerprint it was made.
    It is written last and removed with the notebook, so a record without it was interrupted.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store: Any = get_cache(path)
        try:
            self.store.list_cache_records()
        except Exception:  # any damage whatever means that the cache must be filled anew
            self.clear()
        self.store.change_cache_limit(KEPT_EXECUTIONS)

    def clear(self) -> None:
        """Forget everything."""
        # What jupyter-cache makes, by name, and never the folder: a wrong path must cost nothing.
        shutil.rmtree(self.path / "executed", ignore_errors=True)
        for name in ("global.db", "__version__.txt"):
            (self.path / name).unlink(missing_ok=True)
        self.store = get_cache(self.path)

    def _folder(self, record: Any) -> Path:
        return self.path / "executed" / str(record.hashkey)

    def find(self, chapter: Chapter, fingerprint: str) -> bool:
        """Whether the chapter's outputs are there, and what they cost; stale ones are removed."""
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
        """Say under which fingerprint the chapter was executed, if it is there at all."""
        try:
            record = self.store.match_cache_notebook(chapter.notebook)
        except KeyError:
            return
        write_whole(self._folder(record) / "FINGERPRINT", fingerprint)


def process_cost(pid: int) -> tuple[float | None, float | None]:
    """Processor seconds that a process has used and the most memory (MB) that it has had.

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
    """Run a chapter in a kernel of its own; return the traceback if it fails, else nothing."""

    def note_cost(**_: object) -> None:
        process = getattr(getattr(client.km, "provisioner", None), "process", None)
        if process is not None:
            chapter.data["cpu_seconds"], chapter.data["peak_mb"] = process_cost(process.pid)

    client = NotebookClient(
        chapter.notebook,
        timeout=timeout,
        # Times in the cells' metadata would change the key under which the cache looks.
        record_timing=False,
        resources={"metadata": {"path": str(chapter.path.parent)}},
        on_cell_executed=note_cost,
        extra_arguments=["--log-level=ERROR"],  # not its warning that a local port is open
    )
    start = time.perf_counter()
    try:
        client.execute()
    except CellExecutionError as error:
        return str(error)
    except Exception:  # a time-out, or a kernel that died or never started
        return traceback.format_exc()
    chapter.data["execution_seconds"] = time.perf_counter() - start
    chapter.executed = True
    return ""


def side_by_side(
    chapters: Iterable[Chapter], jobs: int, timeout: int
) -> Generator[tuple[Chapter, str], None, None]:
    """Execute chapters, `jobs` at a time; yield each as it ends, with its traceback if it fails.

    To close the iterator ends the kernels that run.
    """
    # Threads, since the work is done in the kernels; an interruption reaches this thread only.
    # Jupyter-cache's `local-parallel` has fixed shares, no order and no number of jobs, and does
    # not end when it is interrupted.
    pool = ThreadPoolExecutor(max_workers=jobs)
    before = set(psutil.Process().children())
    try:
        futures = {pool.submit(execute, chapter, timeout): chapter for chapter in chapters}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for kernel in set(psutil.Process().children()) - before:
            kernel.kill()  # the thread that waits for it then ends
        raise
    pool.shutdown()
