"""The columns of a table of runs: name, type and meaning. One run is one row.

A quantity of each pair is a list column `pair_NAME`, one entry per pair; the column `NAME` has its
mean over the pairs that have a value. The same holds for the evaluated prompts, with `prompt_NAME`.
Paths are lists too, T records of N pairs, one record after the other. Names end in `_w` for the
preferred and in `_l` for the dispreferred response; "before" and "after" mean before the first and
after the last step of preference training.
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

RUN: dict[str, str] = {
    "key": "hash of the configuration",
    "code_hash": "hash of the sources and libraries that made the row",
    "versions": "Python and libraries, as JSON",
    "wall_s": "seconds from the loaded starting model to the row",
    "cpu_s": "processor seconds of the same",
    "error": "why there are no measurements; missing if there are",
} | {
    f"steps_to_margin_{goal}": f"step at which the mean margin first is {goal} nats; nan if never"
    for goal in MARGINS
}

PAIR_TEXT = {
    "prompt": "the prompt",
    "preferred": "the preferred response",
    "dispreferred": "the dispreferred response",
}

PAIR: dict[str, str] = (
    {
        "levenshtein": "Levenshtein distance of the responses, in tokens",
        "common_prefix": "tokens that the responses share before their first difference",
        "len_w": "scored tokens of the preferred response, the end included",
        "len_l": "scored tokens of the dispreferred response",
        "reward_w": "true reward of the preferred response",
        "reward_l": "true reward of the dispreferred response",
        "ref_logp_w": "log pi(yw | x) before, nats",
        "ref_logp_l": "log pi(yl | x) before, nats",
        "kernel_ww": "K_ww before: squared length of the gradient of log pi(yw | x)",
        "kernel_wl": "K_wl before: inner product of the gradients of both log-probabilities",
        "kernel_ll": "K_ll before: squared length of the gradient of log pi(yl | x)",
        "gradient_cosine": "cosine of the two gradients before: K_wl / sqrt(K_ww K_ll)",
        "push_w": "first-order change of log pi(yw | x) per unit learning rate, for a gradient "
        "step on the mean loss of all pairs, before",
        "push_l": "the same of log pi(yl | x)",
        "ches": "CHES before, squared hidden units",
        "ches_normalised": "length-normalised CHES before",
        "u": "log x1 after the last step, nats",
        "v": "log x2 after the last step, nats",
    }
    | {
        f"{name}_at_margin_{goal}": f"log {x} where the mean margin first is {goal} nats"
        for goal in MARGINS
        for name, x in (("u", "x1"), ("v", "x2"))
    }
    | {
        f"own_steps_to_margin_{goal}": f"step at which the pair's own margin first is {goal} "
        "nats; nan if never"
        for goal in MARGINS
    }
    | {
        f"{name}_{when}": f"{meaning}, {when}; nan unless the prompt is evaluated"
        for when in ("before", "after")
        for name, meaning in {
            "mass_w": "probability of the preferred response",
            "mass_l": "probability of the dispreferred response",
            "mass_better": "probability of other responses with a higher reward than the preferred",
            "mass_worse": "probability of other responses with at most the preferred one's reward",
            "mass_off_grammar": "probability off the grammar",
        }.items()
    }
)

PROMPT_TEXT = {
    "prompt": "an evaluated prompt",
    "top_response_before": "most likely response on the grammar, before",
    "top_response_after": "most likely response on the grammar, after",
}

PROMPT: dict[str, str] = {
    f"{name}_{when}": f"{meaning}, {when}"
    for when in ("before", "after")
    for name, meaning in {
        "reward_on_grammar": "expected true reward, given a response on the grammar",
        "off_grammar": "probability off the grammar",
        "preferred_mass": "probability of all texts that a trained pair of the prompt prefers",
        "dispreferred_mass": "probability of all texts that a trained pair disprefers",
        "top_mass": "probability of the most likely response on the grammar",
        "top_reward": "true reward of the most likely response on the grammar",
    }.items()
} | {
    "kl_on_grammar": "KL(after || before) over the grammar, nats",
    "kl_off_grammar_bound": "lower bound on the rest of that KL, off the grammar, nats",
}

PATH: dict[str, str] = {
    "step": "updates made before the record, (T,)",
    "u": "log x1, (T, N)",
    "v": "log x2, (T, N)",
    "loss": "per-pair loss, (T, N)",
    "dloss_dx1": "autograd's dL/dx1, (T, N)",
    "dloss_dx2": "autograd's dL/dx2, (T, N)",
} | {
    f"{part}_{letter}": f"{meaning} of log {x}, summed from the start, (T, N)"
    for part, meaning in {
        "first_order": "first-order change along the steps taken",
        "concavity": "part of the change that is due to the concavity of log-softmax",
        "plain_gradient": "first-order change along plain gradients of equal gain in margin",
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
    """The Arrow schema of a table of runs; a number of each pair is kept in float32.

    >>> schema().field("pair_u").type, schema().field("kl_on_grammar").type
    (ListType(list<item: float>), DataType(double))
    """
    return pa.schema([pa.field(name, _kind(name)) for name in MEANING])


def _kind(name: str) -> pa.DataType:
    if name in _CONFIG:
        return _CONFIG[name]
    if name in ("key", "code_hash", "versions", "error"):
        return pa.string()
    group, _, rest = name.partition("_")
    if rest in LISTS.get(group, {}):
        return pa.list_(pa.string() if rest in PAIR_TEXT | PROMPT_TEXT else pa.float32())
    return pa.float64()


def per_pair(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per pair: the run's columns repeated, the pair's own under their plain names.

    A column of the run with the same name, a mean over pairs, is replaced.
    """
    return _long(runs, "pair")


def per_prompt(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per evaluated prompt, in the same way."""
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
    """Whether a cell of a list column has entries; a missing one may be None or nan."""
    return isinstance(cell, (list, np.ndarray)) and len(cell) > 0
