"""Plans: no repeated run, and ten seeds for every setting."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from dpofield.experiments.estimate import kind
from dpofield.experiments.plans import PLANS, SMOKE, distinct, plan


@pytest.mark.parametrize("name", PLANS)
def test_every_setting_has_ten_seeds(name: str) -> None:
    """A new seed changes the model, the pairs and their order."""
    settings = Counter(replace(c, sft_seed=0, pairs_seed=0, seed=0).key for c in plan(name))
    assert set(settings.values()) == {10}
    assert all(c.sft_seed == c.pairs_seed == c.seed for c in plan(name))
    assert len(distinct(plan(name))) == len(plan(name))


def test_neighbours_start_from_different_models() -> None:
    """Workers that run at the same time thus seldom wait for the same model."""
    for configs in PLANS.values():
        same = sum(a.recipe == b.recipe for a, b in pairwise(configs))
        assert same <= len(configs) / 20


def test_what_the_experiments_ask_for() -> None:
    """The plans have the settings that the chapters compare."""
    assert {c.sft_steps for c in plan("sft-quality")} >= {0, 100, 600}
    assert len({c.sft_steps for c in plan("sft-quality")}) >= 6
    assert {c.source for c in plan("sft-quality")} == {"grammar", "model"}
    edits = plan("edit-distance")
    assert {c.edit_distance for c in edits} >= {1, 2, 3, None}
    assert {c.matched for c in edits} == {True, False}
    assert {c.edit_position for c in edits} == {None, "early", "middle", "late"}
    assert {c.optimizer for c in plan("training-field")} == {"adamw", "sgd"}
    assert all(c.keep_paths for c in plan("training-field"))
    assert len({c.loss for c in plan("remedies")}) >= 10
    grids = {frozenset(c.lr for c in plan("remedies") if c.loss == x) for x in ("dpo", "nca")}
    assert len(grids) == 1
    shapes = {(c.architecture, c.width) for c in plan("robustness")}
    assert shapes == {("gpt2", 64), ("llama", 128)}


def test_smoke_is_small() -> None:
    """The smoke plan has few and tiny runs, of both architectures."""
    assert len({config.key for config in SMOKE}) == len(SMOKE) < 20
    assert {c.architecture for c in SMOKE} == {"gpt2", "llama"}
    assert all("1x16" in kind(c) for c in SMOKE)
