"""Plans: named lists of configurations, one plan per experiment of the book.

Seeds are the innermost loop. Neighbours in a plan thus start from different models, and workers
seldom wait for the same model. Plans may share runs; a sweep measures a shared run once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dpofield.experiments.config import Config

SEEDS = range(10)
"""Each seed repeats all random choices: initial weights, SFT samples, pairs and their order."""

WEAK, STRONG = 100, 600
"""SFT steps of the two starting points that most chapters use."""

SFT_LEVELS = (0, 25, 50, WEAK, 200, STRONG, 1200)
ON_POLICY_LEVELS = SFT_LEVELS[1:]
"""An untrained model samples no text on the grammar, so it has no on-policy pairs."""

EDIT_DISTANCES = (1, 2, 3, 4, 6, 8, None)
"""In tokens; None means any distance: two independent responses."""

SGD: dict[str, Any] = {"optimizer": "sgd", "lr": 2e-2, "steps": 240, "record_every": 12}
"""Steps so small that the law of motion holds; their number is three times the default."""

PATHS: dict[str, Any] = {"keep_paths": True, "pairs": 32}
"""Runs that keep their paths have fewer pairs: measuring a step is slower than the step itself."""

REMEDIES: dict[str, dict[str, float]] = {
    "dpo": {},
    "ipo": {},
    "chi2": {},
    "dpo_shift": {},
    "dpop": {"lam": 5.0},
    "nca": {},
    "sppo": {},
    "cal_dpo": {},
    "apo_zero": {},
    "apo_down": {},
    "rpo": {},
    "simpo": {},
    "orpo": {},
}
"""The losses that are compared, each with its parameters that differ from the defaults.

KTO is left out because it has the gradient of APO-zero if its reference point is 0.
"""

LEARNING_RATES = (3e-5, 1e-4, 3e-4)
"""The grid of learning rates, the same for every loss."""

SMALL: dict[str, Any] = {"layers": 2, "width": 64, "lr": 3e-4}
"""An eighth of the parameters; a smaller model needs a larger learning rate for the same margin."""

LLAMA: dict[str, Any] = {"architecture": "llama"}
"""Another architecture of the same size."""


def _seeded(*settings: dict[str, Any]) -> list[Config]:
    """Each setting with every seed."""
    return [
        Config(sft_seed=seed, pairs_seed=seed, seed=seed, **setting)
        for setting in settings
        for seed in SEEDS
    ]


def _training_field() -> list[Config]:
    starts = [{"sft_steps": WEAK}, {"sft_steps": STRONG}]
    return _seeded(*[PATHS | start | how for start in starts for how in ({}, SGD)])


def _sft_quality() -> list[Config]:
    return _seeded(
        *[{"sft_steps": level} for level in SFT_LEVELS],
        *[{"sft_steps": level, "source": "model"} for level in ON_POLICY_LEVELS],
    )


def _edit_distance() -> list[Config]:
    distances = [
        {"edit_distance": distance, "matched": matched}
        for matched in (False, True)
        for distance in EDIT_DISTANCES
    ]
    where = [{"edit_distance": 1, "edit_position": third} for third in ("early", "middle", "late")]
    return _seeded(*distances, *where)


def _where_the_mass_goes() -> list[Config]:
    return _seeded(
        *[
            {"prompts": "evaluated", "sft_steps": start, "edit_distance": edit, "source": source}
            for start in (WEAK, STRONG)
            for edit in (1, None)
            for source in ("grammar", "model")
        ]
    )


def _remedies() -> list[Config]:
    return _seeded(
        *[
            {"loss": loss, "params": params, "lr": lr}
            for loss, params in REMEDIES.items()
            for lr in LEARNING_RATES
        ]
    )


def _robustness() -> list[Config]:
    settings: list[dict[str, Any]] = [
        {},
        PATHS,
        SGD,
        *[{"sft_steps": level} for level in (50, STRONG)],
        *[{"sft_steps": level, "source": "model"} for level in (50, WEAK, STRONG)],
        *[{"edit_distance": distance} for distance in (1, 3)],
    ]
    return _seeded(*[shape | setting for shape in (SMALL, LLAMA) for setting in settings])


def _smoke() -> list[Config]:
    """Tiny runs of every kind, for tests and first trials."""
    tiny: dict[str, Any] = {
        "layers": 1, "width": 16, "heads": 2, "sft_steps": 2, "pairs": 6, "batch": 3, "steps": 4,
        "record_every": 2, "evaluated": 1,
    }  # fmt: skip
    kinds: list[dict[str, Any]] = [
        {}, {"architecture": "llama"}, {"edit_distance": 1, "keep_paths": True},
        {"optimizer": "sgd", "lr": 0.1}, {"loss": "nca", "prompts": "evaluated"},
        {"matched": True}, {"edit_distance": 1, "edit_position": "late"}, {"loss": "ipo"},
    ]  # fmt: skip
    return [Config(**tiny | kind, seed=seed) for seed in range(2) for kind in kinds]


PLANS: dict[str, list[Config]] = {
    "training-field": _training_field(),
    "sft-quality": _sft_quality(),
    "edit-distance": _edit_distance(),
    "where-the-mass-goes": _where_the_mass_goes(),
    "remedies": _remedies(),
    "robustness": _robustness(),
}
"""The plan of each chapter, by the chapter's slug."""

SMOKE = _smoke()


def plan(name: str) -> list[Config]:
    """The configurations of a plan, or of "smoke". Raises `ValueError` for an unknown name.

    >>> len(plan("sft-quality")), len({config.key for config in plan("sft-quality")})
    (130, 130)
    """
    known = PLANS | {"smoke": SMOKE}
    if name not in known:
        raise ValueError(f"no plan {name!r}; the plans are {', '.join(known)}")
    return known[name]


def distinct(configs: Iterable[Config]) -> list[Config]:
    """The configurations without repetitions, in order."""
    return list({config.key: config for config in configs}.values())
