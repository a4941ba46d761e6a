"""By which code, and with which libraries, a row was made."""

from __future__ import annotations

import hashlib
import json
import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path

# Which runs there are, in what order they run and what is read from them changes no row.
_NOT_OF_A_ROW = {
    "__init__.py", "__main__.py", "check.py", "estimate.py", "findings", "live", "plans.py",
    "stats.py", "store.py", "sweep.py", "tables.py",
}  # fmt: skip
_LIBRARIES = ("numpy", "scipy", "sympy", "tokenizers", "torch", "transformers")


def versions() -> dict[str, str]:
    """Python and the libraries that numbers depend on."""
    return {"python": platform.python_version()} | {name: version(name) for name in _LIBRARIES}


@cache
def code_hash() -> str:
    """Hash of what a row's numbers come from: sources of formulas, lab and this room; libraries.

    Read once a process: what is hashed is what was there when the process began to measure.

    >>> len(code_hash())
    16
    """
    package = Path(__file__).resolve().parents[1]
    libraries = {name: found for name, found in versions().items() if name != "python"}
    digest = hashlib.sha256(json.dumps(libraries, sort_keys=True).encode())
    for room in ("formulas", "lab", "experiments"):
        for path in sorted((package / room).rglob("*.py")):
            top = path.relative_to(package / room).parts[0]
            if room != "experiments" or top not in _NOT_OF_A_ROW:
                digest.update(f"{path.relative_to(package).as_posix()}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]
