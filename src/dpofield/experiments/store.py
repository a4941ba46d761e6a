"""Finished runs on disk: one file each, whole or absent, and only those of this very code."""

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
    """A folder of finished runs, each in a Parquet file named by its configuration's key.

    `root` defaults to `experiments` beside the cached models; in it, every state of the code has a
    folder of its own, so a row that other code made is never found.
    """

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        base = Path(root) if root is not None else cache_root().with_name("experiments")
        self.folder = base / code_hash()

    def path(self, config: Config) -> Path:
        """Where the row of this configuration is, or will be."""
        return self.folder / f"{config.key}.parquet"

    def write(self, row: dict[str, Any]) -> None:
        """Keep a row; one that is there already is replaced."""
        table = pa.Table.from_pylist([row], schema=schema())
        write_whole(table, self.folder / f"{row['key']}.parquet")

    def read(self, config: Config) -> pa.Table | None:
        """The row of this configuration, as a table of one row; None if there is none.

        A damaged file is reported by a `RuntimeWarning`, removed, and counts as none.
        """
        path = self.path(config)
        if not path.exists():
            return None
        try:
            table = read_checked(path)
            if table["key"].to_pylist() != [config.key]:
                raise ValueError("it holds another row")
        except (ValueError, OSError) as error:
            reason = str(error).splitlines()[0]
            warnings.warn(f"{path} is damaged ({reason}): making it again", RuntimeWarning, 2)
            path.unlink()
            return None
        return table

    def done(self, config: Config) -> bool:
        """Whether this configuration has been measured; a recorded failure has not."""
        table = self.read(config)
        return table is not None and table["error"].null_count == 1

    def collect(self, configs: Iterable[Config], target: str | os.PathLike[str]) -> int:
        """Write one table with a row of every configuration, in order; the number of its rows.

        Failures are rows too. Raises `ValueError` if there are configurations without any row.
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
    """Write a Parquet file that knows the hash of its content, whole or not at all."""
    marked = table.replace_schema_metadata({_DIGEST: _digest(table)})
    with replacing(path) as draft:
        pq.write_table(marked, draft, compression="zstd")


def read_checked(path: str | os.PathLike[str]) -> pa.Table:
    """Read what `write_whole` wrote.

    Parquet's own checksums cover its data pages only, so the content is hashed. Raises `ValueError`
    or `OSError` for a damaged file.
    """
    table = pq.ParquetFile(path).read()
    if (table.schema.metadata or {}).get(_DIGEST) != _digest(table):
        raise ValueError("its content is not what was written")
    return table


def _digest(table: pa.Table) -> bytes:
    return hashlib.sha256(repr(table.to_pylist()).encode()).hexdigest().encode()
