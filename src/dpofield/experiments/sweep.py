"""Measure many runs, in local processes or on a Dask cluster; each finished run is saved at once.

Workers measure, and only this process writes. It writes each row completely before it takes the
next. A sweep can therefore be killed at any time; the next sweep measures the missing runs only.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple

from joblib import Parallel, delayed, parallel_config
from tqdm.auto import tqdm

from dpofield.experiments.config import Config
from dpofield.experiments.provenance import code_hash
from dpofield.experiments.rows import Row, attempt, failure
from dpofield.experiments.store import Store
from dpofield.lab.files import clear_drafts

_DEATHS = 2  # worker crashes allowed per run, counted while it runs alone


class Report(NamedTuple):
    """Numbers of runs: `kept` from earlier sweeps, `made` by this sweep, and `failed` in it."""

    kept: int
    made: int
    failed: int


def sweep(
    configs: Iterable[Config],
    store: Store,
    *,
    workers: int = 1,
    dask: str | None = None,
    root: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Report:
    """Measure every configuration that `store` has no row of, or only the row of a failure.

    Equal configurations are measured once. With one worker, runs happen in this process; with
    several `workers`, in as many local processes with one torch thread each. If `dask` is the
    address of a scheduler, runs happen on its workers; start these with `--nthreads 1`, because a
    process measures one run at a time. A run whose worker crashes is tried again. A run that fails
    is recorded with its error, and the sweep continues. `root` is the cache of the starting models,
    on each machine. Raises `RuntimeError` if a worker has other code than this process.
    """
    clear_drafts(store.folder)
    wanted = {config.key: config for config in configs}
    todo = [config for config in wanted.values() if not store.done(config)]
    if dask is not None:
        rows = _on_cluster(todo, dask, root)
    elif workers == 1:
        rows = (attempt(config, root) for config in todo)
    else:
        rows = _on_processes(todo, workers, root)
    failed = 0
    bar = tqdm(
        rows, total=len(wanted), initial=len(wanted) - len(todo), desc="runs", unit="run",
        disable=not progress, smoothing=0.1,
    )  # fmt: skip
    for row in bar:
        if row["code_hash"] != code_hash():
            raise RuntimeError(
                f"a worker has code {row['code_hash']}, this process {code_hash()}: install the "
                "same version and libraries on both, or restart if a source file has changed"
            )
        store.write(row)
        failed += row["error"] is not None
        bar.set_postfix_str(f"{failed} failed" if failed else "")
    return Report(len(wanted) - len(todo), len(todo) - failed, failed)


def _on_processes(
    configs: list[Config], workers: int, root: str | os.PathLike[str] | None
) -> Iterator[Row]:
    """Rows from loky's processes, in the order in which they finish."""
    left = {config.key: config for config in configs}
    while left:
        flying: dict[str, Config] = {}

        def tasks(flying: dict[str, Config] = flying) -> Iterator[object]:
            for key, config in list(left.items()):
                flying[key] = config
                yield delayed(attempt)(config, root)

        try:
            for row in _parallel(workers, tasks()):
                del left[row["key"]], flying[row["key"]]
                yield row
        except BrokenProcessPool:
            # A worker died, and the run that killed it is unknown: retry the runs in flight one
            # at a time.
            for key, config in list(flying.items()):
                del left[key]
                yield _alone(config, root)


def _parallel(workers: int, tasks: Iterable[object]) -> Iterator[Row]:
    """joblib with one run per task, so that the runs in flight are known."""
    with parallel_config(backend="loky", inner_max_num_threads=1):
        yield from Parallel(
            n_jobs=workers, batch_size=1, pre_dispatch=workers, return_as="generator_unordered"
        )(tasks)


def _alone(config: Config, root: str | os.PathLike[str] | None) -> Row:
    """The row of a run that may crash its process."""
    for _ in range(_DEATHS):
        try:
            # With one worker, joblib would use this process.
            (row,) = _parallel(2, [delayed(attempt)(config, root)])
            return row
        except BrokenProcessPool:
            continue
    return failure(config, f"its process died {_DEATHS} times while no other run was active")


def _on_cluster(
    configs: list[Config], address: str, root: str | os.PathLike[str] | None
) -> Iterator[Row]:
    """Rows from the workers of a Dask scheduler, which moves the runs of dead workers to others."""
    from distributed import Client, as_completed

    with Client(address) as client:
        flying = {
            client.submit(attempt, config, root, key=f"{code_hash()}-{config.key}"): config
            for config in configs
        }
        for future in as_completed(list(flying)):
            config = flying.pop(future)
            if future.status == "finished":
                yield future.result()
            else:
                yield failure(config, f"{type(future.exception()).__name__}: {future.exception()}")
            future.release()
