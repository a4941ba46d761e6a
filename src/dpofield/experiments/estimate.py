"""Estimate the time that plans take, from one timed run of each kind."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from dpofield.experiments.config import Config
from dpofield.experiments.plans import distinct
from dpofield.experiments.rows import Row, attempt
from dpofield.experiments.store import Store
from dpofield.lab.checkpoint import card
from dpofield.lab.recipe import Recipe


class Cost(NamedTuple):
    """Runs, or starting models, of one kind: their number, and processor seconds per run."""

    kind: str
    number: int
    seconds: float

    @property
    def total(self) -> float:
        """Seconds for all of them on one idle core."""
        return self.number * self.seconds


def kind(config: Config) -> str:
    """The settings that decide the time of a run, as text.

    >>> kind(Config())
    'gpt2 4x128, 64 pairs of the grammar, 80 steps of 16, 3 prompts'
    """
    chosen = ", chosen" if config.matched or config.edit_position else ""
    return (
        f"{_shape(config)}, {config.pairs} pairs of the {config.source}{chosen}, {config.steps} "
        f"steps of {config.batch}, {config.evaluated} prompts"
    )


def estimate(
    configs: Iterable[Config],
    store: Store,
    *,
    workers: int = 1,
    root: str | os.PathLike[str] | None = None,
) -> list[Cost]:
    """Costs of all configurations by kind, finished ones included; starting models come last.

    The first configuration of each kind runs twice, and its row is kept. The first run's extra time
    is the one-off cost of preparing a starting model, which each of the `workers` pays. The time to
    train a starting model that is not cached is scaled from a cached one by the number of SFT
    steps. Raises `RuntimeError` if a timed run fails.
    """
    kinds: dict[str, list[Config]] = {}
    for config in distinct(configs):
        kinds.setdefault(kind(config), []).append(config)
    costs: list[Cost] = []
    meetings: dict[str, float] = {}
    for name, members in kinds.items():
        first, second = (_timed(members[0], root) for _ in range(2))
        store.write(second)
        costs.append(Cost(name, len(members), second["cpu_s"]))
        extra = max(0.0, first["cpu_s"] - second["cpu_s"])
        meetings[_shape(members[0])] = max(extra, meetings.get(_shape(members[0]), 0.0))
    models: dict[str, set[Recipe]] = {}
    for config in distinct(configs):
        models.setdefault(_shape(config), set()).add(config.recipe)
    for shape, recipes in models.items():
        costs.append(Cost(f"{shape}, SFT", len(recipes), _mean(recipes, root)))
        costs.append(Cost(f"{shape}, first look", len(recipes) * workers, meetings[shape]))
    return costs


def _shape(config: Config) -> str:
    return f"{config.architecture} {config.layers}x{config.width}"


def _timed(config: Config, root: str | os.PathLike[str] | None) -> Row:
    row = attempt(config, root)
    if row["error"]:
        raise RuntimeError(f"{kind(config)}: {row['error']}")
    return row


def _mean(recipes: set[Recipe], root: str | os.PathLike[str] | None) -> float:
    """Mean seconds to train these models."""
    timed: dict[int, float] = {}
    for recipe in recipes:
        try:
            timed[recipe.steps] = card(recipe, root=root)["seconds"]
        except FileNotFoundError:
            continue
    longest = max(timed, default=0)
    a_step = timed[longest] / longest if longest else 0.0
    return sum(timed.get(recipe.steps, recipe.steps * a_step) for recipe in recipes) / len(recipes)
