"""Build the book: ``.venv/bin/python tools/build.py`` (the last step of ``make book``).

Makes the GPT-2 checkpoint, executes the stale chapters into the cache that Jupyter Book reads, and
lets Jupyter Book write the pages with warnings and nitpicks as errors. Nothing is believed before
it is whole, so the build can be interrupted at any point and started again.
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
from contextlib import contextmanager
from pathlib import Path

import yaml
from chapters import Chapter, Executor, SourcesChangedError, read_chapters
from fingerprint import ROOT, claim, disown, execution_fingerprint, kernel_environment, write_whole

BUILD = ROOT / "_build"
CACHE = BUILD / ".jupyter_cache"
COSTS = BUILD / "chapters.json"
SITE = BUILD / "html" / "index.html"


def say(text: str = "") -> None:
    """Print at once, so that progress shows through a pipe too."""
    print(text, flush=True)


@contextmanager
def sole_build() -> Iterator[None]:
    """Hold the build folder, so that two builds do not write the same files."""
    BUILD.mkdir(exist_ok=True)
    with (BUILD / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another build of this folder is running; waiting for it.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def cell_timeout() -> int:
    """Seconds one cell may take: the setting that Jupyter Book itself obeys."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    return int(config.get("execute", {}).get("timeout", 300))


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def longest_first(stale: list[Chapter]) -> list[Chapter]:
    """Order that keeps all kernels busy to the end: by the last known time, the unknown first.

    Of the unknown the last of the book comes first: that is where the laboratory stands.
    """
    try:
        known = json.loads(COSTS.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    return sorted(reversed(stale), key=lambda c: -known.get(c.name, float("inf")))


def make_checkpoint() -> None:
    """Train the small GPT-2's starting checkpoint, unless it is there already."""
    done = subprocess.run([sys.executable, "-m", "dpofield.lab.checkpoint"], cwd=ROOT)
    if done.returncode:
        raise SystemExit("The GPT-2 checkpoint could not be made (its own words are above).")


def execute(jobs: int, fresh: bool) -> list[Chapter]:
    """Bring the cache up to date; end the program with the tracebacks if a chapter fails."""
    try:
        chapters = read_chapters(ROOT)
    except FileNotFoundError as error:
        raise SystemExit(str(error)) from None
    fingerprint = execution_fingerprint()
    if fresh:
        disown(CACHE)
    if claim(CACHE, fingerprint):
        say("Every chapter has to run: there is no cache for these sources.")
    executor = Executor(CACHE, cell_timeout(), lambda: execution_fingerprint() == fingerprint, say)
    stale = longest_first(executor.split(chapters))
    if stale:
        make_checkpoint()
        say(f"Executing {len(stale)} of {len(chapters)} chapters, {jobs} at a time:")
    try:
        failures = executor.run(stale, jobs)
    except SourcesChangedError:
        disown(CACHE)
        raise SystemExit("Sources changed while the chapters ran; run `make book` again.") from None
    costs = {c.name: c.seconds for c in chapters if c.seconds is not None}
    write_whole(COSTS, json.dumps(costs, indent=1))
    for failure in failures:
        say(f"\n===== {failure.chapter.name}.md =====\n{failure}")
    if failures:
        names = ", ".join(failure.chapter.name for failure in failures)
        raise SystemExit(f"The book was not built: {names} failed (tracebacks above).")
    return chapters


def write_pages() -> bool:
    """Run Jupyter Book, with every warning an error; return whether there was none."""
    command = ["jupyter-book", "build", ".", "-n", "-W", "--keep-going"]
    script = Path(sys.executable).with_name(command[0])
    return subprocess.run([script, *command[1:]], cwd=ROOT).returncode == 0


def table(chapters: list[Chapter]) -> str:
    """What each chapter cost: time, processor time and peak memory of its kernel.

    The processor time is what it takes on a machine that has nothing else to do.
    """
    width = max(len(chapter.name) for chapter in chapters)
    rows = [f"{'chapter':<{width}}  seconds  processor s  peak MB"]
    for chapter in chapters:
        cost = [(chapter.seconds, 7, 1), (chapter.cpu_seconds, 11, 1), (chapter.peak_mb, 7, 0)]
        cells = ["-".rjust(w) if value is None else f"{value:{w}.{d}f}" for value, w, d in cost]
        note = "" if chapter.executed else "(from the cache)"
        rows.append("  ".join([chapter.name.ljust(width), *cells, note]).rstrip())
    return "\n".join(rows)


def main() -> None:
    """Build the book, and say what each part of it took."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("--jobs", type=int, default=processors(), help="chapters at a time")
    parser.add_argument("--fresh", action="store_true", help="execute every chapter anew")
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
        raise SystemExit("Jupyter Book found errors (above); the pages are not to be trusted.")
    say(f"The book: {SITE.as_uri()}")
    say("Open it with `make serve`, or the file itself: it needs no server.")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(
            "\nInterrupted; what was finished is kept. Run it again to go on."
        ) from None
