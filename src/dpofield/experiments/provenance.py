"""By which code, and with which libraries, a row was made."""

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
    """Python and the libraries that numbers depend on."""
    return {"python": platform.python_version()} | {name: version(name) for name in _LIBRARIES}


@cache
def code_hash() -> str:
    """Hash of what decides a row's numbers: the modules that measure it, and the libraries.

    The modules are those that `rows` imports, directly or not, without comments and docstrings.
    They are read once per process: the hash is that of the code with which the process began.

    >>> len(code_hash())
    16
    """
    sources = Sources(Path(__file__).resolve().parents[1])
    modules = sources.digest(sources.closure(sources.code(_MEASURE)))
    libraries = {name: found for name, found in versions().items() if name != "python"}
    text = json.dumps([modules, libraries], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
