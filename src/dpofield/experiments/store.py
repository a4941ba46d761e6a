"""Finished runs on disk: one file per run, complete or absent, in one folder per code hash."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dpofield.experiments.columns import schema
from dpofield.experiments.config import Config
from dpofield.experiments.provenance import code_hash
from dpofield.lab.files import cache_root, replacing

_DIGEST = b"dpofield-sha256"


class Store:
    """A folder of finished runs, each in a Parquet file with the configuration's key as its name.

    `root` defaults to `experiments` beside the cached models. It has a folder per code hash, so
    rows from other code are never read.
    """

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        base = Path(root) if root is not None else cache_root().with_name("experiments")
        self.folder = base / code_hash()

    def path(self, config: Config) -> Path:
        """The file for the row of this configuration."""
        return self.folder / f"{config.key}.parquet"

    def write(self, row: dict[str, Any]) -> None:
        """Write a row, in place of an older row of the same configuration."""
        table = pa.Table.from_pylist([row], schema=schema())
        write_whole(table, self.folder / f"{row['key']}.parquet")

    def read(self, config: Config) -> pa.Table | None:
        """The row of this configuration as a table; None if it is missing.

        A damaged file gives a `RuntimeWarning`, is removed, and counts as missing.
        """
        path = self.path(config)
        if not path.exists():
            return None
        try:
            table = read_checked(path)
            if table["key"].to_pylist() != [config.key]:
                raise ValueError("it has the row of another configuration")
        except (ValueError, OSError) as error:
            reason = str(error).splitlines()[0]
            warnings.warn(f"{path} is damaged ({reason}): making it again", RuntimeWarning, 2)
            path.unlink()
            return None
        return table

    def done(self, config: Config) -> bool:
        """Whether this configuration has a row without an error."""
        table = self.read(config)
        return table is not None and table["error"].null_count == 1

    def collect(self, configs: Iterable[Config], target: str | os.PathLike[str]) -> int:
        """Write a table with one row per configuration, in order, and return the number of rows.

        Rows of failed runs are included. Raises `ValueError` if the row of a configuration is
        missing.
        """
        tables = [self.read(config) for config in configs]
        rows = [table for table in tables if table is not None]
        if len(rows) < len(tables):
            raise ValueError(
                f"{len(tables) - len(rows)} of {len(tables)} runs are missing: run the plan first"
            )
        write_whole(pa.concat_tables(rows), Path(target))
        return len(rows)


def write_whole(table: pa.Table, path: Path) -> None:
    """Write a Parquet file atomically, with a hash of its content in the metadata."""
    marked = table.replace_schema_metadata({_DIGEST: _digest(table)})
    with replacing(path) as draft:
        pq.write_table(marked, draft, compression="zstd")


def read_checked(path: str | os.PathLike[str]) -> pa.Table:
    """Read a file that `write_whole` wrote, and check its hash.

    Parquet's checksums cover the data pages only, hence the hash of the content. Raises
    `ValueError` or `OSError` for a damaged file.
    """
    table = pq.ParquetFile(path).read()
    if (table.schema.metadata or {}).get(_DIGEST) != _digest(table):
        raise ValueError("its content does not match its hash")
    return table


def _digest(table: pa.Table) -> bytes:
    return hashlib.sha256(repr(table.to_pylist()).encode()).hexdigest().encode()
