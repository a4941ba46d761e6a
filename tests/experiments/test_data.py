"""Pairs satisfy the configuration and are reproducible."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dpofield.experiments.config import Config
from dpofield.experiments.data import (
    MATCHED,
    draw,
    edit_distance,
    evaluated_prompts,
    first_difference,
    third,
)
from dpofield.lab.batch import encode
from dpofield.lab.checkpoint import sft_checkpoint
from dpofield.lab.logprobs import reference_logprobs
from dpofield.lab.pairs import Pair
from dpofield.lab.world import World


@pytest.fixture(scope="module")
def strong() -> tuple[Any, Any]:
    """The book's own checkpoint, whose samples are mostly on the grammar."""
    return sft_checkpoint("strong", progress=False)


@pytest.mark.parametrize("source", ["grammar", "model"])
@pytest.mark.parametrize(
    "asked",
    [
        {"prompts": "all"},
        {"edit_distance": 1},
        {"edit_distance": 3, "matched": True},
        {"edit_distance": 1, "edit_position": "late"},
    ],
)
def test_pairs_are_as_asked(strong: Any, world: World, source: Any, asked: dict[str, Any]) -> None:
    """Each filter is checked by a second definition; the preferred response has more reward."""
    model, tokenizer = strong
    config = Config(**{"pairs": 12, "source": source, "prompts": "evaluated"} | asked)
    pairs = draw(config, model, tokenizer)
    assert len(pairs) == 12
    for pair in pairs:
        assert world.reward(*words(pair, 0)) > world.reward(*words(pair, 1))
        if config.edit_distance:
            assert levenshtein(pair.preferred.split(), pair.dispreferred.split()) == (
                config.edit_distance
            )
        if config.edit_position:
            assert third(pair) == config.edit_position
        if config.prompts == "evaluated":
            assert pair.prompt in evaluated_prompts(3)
    if config.matched:
        lw, ll = reference_logprobs(model, encode(tokenizer, pairs)).chunk(2)
        assert float((lw - ll).abs().max()) <= MATCHED


def words(pair: Pair, which: int) -> tuple[str, str]:
    return pair.prompt, (pair.preferred, pair.dispreferred)[which]


def levenshtein(a: list[str], b: list[str]) -> int:
    """Levenshtein distance by its recursion, row by row."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        last, row = row, [i]
        for j, y in enumerate(b, start=1):
            row.append(min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (x != y)))
    return row[-1]


def test_the_same_again(strong: Any) -> None:
    """Pairs depend on the configuration and its seed, and not on the global random state."""
    model, tokenizer = strong
    asked: Any = {"pairs": 8, "source": "model", "prompts": "evaluated"}
    config = Config(**asked)
    first = draw(config, model, tokenizer)
    torch.manual_seed(5)
    np.random.seed(5)
    assert draw(config, model, tokenizer) == first
    assert draw(Config(**asked, pairs_seed=1), model, tokenizer) != first


def test_on_policy_pairs_are_what_the_model_says(strong: Any, world: World) -> None:
    """On-policy responses are samples from the model.

    The strong model has learnt the grammar, so responses from both sources have the same mean
    log-probability, up to the noise of 200 responses.
    """
    model, tokenizer = strong
    mean, error = [], []
    for source in ("grammar", "model"):
        asked: Any = {"source": source, "prompts": "evaluated", "evaluated": 8}
        pairs = draw(Config(pairs=100, **asked), model, tokenizer)
        values = reference_logprobs(model, encode(tokenizer, pairs)).double().numpy()
        mean.append(values.mean())
        error.append(values.std() / np.sqrt(len(values)))
    assert abs(mean[0] - mean[1]) < 4 * np.hypot(*error)


def test_what_cannot_be_had_is_said(models: Path) -> None:
    """An untrained model has no on-policy pairs; `draw` raises after few rounds, with remedies."""
    from dpofield.lab.checkpoint import starting_model

    config = Config(sft_steps=0, layers=1, width=16, heads=2, source="model")
    model, tokenizer = starting_model(config.recipe, root=models, progress=False)
    with pytest.raises(ValueError, match=r"5 rounds found 0 with source 'model'.*raise sft_steps"):
        draw(config, model, tokenizer)


def test_distances() -> None:
    """Edit distance and first difference of two pairs, with known values."""
    pair = Pair("soup :", "the soup was good .", "the soup was good . never again .")
    assert (edit_distance(pair), first_difference(pair), third(pair)) == (3, 5, "middle")
    pair = Pair("soup :", "the pie was good .", "the soup was good .")
    assert (edit_distance(pair), first_difference(pair), third(pair)) == (1, 1, "early")
