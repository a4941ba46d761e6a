"""Grading of a folder, in parallel processes, from where an earlier run ended.

Each result has a key, a hash of the notebook, the assignment, the variant, the seed and the grader;
a result with the same key is used again. A process that is killed costs only the submission that
it was working on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import multiprocessing
import os
import signal
import sys
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from coursework import master
from coursework.collect import Found, find
from coursework.grade import GRADED, Result, grade_found
from coursework.master import ROOT
from coursework.session import kill_all

_load = cache(master.load)


@dataclass(frozen=True)
class Job:
    """One submission to grade, and the key of its result."""

    found: Found
    name: str
    variant: int
    seed: str
    key: str

    def run(self) -> Result:
        """The result. Raises nothing."""
        result = grade_found(self.found, _load(self.name, self.variant), self.seed)
        return dataclasses.replace(result, key=self.key)

    def failed(self, reason: str) -> Result:
        """The result of a submission that could not be graded."""
        found = dataclasses.replace(self.found, path=None, reason=reason)
        return dataclasses.replace(self, found=found).run()


def jobs_of(folder: Path, name: str, variants: Sequence[int] = (0,), seed: str = "") -> list[Job]:
    """What there is to grade; each notebook by the variant that it was handed out as.

    A notebook of a variant that is not in `variants` is NOT GRADED, since its answers would be
    wrong. Raises ValueError, with the remedy, if that is so for all notebooks.
    """
    found = find(folder, _load(name, variants[0]))
    said = Counter(one.variant for one in found if one.path and one.variant is not None)
    if said and not said.keys() & set(variants):
        others = " ".join(f"--variant {variant}" for variant in sorted(said))
        raise ValueError(
            f"No notebook was handed out as variant {_or(variants)}, and {_counted(said)}. Nothing "
            f"is graded. Grade with {others}, or make sure that this is the right folder."
        )
    jobs = []
    for one in found:
        variant = next((v for v in variants if v == one.variant), variants[0])
        problem = ""
        if one.variant is None and len(variants) > 1:
            problem = "the notebook does not say its variant; grade it alone, with one --variant"
        elif one.variant not in (None, *variants):
            problem = (
                f"the notebook was handed out as variant {one.variant}, and not as "
                f"{_or(variants)}; if it counts, add --variant {one.variant}"
            )
        if one.path and problem:
            one = dataclasses.replace(one, path=None, reason=problem)
        key = f"{grader(name, variant)} {seed!r} {one.digest} {one.notes}"
        digest = hashlib.sha256(key.encode()).hexdigest()[:32] if one.path else ""
        jobs.append(Job(one, name, variant, seed, digest))
    return jobs


def _or(variants: Sequence[int]) -> str:
    return " or ".join(map(str, variants))


def _counted(said: Mapping[int, int]) -> str:
    return ", ".join(f"{number} as variant {variant}" for variant, number in sorted(said.items()))


@cache
def grader(name: str, variant: int) -> str:
    """A hash of all that a grade depends on besides the notebook and the seed."""
    assignment = _load(name, variant)
    sources = [*sorted((ROOT / "coursework").rglob("*.py")), master.masters()[name]]
    for folder in assignment.limits.folders:
        sources += sorted(path for path in folder.rglob("*.py") if path.is_file())
    versions = [sys.version]
    for library in ("ipython", "mpmath", *assignment.limits.modules):
        with contextlib.suppress(PackageNotFoundError):  # a module with another name
            versions.append(f"{library} {version(library.partition('.')[0])}")
    digest = hashlib.sha256(f"{name} {variant} {versions}".encode())
    for path in sources:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def is_final(result: Result | None, job: Job) -> bool:
    """Whether an earlier result holds for this job; what was NOT GRADED is tried again."""
    if result is None or not job.key or result.key != job.key:
        return False
    return all(status == GRADED for status in (result.status, *(t.status for t in result.tasks)))


def grade_jobs(jobs: Sequence[Job], processes: int) -> Generator[Result, None, None]:
    """The result of each job, as soon as it is there; `processes` at a time.

    An interrupt stops the work that has begun, and nothing else begins.
    """
    waiting = list(reversed(jobs))
    while waiting:
        suspects = yield from _until_broken(waiting, processes)
        for job in suspects:  # one at a time, so that the one that kills its process is certain
            broken = [job]
            if processes > 1:
                broken = yield from _until_broken([job], 1)
            for one in broken:
                yield one.failed("the grader's process ended; there may be too little memory")


def _until_broken(waiting: list[Job], processes: int) -> Generator[Result, None, list[Job]]:
    """Grade the jobs of `waiting` from its end; return those begun when a process was killed."""
    # Spawned processes share no state, so a test in one cannot affect another.
    context = multiprocessing.get_context("spawn")
    mine = set(multiprocessing.active_children())
    running: dict[Future[Result], Job] = {}
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_prepare) as pool:
        try:
            while waiting or running:
                while waiting and len(running) < processes:
                    with _no_interrupt():
                        running[pool.submit(waiting[-1].run)] = waiting[-1]
                    waiting.pop()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    error = future.exception()
                    if isinstance(error, BrokenProcessPool):
                        raise error
                    yield running[future].failed(repr(error)) if error else future.result()
                    del running[future]
        except BrokenProcessPool:
            return list(running.values())
        except BaseException:
            for child in set(multiprocessing.active_children()) - mine:
                child.terminate()
            raise
    return []


def _prepare() -> None:
    """Let an interrupt reach the first process only, which then ends this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)


def _stop(*_: object) -> None:
    kill_all()
    os._exit(1)


@contextlib.contextmanager
def _no_interrupt() -> Iterator[None]:
    """Hold back an interrupt; a process that starts here holds it back too."""
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)
