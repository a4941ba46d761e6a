"""Checks of the verdicts on a smaller GPT-2 and on a Llama, from the recorded runs."""

from __future__ import annotations

from functools import cache

import pandas as pd

from dpofield.experiments.findings import robustness


@cache
def _answers() -> pd.DataFrame:
    return robustness.answers(robustness.load())


def _words(experiment: str) -> pd.DataFrame:
    found = _answers()
    assert (found["seeds"] == 10).all()
    return found[(found["experiment"] == experiment) & (found["shape"] != "main")]


def _each(key: str) -> str:
    """The label of a verdict, and its mean and interval in every shape."""
    rows = _answers().set_index(["key", "shape"]).loc[key]
    means = (
        f"{shape} {row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
        for shape, row in rows.loc[list(robustness.SHAPES)].iterrows()
    )
    return f"{rows['label'].iloc[0]}: " + ", ".join(means)


def field_elsewhere() -> str:
    """Every verdict of the field in training is the same in both other shapes."""
    found = _words(robustness.TRAINING)
    assert set(found["word"]) == {"same"}
    return f"{len(found)} of {len(found)} the same; " + _each("adamw_u_at_5")


def sft_elsewhere() -> str:
    """Llama agrees with the main model; the small one differs in the path, on-policy."""
    found = _words(robustness.SFT).set_index(["shape", "key"])["word"]
    assert set(found["Llama"]) == {"same"}
    assert found["small", "on_policy_path"] == "not the same"
    assert sum(found["small"] == "not the same") == 1
    assert found["small", "off_policy_pace"] == found["small", "on_policy_pace"] == "same"
    return _each("on_policy_path")


def edits_elsewhere() -> str:
    """No verdict of edit distance is reversed; only comparisons of predictors are undecided."""
    found = _words(robustness.EDITS)
    undecided = found[found["word"] == "undecided"]["key"]
    assert set(found["word"]) == {"same", "undecided"}
    assert set(undecided) <= set(robustness.GAINS)
    same = sum(found["word"] == "same")
    return f"{same} of {len(found)} the same; " + _each("one_edit")
