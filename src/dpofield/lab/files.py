"""Atomic writing of files, and the folder of cached models."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dpofield.places import writable, written

_DRAFT = ".draft-"


def cache_root() -> Path:
    """`_build/checkpoints` of the checkout; without a checkout, the user's cache folder."""
    return written("checkpoints")


def clear_drafts(folder: str | os.PathLike[str], *, older: float = 3600.0) -> None:
    """Remove drafts that killed processes left in a folder `older` seconds ago or earlier."""
    for draft in Path(folder).glob(f"{_DRAFT}*"):
        if draft.is_file() and time.time() - draft.stat().st_mtime >= older:
            draft.unlink(missing_ok=True)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path that becomes `path` when the block ends without an error.

    An existing file at `path` is replaced only then, and is kept if the block fails.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     target = Path(folder) / "a" / "note.txt"
    ...     with replacing(target) as draft:
    ...         _ = draft.write_text("whole")
    ...     target.read_text()
    'whole'
    """
    target = Path(path)
    writable(target.parent)
    # The draft has the suffix of `path`, because some writers choose the format by the suffix.
    handle, name = tempfile.mkstemp(prefix=_DRAFT, suffix=target.suffix, dir=target.parent)
    os.close(handle)
    draft = Path(name)
    try:
        yield draft
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)
