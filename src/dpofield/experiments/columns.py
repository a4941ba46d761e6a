"""The columns of a table of runs: name, type and meaning. Each row is one run.

A quantity per pair has two columns: the list `pair_NAME`, one entry per pair, and `NAME`, the mean
over the pairs that have a value. A quantity per evaluated prompt has `prompt_NAME` and `NAME` in
the same way. A path is a list of T records of N pairs, record by record. Names that end in `_w` are
about the preferred response, and names that end in `_l` about the dispreferred response. "Before"
and "after" mean before the first and after the last step of preference training.
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
    import pandas as pd  # slow to import, and needed for annotations only

RUN: dict[str, str] = {
    "key": "hash of the configuration",
    "code_hash": "hash of the sources and library versions that produced the row",
    "versions": "versions of Python and of the libraries, as JSON",
    "wall_s": "wall time, in seconds, of training and measurements; loading the starting model "
    "is not included",
    "cpu_s": "processor time of the same work, in seconds",
    "error": "error message of a run that failed; missing if the run succeeded",
} | {
    f"steps_to_margin_{goal}": f"number of steps after which the margin u - v, averaged over the "
    f"pairs, first reaches {goal} nats (interpolated); nan if it never does"
    for goal in MARGINS
}

PAIR_TEXT = {
    "prompt": "the prompt",
    "preferred": "the preferred response",
    "dispreferred": "the dispreferred response",
}

PAIR: dict[str, str] = (
    {
        "levenshtein": "Levenshtein distance between the two responses, in tokens",
        "common_prefix": "number of tokens before the first difference of the two responses",
        "len_w": "number of scored tokens of the preferred response, end-of-sequence included",
        "len_l": "number of scored tokens of the dispreferred response, end-of-sequence included",
        "reward_w": "true reward of the preferred response",
        "reward_l": "true reward of the dispreferred response",
        "ref_logp_w": "log pi(yw | x) before training, in nats",
        "ref_logp_l": "log pi(yl | x) before training, in nats",
        "kernel_ww": "K_ww before training: squared norm of the gradient of log pi(yw | x)",
        "kernel_wl": "K_wl before training: inner product of the gradients of log pi(yw | x) "
        "and log pi(yl | x)",
        "kernel_ll": "K_ll before training: squared norm of the gradient of log pi(yl | x)",
        "gradient_cosine": "cosine of the two gradients before training: K_wl / sqrt(K_ww K_ll)",
        "push_w": "first-order change of log pi(yw | x), in nats per unit learning rate, for one "
        "gradient step on the mean loss of all pairs, before training",
        "push_l": "first-order change of log pi(yl | x), in nats per unit learning rate, for one "
        "gradient step on the mean loss of all pairs, before training",
        "ches": "CHES before training, in squared hidden units",
        "ches_normalised": "length-normalised CHES before training, in squared hidden units",
        "u": "u = log x1 after the last step, in nats: change of log pi(yw | x)",
        "v": "v = log x2 after the last step, in nats: change of log pi(yl | x)",
    }
    | {
        f"{name}_at_margin_{goal}": f"{name} = log {x}, in nats, at the step where the margin "
        f"u - v, averaged over the pairs, first reaches {goal} nats (interpolated)"
        for goal in MARGINS
        for name, x in (("u", "x1"), ("v", "x2"))
    }
    | {
        f"own_steps_to_margin_{goal}": "number of steps after which the margin u - v of the pair "
        f"itself first reaches {goal} nats (interpolated); nan if it never does"
        for goal in MARGINS
    }
    | {
        f"{name}_{when}": f"{meaning}, {when} training; nan if the prompt is not evaluated"
        for when in ("before", "after")
        for name, meaning in {
            "mass_w": "probability of the preferred response",
            "mass_l": "probability of the dispreferred response",
            "mass_better": "total probability of the other responses on the grammar whose true "
            "reward is higher than that of the preferred response",
            "mass_worse": "total probability of the other responses on the grammar whose true "
            "reward is not higher than that of the preferred response",
            "mass_off_grammar": "total probability of all texts off the grammar",
        }.items()
    }
)

PROMPT_TEXT = {
    "prompt": "the evaluated prompt",
    "top_response_before": "most likely response on the grammar, before training",
    "top_response_after": "most likely response on the grammar, after training",
}

PROMPT: dict[str, str] = {
    f"{name}_{when}": f"{meaning}, {when} training"
    for when in ("before", "after")
    for name, meaning in {
        "reward_on_grammar": "expected true reward, given that the response is on the grammar",
        "off_grammar": "total probability of all texts off the grammar",
        "preferred_mass": "total probability of the texts that are preferred in a trained pair "
        "of the prompt",
        "dispreferred_mass": "total probability of the texts that are dispreferred in a trained "
        "pair of the prompt",
        "top_mass": "probability of the most likely response on the grammar",
        "top_reward": "true reward of the most likely response on the grammar",
    }.items()
} | {
    "kl_on_grammar": "terms of KL(after || before) from responses on the grammar, in nats",
    "kl_off_grammar_bound": "lower bound on the terms of KL(after || before) from texts off the "
    "grammar, in nats",
}

PATH: dict[str, str] = {
    "step": "number of updates before the record, (T,)",
    "u": "u = log x1, in nats, (T, N)",
    "v": "v = log x2, in nats, (T, N)",
    "loss": "loss per pair, (T, N)",
    "dloss_dx1": "derivative of the pair's loss by x1, by autograd, (T, N)",
    "dloss_dx2": "derivative of the pair's loss by x2, by autograd, (T, N)",
} | {
    f"{part}_{letter}": f"{meaning}, of log {x}, in nats, summed over all steps before the "
    "record, (T, N)"
    for part, meaning in {
        "first_order": "first-order change for the optimizer's actual steps",
        "concavity": "part of the change that is due to the concavity of log-softmax",
        "plain_gradient": "first-order change for plain gradient steps with the same first-order "
        "gain of the mean margin",
    }.items()
    for letter, x in (("u", "x1"), ("v", "x2"))
}


LISTS = {"pair": PAIR_TEXT | PAIR, "prompt": PROMPT_TEXT | PROMPT, "path": PATH}


def _meanings() -> dict[str, str]:
    meanings = {f.name: "field of the configuration, see `Config`" for f in fields(Config)} | RUN
    for over, names in (("pairs", PAIR), ("evaluated prompts", PROMPT)):
        meanings |= {name: f"{text}; mean over the {over}" for name, text in names.items()}
    entries = {"pair": "one entry per pair", "prompt": "one entry per evaluated prompt"}
    for kind, names in LISTS.items():
        of_list = entries.get(kind, "list, record by record")
        meanings |= {f"{kind}_{name}": f"{text}; {of_list}" for name, text in names.items()}
    return meanings


MEANING: dict[str, str] = _meanings()
"""Every column, in order, with its meaning."""

_CONFIG = {
    f.name: {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}.get(
        str(f.type).removesuffix(" | None"), pa.string()
    )
    for f in fields(Config)
}


def schema() -> pa.Schema:
    """The Arrow schema of a table of runs; lists of numbers are stored as float32.

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
    """One row per pair: `pair_NAME` becomes `NAME`, and the other columns of the run are repeated.

    The run's own `NAME`, which is a mean over pairs, is dropped.
    """
    return _long(runs, "pair")


def per_prompt(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per evaluated prompt: the same as `per_pair` for the columns `prompt_NAME`."""
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
    """Whether a cell of a list column has entries; a missing list may be None or nan."""
    return isinstance(cell, (list, np.ndarray)) and len(cell) > 0
