"""Many runs, on local processes or on a Dask cluster; what is finished is kept at once.

Workers measure, and this process alone writes: a row is on disk, whole, before the next one is
taken. So a sweep may be killed at any moment and started again; it goes on with what is missing.
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

_DEATHS = 2  # times that a run may take its process down when it is alone


class Report(NamedTuple):
    """What a sweep did: runs `kept` from before, `made` now, and `failed` now."""

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
    """Measure every configuration that `store` has no row of, or a failure; equal ones once.

    With one worker runs happen in this process, with more in as many local ones, one torch thread
    each; with the address of a `dask` scheduler on its workers (start them with `--nthreads 1`: the
    runs of one process take turns). A run whose worker dies is tried again. A run that fails has
    its error recorded, and the others go on. `root` is where starting models are cached, on each
    machine. Raises `RuntimeError` if a worker runs other code than this process.
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
                f"a worker runs code {row['code_hash']}, this process {code_hash()}: install the "
                "same version and libraries there, or start again if a source has changed here"
            )
        store.write(row)
        failed += row["error"] is not None
        bar.set_postfix_str(f"{failed} failed" if failed else "")
    return Report(len(wanted) - len(todo), len(todo) - failed, failed)


def _on_processes(
    configs: list[Config], workers: int, root: str | os.PathLike[str] | None
) -> Iterator[Row]:
    """Rows as they come from loky's processes."""
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
            # One of those in flight took its process down; alone, each shows whether it was that.
            for key, config in list(flying.items()):
                del left[key]
                yield _alone(config, root)


def _parallel(workers: int, tasks: Iterable[object]) -> Iterator[Row]:
    """joblib, handing out one run at a time, so that what is in flight is known."""
    with parallel_config(backend="loky", inner_max_num_threads=1):
        yield from Parallel(
            n_jobs=workers, batch_size=1, pre_dispatch=workers, return_as="generator_unordered"
        )(tasks)


def _alone(config: Config, root: str | os.PathLike[str] | None) -> Row:
    """The row of a run that may take its process down."""
    for _ in range(_DEATHS):
        try:
            # Two, because joblib takes one to mean: in this process.
            (row,) = _parallel(2, [delayed(attempt)(config, root)])
            return row
        except BrokenProcessPool:
            continue
    return failure(config, f"its process died {_DEATHS} times with no other run beside it")


def _on_cluster(
    configs: list[Config], address: str, root: str | os.PathLike[str] | None
) -> Iterator[Row]:
    """Rows as they come from the workers of a Dask scheduler, which replaces those that die."""
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
