"""Configurations: validation, equality, keys, and reading back from tables."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpofield.experiments.config import Config
from dpofield.formulas import LOSSES

configs = st.builds(
    Config,
    sft_steps=st.integers(0, 2000),
    seed=st.integers(0, 99),
    edit_distance=st.none() | st.integers(1, 12),
    edit_position=st.sampled_from([None, "early", "middle", "late"]),
    matched=st.booleans(),
    source=st.sampled_from(["grammar", "model"]),
    lr=st.floats(1e-6, 1.0),
    loss=st.just("dpop"),
    params=st.fixed_dictionaries(
        {}, optional={"lam": st.floats(0, 100), "beta": st.floats(1e-3, 10)}
    ),
)


@given(configs)
def test_through_a_table_and_back(config: Config) -> None:
    """A configuration survives a data frame, also if missing values have changed its types."""
    table = pd.DataFrame([config.flat(), Config().flat()])
    assert Config.from_flat(table.iloc[0]) == config
    assert Config.from_flat(table.iloc[0].to_dict()).key == config.key


def test_every_field_is_in_the_key() -> None:
    """Configurations that differ in any field have different keys."""
    others: dict[str, Any] = {
        "architecture": "llama", "layers": 2, "width": 64, "heads": 2, "sft_steps": 7,
        "sft_seed": 1, "pairs": 8, "pairs_seed": 1, "source": "model", "prompts": "evaluated",
        "edit_distance": 1, "edit_position": "late", "matched": True, "loss": "ipo",
        "params": {"lam": 2.0}, "optimizer": "sgd", "lr": 1e-3, "steps": 5, "batch": 4,
        "seed": 1, "record_every": 1, "keep_paths": True, "evaluated": 2,
    }  # fmt: skip
    assert set(others) == {f.name for f in fields(Config)}
    start = Config(loss="dpop", params={"lam": 1.0})
    changes = [{n: x} | ({"params": {}} if n == "loss" else {}) for n, x in others.items()]
    assert len({start.key, *(replace(start, **c).key for c in changes)}) == 1 + len(others)


def test_the_key_is_the_same_in_another_process() -> None:
    """The key does not depend on the seed of Python's hash function."""
    code = "from dpofield.experiments.config import Config; print(Config(seed=3).key)"
    run = [sys.executable, "-c", code]
    said = subprocess.run(
        run, capture_output=True, text=True, env=os.environ | {"PYTHONHASHSEED": "7"}
    )
    assert said.stdout.strip() == Config(seed=3).key, said.stderr


def test_frozen() -> None:
    """A configuration is immutable, and equal after pickling."""
    config = Config()
    with pytest.raises(FrozenInstanceError):
        config.seed = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        config.params["beta"] = 1.0  # type: ignore[index]
    assert pickle.loads(pickle.dumps(config)) == config


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"architecture": "bert"}, "architecture = 'bert' is unknown: take one of gpt2, llama"),
        ({"source": "web"}, "source = 'web' is unknown: take one of grammar, model"),
        ({"optimizer": "adam"}, "optimizer = 'adam' is unknown: take one of adamw, sgd"),
        ({"steps": 0}, "steps = 0: give a whole number of at least 1"),
        ({"batch": 2.5}, "batch = 2.5: give a whole number of at least 1"),
        ({"sft_steps": -1}, "sft_steps = -1: give a whole number of at least 0"),
        ({"edit_distance": 0}, "edit_distance = 0: give a number of tokens, or None for any"),
        ({"edit_position": "end"}, "edit_position = 'end' is unknown: take one of early, middle"),
        ({"loss": "dop"}, "loss = 'dop' is unknown: LOSSES has dpo"),
        ({"lr": 0.0}, r"lr = 0.0: give a positive learning rate"),
        ({"params": {"beta": None}}, "params: beta = None: give a number"),
        ({"params": {"beta": -1.0}}, "beta = -1.0 is outside"),
        ({"loss": "orpo", "params": {"beta": 0.1}}, "the loss 'orpo' has no 'beta'; it has lam"),
        ({"loss": "sft", "params": {"beta": 0.1}}, "the loss 'sft' has no 'beta'; it has none"),
        ({"params": {"lam": 1}}, "params: the loss 'dpo' has no 'lam'; it has beta"),
        ({"loss": "cdpo", "params": {"epsilon": 0.7}}, "epsilon = 0.7 is outside"),
        ({"prompts": "evaluated", "evaluated": 0}, "set evaluated to 1"),
    ],
)
def test_what_is_wrong_is_said(wrong: dict[str, Any], said: str) -> None:
    """The error has the name of the field and a remedy."""
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        Config(**wrong)


def test_a_row_that_is_no_configuration() -> None:
    """The error lists the missing fields."""
    with pytest.raises(ValueError, match="the row lacks layers, width"):
        Config.from_flat({"architecture": "gpt2", "key": "x"})


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_can_be_asked_for(name: str) -> None:
    """Defaults that are given, partly given or left out make equal configurations and keys."""
    defaults = LOSSES[name].defaults
    part = dict([*defaults.items()][:1])
    same = [Config(loss=name), Config(loss=name, params=defaults), Config(loss=name, params=part)]
    assert all(config.params == config.training.params == defaults for config in same)
    assert len({config.key for config in same}) == len(set(same)) == 1
