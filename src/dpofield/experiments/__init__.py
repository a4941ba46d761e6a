"""Sweeps of small preference trainings: frozen configs in, recorded rows out.

`Config` defines a run, `run` trains it, and `recorded` reads the table of a plan. The modules:

- `plans`: named lists of configurations; `data`: the preference pairs of a run
- `rows`: all measurements of a run, with `similarity`, `margins` and `masses`; `columns`: their
  names and meanings
- `sweep`: measures many runs; `store`: keeps the finished runs; `provenance`: hash of the code
- `stats`: the statistics that the chapters quote; `findings`: results of the recorded runs;
  `live`: measurements that the chapters repeat at each build

    python -m dpofield.experiments run smoke
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dpofield.experiments.columns import path, per_pair, per_prompt
    from dpofield.experiments.config import Config
    from dpofield.experiments.data import draw, evaluated_prompts, world
    from dpofield.experiments.one_run import RunWatch, Start, Trained, run
    from dpofield.experiments.plans import plan
    from dpofield.experiments.rows import measure
    from dpofield.experiments.tables import recorded

__all__ = [
    "Config",
    "RunWatch",
    "Start",
    "Trained",
    "draw",
    "evaluated_prompts",
    "measure",
    "path",
    "per_pair",
    "per_prompt",
    "plan",
    "recorded",
    "run",
    "world",
]

_MODULES = {
    "path": "columns",
    "per_pair": "columns",
    "per_prompt": "columns",
    "Config": "config",
    "draw": "data",
    "evaluated_prompts": "data",
    "world": "data",
    "RunWatch": "one_run",
    "Start": "one_run",
    "Trained": "one_run",
    "run": "one_run",
    "plan": "plans",
    "measure": "rows",
    "recorded": "tables",
}


def __getattr__(name: str) -> Any:
    # Reading a table needs no torch, so a module is imported only when one of its names is used.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no {name!r}")
    try:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(lacking(error), name=error.name) from None


def lacking(error: ModuleNotFoundError) -> str:
    """The message for a missing module, with the command that installs it."""
    extra = "joblib pandas pyarrow"  # the extra "experiments" of pyproject.toml
    remedy = f"; install it with: pip install {extra}" if error.name in extra.split() else ""
    return f"{error.msg}{remedy}"


# `from dpofield.experiments.recorded import recorded` works too: `tables` once had this name.
_former = ModuleType(f"{__name__}.recorded", "The names of this package.")
_former.__getattr__ = __getattr__  # type: ignore[method-assign]
sys.modules[_former.__name__] = _former
