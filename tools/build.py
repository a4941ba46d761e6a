"""Build the book: ``.venv/bin/python tools/build.py`` (the last step of ``make book``).

Makes the GPT-2 checkpoint, executes the stale chapters into the cache that Jupyter Book reads, and
lets Jupyter Book write the pages with warnings and nitpicks as errors. The build can be interrupted
at any point and started again: what is not whole is made anew.
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
            # An output made while its sources were edited belongs to no version of them.
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
        columns = (("execution_seconds", 7, 1), ("cpu_seconds", 11, 1), ("peak_mb", 7, 0))
        cost = [(chapter.data.get(name), w, d) for name, w, d in columns]
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
