"""What is in a row: every column, its type and its meaning. One run is one row.

A quantity that every pair has stands in a list column `pair_NAME` (one entry a pair) and, averaged
over the pairs that have it, in the column `NAME`. The same holds for the evaluated prompts, with
`prompt_NAME`. Paths are lists too, T records of N pairs, one record after the other.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dpofield.experiments.config import Config
from dpofield.experiments.margins import MARGINS

if TYPE_CHECKING:
    import pandas as pd  # a second to import, and frames come from the caller

GOALS = tuple(f"{goal:g}" for goal in MARGINS)

RUN: dict[str, str] = {
    "key": "hash of the configuration",
    "code": "hash of the sources and libraries that made the row",
    "versions": "Python and libraries, as JSON",
    "wall_s": "seconds from the loaded starting model to the row",
    "cpu_s": "processor seconds of the same",
    "error": "why there are no measurements; missing if there are",
} | {
    f"reached_{goal}": f"step at which the mean margin first is {goal} nats; nan if never"
    for goal in GOALS
}

PAIR_TEXT = {
    "prompt": "the prompt",
    "preferred": "the preferred response",
    "dispreferred": "the dispreferred response",
}

PAIR: dict[str, str] = (
    {
        "distance": "Levenshtein distance of the responses, in tokens",
        "parted": "tokens that the responses have in common before they part",
        "len_w": "scored tokens of the preferred response, the end included",
        "len_l": "scored tokens of the dispreferred response",
        "reward_w": "true reward of the preferred response",
        "reward_l": "true reward of the dispreferred response",
        "lw": "log pi(yw | x) before, nats",
        "ll": "log pi(yl | x) before, nats",
        "k_ww": "K_ww before: squared length of the gradient of lw",
        "k_wl": "K_wl before",
        "k_ll": "K_ll before",
        "cosine": "cosine of the two gradients before",
        "push_w": "first-order change of lw, a unit of step down the mean loss of all pairs",
        "push_l": "first-order change of ll in the same step",
        "ches": "CHES before, squared hidden units",
        "ches_normalised": "length-normalised CHES before",
        "u": "log x1 after the last step, nats",
        "v": "log x2 after the last step, nats",
    }
    | {
        f"{name}_at_{goal}": f"log {x} where the mean margin first is {goal} nats"
        for goal in GOALS
        for name, x in (("u", "x1"), ("v", "x2"))
    }
    | {
        f"own_{goal}": f"step at which the pair's own margin first is {goal} nats; nan if never"
        for goal in GOALS
    }
    | {
        f"{name}_{when}": f"{meaning}, {when}; nan unless the prompt is evaluated"
        for when in ("before", "after")
        for name, meaning in {
            "mass_w": "mass on the preferred response",
            "mass_l": "mass on the dispreferred response",
            "mass_better": "mass on other responses of higher true reward than the preferred",
            "mass_worse": "mass on other responses of at most the preferred one's reward",
            "mass_off": "mass off the grammar",
        }.items()
    }
)

PROMPT_TEXT = {
    "evaluated": "an evaluated prompt",
    "top_before": "most likely response on the grammar, before",
    "top_after": "most likely response on the grammar, after",
}

PROMPT: dict[str, str] = {
    f"{name}_{when}": f"{meaning}, {when}"
    for when in ("before", "after")
    for name, meaning in {
        "reward": "expected true reward, given a response on the grammar",
        "off": "mass off the grammar",
        "preferred": "mass of all texts that a trained pair of the prompt prefers",
        "dispreferred": "mass of all texts that a trained pair of the prompt disprefers",
        "top_mass": "mass of the most likely response on the grammar",
        "top_reward": "true reward of the most likely response on the grammar",
    }.items()
} | {
    "kl": "KL(after || before) over the grammar, nats",
    "kl_off": "lower bound of what the KL gains off the grammar, nats",
}

PATH: dict[str, str] = {
    "step": "updates made before the record, (T,)",
    "u": "log x1, (T, N)",
    "v": "log x2, (T, N)",
    "loss": "per-pair loss, (T, N)",
    "dx1": "autograd's dL/dx1, (T, N)",
    "dx2": "autograd's dL/dx2, (T, N)",
} | {
    f"{part}_{letter}": f"{meaning} of log {x}, added up from the start, (T, N)"
    for part, meaning in {
        "first": "first-order change along the steps taken",
        "concave": "share of log-softmax's concavity in the change",
        "plain": "first-order change along plain gradients of equal gain in the mean margin",
    }.items()
    for letter, x in (("u", "x1"), ("v", "x2"))
}


LISTS = {"pair": PAIR_TEXT | PAIR, "prompt": PROMPT_TEXT | PROMPT, "path": PATH}


def _meanings() -> dict[str, str]:
    found = {f.name: "configuration" for f in fields(Config)} | RUN
    found |= {name: f"{meaning}; mean" for name, meaning in (PAIR | PROMPT).items()}
    for kind, names in LISTS.items():
        found |= {f"{kind}_{name}": f"{meaning}; list" for name, meaning in names.items()}
    return found


MEANING: dict[str, str] = _meanings()
"""Every column, in order, with what it means."""

_CONFIG = {
    f.name: {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}.get(
        str(f.type).removesuffix(" | None"), pa.string()
    )
    for f in fields(Config)
}


def schema() -> pa.Schema:
    """The Arrow schema of a table of runs; what is a number a pair is kept in float32.

    >>> schema().field("pair_u").type, schema().field("kl").type
    (ListType(list<item: float>), DataType(double))
    """
    return pa.schema([pa.field(name, _kind(name)) for name in MEANING])


def _kind(name: str) -> pa.DataType:
    if name in _CONFIG:
        return _CONFIG[name]
    if name in ("key", "code", "versions", "error"):
        return pa.string()
    group, _, rest = name.partition("_")
    if rest in LISTS.get(group, {}):
        return pa.list_(pa.string() if rest in PAIR_TEXT | PROMPT_TEXT else pa.float32())
    return pa.float64()


def per_pair(runs: pd.DataFrame) -> pd.DataFrame:
    """One row a pair: the run's columns repeated, the pair's own under their plain names.

    Columns of the run that have the name of one of the pair (its means) give way.
    """
    return _long(runs, "pair")


def per_prompt(runs: pd.DataFrame) -> pd.DataFrame:
    """One row an evaluated prompt, in the same way."""
    return _long(runs, "prompt")


def _long(runs: pd.DataFrame, kind: str) -> pd.DataFrame:
    own = {f"{kind}_{name}": name for name in LISTS[kind]}
    lists = {f"{other}_{name}" for other, names in LISTS.items() for name in names}
    repeated = [c for c in runs if c not in own.values() and c not in lists]
    some = runs[next(iter(own))].map(_is_list)
    measured = runs.loc[some, [*repeated, *own]]
    long = measured.explode(list(own), ignore_index=True).rename(columns=own)
    return long.astype({name: float for name in own.values() if name in PAIR or name in PROMPT})


def path(run: Any, name: str) -> NDArray[np.float64]:
    """A path of one row of the table: (T,) for "step", else (T, N).

    Raises `ValueError` if the run did not keep its paths.
    """
    if not _is_list(run["path_step"]):
        raise ValueError(f"run {run['key']} kept no paths: set keep_paths in its configuration")
    values = np.asarray(run[f"path_{name}"], dtype=float)
    return values if name == "step" else values.reshape(len(run["path_step"]), -1)


def _is_list(cell: Any) -> bool:
    """Whether a list column holds anything here; what is missing may be None or nan."""
    return isinstance(cell, (list, np.ndarray)) and len(cell) > 0
