"""Synthetic tables of runs with known effects, for tests of the findings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from dpofield.experiments.columns import LISTS, PAIR_TEXT, PROMPT_TEXT
from dpofield.experiments.config import Config


def run(
    config: Config, pairs: Sequence[dict[str, Any]], prompts: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """A row with these pairs and evaluated prompts; missing numbers are nan, missing texts "".

    As in a real row, each list of numbers has a column with its mean.
    """
    row: dict[str, Any] = config.flat() | {"key": config.key, "cpu_s": 1.0}
    for kind, given, words in (("pair", pairs, PAIR_TEXT), ("prompt", prompts, PROMPT_TEXT)):
        for name in LISTS[kind]:
            values = [item.get(name, "" if name in words else np.nan) for item in given]
            row[f"{kind}_{name}"] = values
            if name not in words:
                known = [x for x in values if not np.isnan(x)]
                row[name] = float(np.mean(known)) if known else np.nan
    return row | {f"path_{name}": None for name in LISTS["path"]}


def pair(prompt: str, preferred: str, dispreferred: str, **numbers: Any) -> dict[str, Any]:
    """A pair with its texts and numbers, for `run`."""
    texts = {"prompt": prompt, "preferred": preferred, "dispreferred": dispreferred}
    return texts | numbers


def table(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """The rows as a table of runs."""
    return pd.DataFrame(list(rows))
