"""The recorded runs that the book shows: one table per plan, in `results/experiments`."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pandas as pd

from dpofield.experiments.plans import plan
from dpofield.experiments.store import read_checked

_CHECKOUT = Path(__file__).resolve().parents[3]


def recorded(name: str, folder: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """The table of a plan, one row per run that did not fail; columns as in `columns.MEANING`.

    `folder` defaults to `results/experiments` of the checkout. Raises `ValueError` for an unknown
    plan, a damaged table, or a table with other runs than the plan. Raises `FileNotFoundError` if
    the table is missing. The messages have the command that makes the table.
    """
    base = _CHECKOUT / "results" / "experiments" if folder is None else Path(folder)
    return _read(name, base / f"{name}.parquet").copy()


@cache
def _read(name: str, path: Path) -> pd.DataFrame:
    wanted = {config.key for config in plan(name)}
    remedy = f"make it with: python -m dpofield.experiments run {name}"
    if not path.is_file():
        raise FileNotFoundError(f"no recorded runs at {path}; {remedy}")
    try:
        table = read_checked(path).to_pandas()
    except (ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path} is damaged ({reason}); {remedy}") from error
    if set(table["key"]) != wanted:
        raise ValueError(f"{path} has other runs than the plan {name!r}; {remedy}")
    return table[table["error"].isna()].reset_index(drop=True)
