"""Hash of the code, and versions of the libraries, that produce a row."""

from __future__ import annotations

import hashlib
import json
import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path

from dpofield.sources import Sources

_MEASURE = "dpofield.experiments.rows"
_LIBRARIES = ("numpy", "scipy", "sympy", "tokenizers", "torch", "transformers")


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that the numbers depend on."""
    return {"python": platform.python_version()} | {name: version(name) for name in _LIBRARIES}


@cache
def code_hash() -> str:
    """Hash of all code that the numbers of a row depend on, and of the library versions.

    The code is that of the modules that `rows` imports, directly or not, without comments and
    docstrings. The files are read once per process, so later edits do not change the hash.

    >>> len(code_hash())
    16
    """
    sources = Sources(Path(__file__).resolve().parents[1])
    modules = sources.digest(sources.closure(sources.code(_MEASURE)))
    libraries = {name: found for name, found in versions().items() if name != "python"}
    text = json.dumps([modules, libraries], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
