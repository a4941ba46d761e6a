"""The recorded runs that the book shows: one table per plan."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pandas as pd

from dpofield.experiments.plans import plan
from dpofield.experiments.store import read_checked
from dpofield.places import checkout, shipped, written

Folder = str | os.PathLike[str] | None


def table_folder(folder: Folder = None) -> Path:
    """Where `run` writes tables: `folder`, or `results/experiments` of the checkout.

    Without a checkout: `results` in the package's folder of the user's cache.
    """
    if folder is not None:
        return Path(folder)
    return shipped("results/experiments") if checkout() else written("results")


def table_files(folder: Folder = None) -> dict[str, Path]:
    """Name of a plan -> its table. A table that the user made replaces the one in the wheel."""
    folders = [table_folder(folder)]
    if folder is None:
        folders.insert(0, shipped("results/experiments"))
    return {path.stem: path for place in folders for path in sorted(place.glob("*.parquet"))}


def recorded(name: str, folder: Folder = None) -> pd.DataFrame:
    """The table of a plan, one row per run that did not fail; columns as in `columns.MEANING`.

    Reads from `folder`, by default from where `run` writes, and then from the wheel. Raises
    `ValueError` for an unknown plan, a damaged table, or a table with other runs than the plan.
    Raises `FileNotFoundError` if the table is missing. The messages have the command that makes
    the table.
    """
    wanted = frozenset(config.key for config in plan(name))
    path = table_files(folder).get(name)
    target = "" if folder is None else f' --results "{folder}"'
    remedy = f"make it with: python -m dpofield.experiments run {name}{target}"
    if path is None:
        raise FileNotFoundError(f"no recorded runs of {name!r} in {table_folder(folder)}; {remedy}")
    return _read(path, path.stat().st_mtime_ns, wanted, remedy).copy()


@cache
def _read(path: Path, changed: int, wanted: frozenset[str], remedy: str) -> pd.DataFrame:
    # `changed` is the file's time: a table that was made again is read again.
    try:
        table = read_checked(path).to_pandas()
    except (ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path} is damaged ({reason}); {remedy}") from error
    if set(table["key"]) != wanted:
        raise ValueError(f"{path} has other runs than the plan {path.stem!r}; {remedy}")
    return table[table["error"].isna()].reset_index(drop=True)
