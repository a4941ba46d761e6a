"""Checks of the verdicts on a smaller GPT-2 and on a Llama, from the recorded runs."""

from __future__ import annotations

from functools import cache

import pandas as pd

from dpofield.experiments.findings import robustness

_PATH = "on-policy: preferred at 2 nats, 600 minus 50"


@cache
def _answers() -> pd.DataFrame:
    return robustness.answers(robustness.load())


def _words(experiment: str) -> pd.DataFrame:
    found = _answers()
    assert (found["seeds"] == 10).all()
    return found[(found["experiment"] == experiment) & (found["shape"] != "main")]


def _row(name: str, shape: str) -> str:
    found = _answers()
    row = found[(found["name"] == name) & (found["shape"] == shape)].iloc[0]
    return f"{shape} {row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def _each(name: str) -> str:
    return f"{name}: " + ", ".join(_row(name, shape) for shape in robustness.SHAPES)


def field_elsewhere() -> str:
    """Every verdict of the field in training, in both other shapes."""
    found = _words(robustness.TRAINING)
    assert set(found["word"]) == {"same"}
    return f"{len(found)} of {len(found)} the same; " + _each("AdamW: preferred, at a margin of 5")


def sft_elsewhere() -> str:
    """Llama as the main model; the small one differs in the path, on-policy."""
    found = _words(robustness.SFT).set_index(["shape", "name"])["word"]
    assert set(found["Llama"]) == {"same"}
    assert found["small", _PATH] == "not the same"
    assert sum(found["small"] == "not the same") == 1
    pace = [f"{source}-policy: steps to 2 nats, 600 over 50" for source in ("off", "on")]
    assert all(found["small", name] == "same" for name in pace)
    return _each(_PATH)


def edits_elsewhere() -> str:
    """No verdict of edit distance turns round, and only those on predictors are undecided."""
    found = _words(robustness.EDITS)
    undecided = found[found["word"] == "undecided"]["name"]
    assert set(found["word"]) == {"same", "undecided"}
    assert undecided.str.contains("over edit distance, gain").all()
    same = sum(found["word"] == "same")
    return f"{same} of {len(found)} the same; " + _each("preferred at 2 nats, one edit")
