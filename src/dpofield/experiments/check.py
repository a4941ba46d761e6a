"""Measure a random sample of the recorded rows again, and compare the numbers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from dpofield.experiments.columns import schema
from dpofield.experiments.config import Config
from dpofield.experiments.rows import attempt
from dpofield.experiments.store import read_checked
from dpofield.experiments.tables import Folder, table_files, table_folder

TOLERANCE = 1e-2
"""Largest accepted difference of a number x, divided by 1 + |x|: training amplifies rounding."""

# Columns that differ between repetitions, or identify the code only.
_NOT_MEASURED = {"code_hash", "versions", "wall_s", "cpu_s"}


class Verdict(NamedTuple):
    """A recorded row against its repetition: the largest difference over 1 + |x|, its column."""

    plan: str
    key: str
    difference: float
    column: str

    @property
    def same(self) -> bool:
        """Whether the difference is within `TOLERANCE`."""
        return self.difference <= TOLERANCE


def check(
    folder: Folder,
    n: int,
    seed: int,
    root: str | os.PathLike[str] | None = None,
    *,
    longest_sft: int | None = None,
) -> Iterator[Verdict]:
    """Measure `n` rows of the tables in `folder` again; recorded failures are skipped.

    `None` stands for the tables that `recorded` reads.

    Rounding differs between kinds of processors, and training amplifies it: a long SFT can end in
    other weights, and pairs written by a model in other texts. `longest_sft` leaves out rows whose
    starting model took more steps than that.

    Raises `ValueError` if no such row is recorded there.
    """
    recorded: list[tuple[str, dict[str, Any]]] = []
    for path in table_files(folder).values():
        rows = read_checked(path).to_pylist()
        recorded += [
            (path.stem, row)
            for row in rows
            if row["error"] is None and (longest_sft is None or row["sft_steps"] <= longest_sft)
        ]
    if not recorded:
        raise ValueError(f"no recorded runs in {table_folder(folder)}: run a plan first")
    chosen = np.random.default_rng(seed).permutation(len(recorded))[:n]
    for i in chosen:
        plan, row = recorded[i]
        again = attempt(Config.from_flat(row), root)
        yield Verdict(plan, row["key"], *difference(row, again))


def difference(row: Mapping[str, Any], again: Mapping[str, Any]) -> tuple[float, str]:
    """The largest difference of two rows over 1 + |x|, and its column.

    The difference is infinite if only one row has a number, if texts or lengths differ, or if the
    repetition failed.
    """
    worst, where = 0.0, ""
    for name in schema().names:
        if name in _NOT_MEASURED:
            continue
        found = _apart(row.get(name), again.get(name))
        if found > worst:
            worst, where = found, name
    return worst, where


def _apart(a: Any, b: Any) -> float:
    a, b = (np.atleast_1d(np.array([] if x is None else x)) for x in (a, b))
    if a.shape != b.shape:
        return float("inf")
    if not len(a):
        return 0.0
    if not all(np.issubdtype(x.dtype, np.number) for x in (a, b)):
        return 0.0 if (a == b).all() else float("inf")
    a, b = a.astype(float), b.astype(float)
    gap = np.where(np.isnan(a) & np.isnan(b), 0.0, np.abs(a - b) / (1 + np.abs(a)))
    return float(np.where(np.isnan(gap), np.inf, gap).max())
