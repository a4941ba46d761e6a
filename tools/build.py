"""Build the book: ``.venv/bin/python tools/build.py`` (the last step of ``make book``).

Makes the GPT-2 checkpoint, executes the stale chapters into the cache that Jupyter Book reads, and
runs Jupyter Book with warnings and nitpicks as errors. The build can be interrupted at any point:
the next build makes every incomplete part again.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import yaml
from chapters import Cache, Chapter, read_chapters, side_by_side
from fingerprint import ROOT, Snapshot, kernel_environment, write_whole

BUILD = ROOT / "_build"
CACHE = BUILD / ".jupyter_cache"
COSTS = BUILD / "chapters.json"
SITE = BUILD / "html" / "index.html"


def say(text: str = "") -> None:
    """Print immediately, so that progress is visible through a pipe too."""
    print(text, flush=True)


@contextmanager
def sole_build() -> Iterator[None]:
    """Lock the build folder, so that two builds do not write the same files."""
    BUILD.mkdir(exist_ok=True)
    with (BUILD / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another build of this folder is running; waiting for it.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def cell_timeout() -> int:
    """Time limit per cell in seconds, from the setting that Jupyter Book uses."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    return int(config.get("execute", {}).get("timeout", 300))


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def longest_first(stale: list[Chapter]) -> list[Chapter]:
    """Sort chapters so that all kernels stay busy: unknown times first, then the longest.

    Without known times, the last chapter runs first, because the laboratory is late in the book.
    """
    try:
        known = json.loads(COSTS.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    return sorted(reversed(stale), key=lambda c: -known.get(c.name, float("inf")))


def make_checkpoint() -> None:
    """Train the small GPT-2's starting checkpoint, unless it exists."""
    done = subprocess.run([sys.executable, "-m", "dpofield.lab.checkpoint"], cwd=ROOT)
    if done.returncode:
        raise SystemExit("The GPT-2 checkpoint could not be made; see the error above.")


def execute(jobs: int, fresh: bool) -> list[Chapter]:
    """Bring the cache up to date; exit with the tracebacks if a chapter fails."""
    try:
        chapters = read_chapters(ROOT)
    except FileNotFoundError as error:
        raise SystemExit(str(error)) from None
    cache = Cache(CACHE)
    if fresh:
        cache.clear()
    now = Snapshot()
    fingerprints = {chapter.name: now.chapter(chapter.name) for chapter in chapters}
    stale = [c for c in chapters if not cache.find(c, fingerprints[c.name])]
    if stale:
        make_checkpoint()
        say(f"Executing {len(stale)} of {len(chapters)} chapters, {jobs} at a time:")
    failures = {}
    with closing(side_by_side(longest_first(stale), jobs, cell_timeout())) as ended:
        for number, (chapter, failure) in enumerate(ended, 1):
            # If sources were edited during the run, the output belongs to no version of them.
            if not failure and Snapshot().chapter(chapter.name) != fingerprints[chapter.name]:
                failure = "Sources changed while it ran; run `make book` again."
            if failure:
                failures[chapter.name] = failure
            else:
                cache.keep(chapter)
                cache.mark(chapter, fingerprints[chapter.name])
            cost = "FAILED" if failure else f"{chapter.data['execution_seconds']:.1f} s"
            say(f"[{number}/{len(stale)}] {chapter.name} {cost}")
    costs = {c.name: c.data.get("execution_seconds") for c in chapters}
    write_whole(COSTS, json.dumps({k: v for k, v in costs.items() if v is not None}, indent=1))
    for name, failure in failures.items():
        say(f"\n===== {name}.md =====\n{failure}")
    if failures:
        raise SystemExit(f"The book was not built: {', '.join(failures)} failed (see above).")
    return chapters


def write_pages() -> bool:
    """Run Jupyter Book with warnings as errors; return whether there were none."""
    command = ["jupyter-book", "build", ".", "-n", "-W", "--keep-going"]
    script = Path(sys.executable).with_name(command[0])
    return subprocess.run([script, *command[1:]], cwd=ROOT).returncode == 0


def table(chapters: list[Chapter]) -> str:
    """The cost of each chapter: time, processor time and peak memory of its kernel.

    The processor time is the time on an otherwise idle machine.
    """
    width = max(len(chapter.name) for chapter in chapters)
    rows = [f"{'chapter':<{width}}  seconds  processor s  peak MB"]
    for chapter in chapters:
        columns = (("execution_seconds", 7, 1), ("cpu_seconds", 11, 1), ("peak_mb", 7, 0))
        cost = [(chapter.data.get(name), w, d) for name, w, d in columns]
        cells = ["-".rjust(w) if value is None else f"{value:{w}.{d}f}" for value, w, d in cost]
        note = "" if chapter.executed else "(from the cache)"
        rows.append("  ".join([chapter.name.ljust(width), *cells, note]).rstrip())
    return "\n".join(rows)


def main() -> None:
    """Build the book, and print the time of each part."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("--jobs", type=int, default=processors(), help="chapters in parallel")
    parser.add_argument("--fresh", action="store_true", help="execute every chapter again")
    options = parser.parse_args()
    os.environ.update(kernel_environment())
    start = time.perf_counter()
    with sole_build():
        chapters = execute(options.jobs, options.fresh)
        executed = time.perf_counter()
        whole = write_pages()
    end = time.perf_counter()
    say(f"\n{table(chapters)}\n")
    say(
        f"Chapters {executed - start:.1f} s, pages {end - executed:.1f} s; "
        f"{end - start:.1f} s in all."
    )
    if not whole:
        raise SystemExit("Jupyter Book reported errors (see above); do not trust the pages.")
    say(f"The book: {SITE.as_uri()}")
    say("Open it with `make serve`, or open the file directly: it needs no server.")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(
            "\nInterrupted; finished work is kept. Run the command again to continue."
        ) from None
