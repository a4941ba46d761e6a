"""Where the package finds files of the book, and where it writes.

In a checkout, both are in the checkout. An installed package reads the copies that its wheel
contains (`shipped`) and writes to the user's cache folder.
"""

from __future__ import annotations

import os
import sys
from errno import EACCES
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_ELSEWHERE = (
    "no file can be written there; pass another folder to the function or command, or set "
    "XDG_CACHE_HOME (on Linux)"
)


def checkout() -> Path | None:
    """The root of the checkout that contains this package; None for an installed package."""
    root = _PACKAGE.parents[1]
    parts = [root / "pyproject.toml", root / "book"]
    return root if _PACKAGE.parent.name == "src" and all(p.exists() for p in parts) else None


def shipped(name: str) -> Path:
    """The file or folder `name` of the checkout, or the copy in the wheel; it may not exist."""
    return (checkout() or _PACKAGE / "shipped") / name


def written(name: str) -> Path:
    """The folder `name` for what the package makes: in `_build`, or in the user's cache folder."""
    root = checkout()
    return root / "_build" / name if root else _user_caches() / "dpofield" / name


def writable(folder: Path) -> Path:
    """Create `folder` if needed, and return it.

    If that fails, or if no file can be written there, raises the `OSError` with a remedy.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(EACCES, "", str(folder))
    except OSError as error:
        raise type(error)(error.errno, _ELSEWHERE, str(folder)) from error
    return folder


def _user_caches() -> Path:
    try:
        if sys.platform == "win32":
            return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Caches"
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        raise RuntimeError("this user has no home folder: set HOME or XDG_CACHE_HOME") from None
