"""How long plans will take: one run of each kind is timed, and the rest is arithmetic."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from dpofield.experiments.config import Config
from dpofield.experiments.measure import attempt
from dpofield.experiments.plans import distinct
from dpofield.experiments.store import Store
from dpofield.lab.checkpoint import card
from dpofield.lab.recipe import Recipe


class Cost(NamedTuple):
    """Runs, or starting models, of one kind: how many, and processor seconds each takes."""

    kind: str
    number: int
    seconds: float

    @property
    def total(self) -> float:
        """Seconds of all of them on one core that does nothing else."""
        return self.number * self.seconds


def kind(config: Config) -> str:
    """What decides how long a run takes, in words.

    >>> kind(Config())
    'gpt2 4x128, 64 pairs of the grammar, 60 steps of 16, 4 prompts'
    """
    shape = f"{config.architecture} {config.layers}x{config.width}"
    chosen = ", chosen" if config.matched or config.edit_position else ""
    return (
        f"{shape}, {config.pairs} pairs of the {config.source}{chosen}, {config.steps} steps of "
        f"{config.batch}, {config.evaluated} prompts"
    )


def estimate(
    configs: Iterable[Config], store: Store, root: str | os.PathLike[str] | None = None
) -> list[Cost]:
    """Costs of all configurations by kind, whether they are done or not; models come last.

    Where no run of a kind is recorded, the first is made, and kept. Models are timed by the one of
    most SFT steps among those that are there, and otherwise scaled by their steps. Raises
    `RuntimeError` if the run that is to be timed fails.
    """
    kinds: dict[str, list[Config]] = {}
    for config in distinct(configs):
        kinds.setdefault(kind(config), []).append(config)
    costs = []
    for name, members in kinds.items():
        if not any(store.done(config) for config in members):
            row = attempt(members[0], root)
            if row["error"]:
                raise RuntimeError(f"{name}: {row['error']}")
            store.write(row)
        tables = [store.read(config) for config in members if store.done(config)]
        times = [table["cpu_s"][0].as_py() for table in tables if table is not None]
        costs.append(Cost(name, len(members), sum(times) / len(times)))
    return costs + _models([config for members in kinds.values() for config in members], root)


def _models(configs: list[Config], root: str | os.PathLike[str] | None) -> list[Cost]:
    shapes: dict[str, set[Recipe]] = {}
    for config in configs:
        shape = f"{config.architecture} {config.layers}x{config.width}, SFT of a model"
        shapes.setdefault(shape, set()).add(config.recipe)
    return [Cost(shape, len(recipes), _mean(recipes, root)) for shape, recipes in shapes.items()]


def _mean(recipes: set[Recipe], root: str | os.PathLike[str] | None) -> float:
    """Seconds that these models take, on average."""
    timed: dict[int, float] = {}
    for recipe in recipes:
        try:
            timed[recipe.steps] = card(recipe, root=root)["seconds"]
        except FileNotFoundError:
            continue
    longest = max(timed, default=0)
    a_step = timed[longest] / longest if longest else 0.0
    return sum(timed.get(recipe.steps, recipe.steps * a_step) for recipe in recipes) / len(recipes)
