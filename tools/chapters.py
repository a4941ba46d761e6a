"""Execute the book's chapters side by side into the cache that Jupyter Book reads."""

from __future__ import annotations

import os
import subprocess
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from myst_nb.core.read import is_myst_markdown_notebook, myst_nb_reader_plugin
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from sphinx_external_toc.parsing import parse_toc_yaml

KEPT_EXECUTIONS = 60  # in the cache, those of edited chapters too: undoing an edit is then free


@dataclass
class Chapter:
    """One page with code: its name in the table of contents, its cells, and what they cost."""

    name: str
    path: Path
    notebook: nbformat.NotebookNode
    seconds: float | None = None
    cpu_seconds: float | None = None
    peak_mb: float | None = None
    executed: bool = False


class ChapterError(Exception):
    """A chapter that did not run to its end; the text is its traceback."""

    def __init__(self, chapter: Chapter, report: str) -> None:
        super().__init__(report)
        self.chapter = chapter


class SourcesChangedError(Exception):
    """Something that the chapters depend on was edited while they ran."""


def read_chapters(root: Path) -> list[Chapter]:
    """Pages with code to execute, in the order of the table of contents.

    Notebooks as such (.ipynb) are left out: they are handed out unsolved, and would raise. Raises
    FileNotFoundError that names a page which _toc.yml lists and which is not there.
    """
    found = []
    for name in parse_toc_yaml(root / "_toc.yml"):
        if (root / f"{name}.ipynb").is_file():
            continue
        path = root / f"{name}.md"
        if not path.is_file():
            raise FileNotFoundError(f"_toc.yml lists {name}, but there is no {name}.md")
        if is_myst_markdown_notebook(path.read_text(encoding="utf-8")):
            found.append(Chapter(name, path, myst_nb_reader_plugin(str(path))))
    return found


def process_cost(pid: int) -> tuple[float | None, float | None]:
    """Processor seconds that a process has used and the most memory (MB) that it has had.

    Both are None where the system has no /proc.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        times = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return None, None
    (peak,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    user, system = times[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK"), float(peak) / 1000


def kernel_process(client: NotebookClient) -> subprocess.Popen[bytes] | None:
    """The process of a client's kernel, while it has one."""
    return getattr(getattr(client.km, "provisioner", None), "process", None)


@dataclass
class Executor:
    """Runs chapters in kernels of their own; each enters the cache as soon as it is done.

    ``still_fresh`` is asked before a chapter is stored: an output made while its sources were
    being edited belongs to no version of them.
    """

    cache_path: Path
    timeout: int
    still_fresh: Callable[[], bool]
    say: Callable[[str], None] = print
    running: list[NotebookClient] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cache: Any = get_cache(self.cache_path)
        self.cache.change_cache_limit(KEPT_EXECUTIONS)

    def split(self, chapters: list[Chapter]) -> list[Chapter]:
        """Return the chapters that have to run; note on the others what they once cost."""
        stale = []
        for chapter in chapters:
            try:
                record = self.cache.match_cache_notebook(chapter.notebook)
            except KeyError:
                stale.append(chapter)
            else:
                chapter.seconds = record.data.get("execution_seconds")
                chapter.cpu_seconds = record.data.get("cpu_seconds")
                chapter.peak_mb = record.data.get("peak_mb")
        return stale

    def execute(self, chapter: Chapter) -> Chapter:
        """Run one chapter; raises ChapterError with its traceback if a cell fails."""

        def note_cost(**_: object) -> None:
            process = kernel_process(client)
            if process is not None:
                chapter.cpu_seconds, chapter.peak_mb = process_cost(process.pid)

        client = NotebookClient(
            chapter.notebook,
            timeout=self.timeout,
            # Times in the cells' metadata would change the key under which the cache looks.
            record_timing=False,
            resources={"metadata": {"path": str(chapter.path.parent)}},
            on_cell_executed=note_cost,
            extra_arguments=["--log-level=ERROR"],  # not its warning that a local port is open
        )
        self.running.append(client)
        start = time.perf_counter()
        try:
            client.execute()
        except CellExecutionError as error:
            raise ChapterError(chapter, str(error)) from error
        except Exception as error:  # a time-out, or a kernel that died or never started
            raise ChapterError(chapter, traceback.format_exc()) from error
        finally:
            self.running.remove(client)
        chapter.seconds = time.perf_counter() - start
        chapter.executed = True
        return chapter

    def store(self, chapter: Chapter) -> None:
        """Put an executed chapter into the cache, unless its sources have changed since."""
        if not self.still_fresh():
            raise SourcesChangedError
        data = {
            "execution_seconds": chapter.seconds,  # the name that MyST-NB reads
            "cpu_seconds": chapter.cpu_seconds,
            "peak_mb": chapter.peak_mb,
        }
        bundle = CacheBundleIn(chapter.notebook, str(chapter.path), data=data)
        self.cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)

    def stop(self) -> None:
        """Kill the kernels that still run; the threads that wait for them then end."""
        for client in list(self.running):
            process = kernel_process(client)
            if process is not None:
                process.kill()

    def run(self, stale: list[Chapter], jobs: int) -> list[ChapterError]:
        """Execute ``stale`` with ``jobs`` kernels at a time; return what failed."""
        failures = []
        # Threads, since the work is done in the kernels; an interruption reaches this thread only.
        pool = ThreadPoolExecutor(max_workers=jobs)
        try:
            futures = [pool.submit(self.execute, chapter) for chapter in stale]
            for done, future in enumerate(as_completed(futures), 1):
                place = f"[{done}/{len(stale)}]"
                try:
                    chapter = future.result()
                except ChapterError as failure:
                    failures.append(failure)
                    self.say(f"{place} {failure.chapter.name} FAILED")
                else:
                    self.store(chapter)
                    self.say(f"{place} {chapter.name} {chapter.seconds:.1f} s")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            self.stop()
            raise
        pool.shutdown()
        return failures
