"""The options of the workbench, and the configuration of a choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dpofield.experiments.config import Config
from dpofield.experiments.plans import REMEDIES, SFT_LEVELS, SGD, STRONG, WEAK
from dpofield.formulas import LOSSES
from dpofield.lab.settings import Optimizer

LEVELS: dict[int, str] = {
    WEAK: f"weak: {WEAK} steps",
    STRONG: f"strong: {STRONG} steps",
} | {n: f"{n} steps, made when first used" for n in SFT_LEVELS if n not in (0, WEAK, STRONG)}
LEVELS[0] = "none: an untrained model"
"""SFT levels by their steps; the levels that come with the book are first."""

PAIRS: dict[str, dict[str, Any]] = {
    "independent responses": {},
    "one word edited": {"edit_distance": 1},
    "equally likely (matched)": {"matched": True},
    "drawn from the model (on-policy)": {"source": "model"},
}
"""Kinds of pairs, with their fields in a `Config`."""

_PLAIN: dict[str, Any] = {"edit_distance": None, "matched": False, "source": "grammar"}

OPTIMIZERS: dict[Optimizer, dict[str, Any]] = {
    "adamw": {"lr": 1e-4, "steps": 80},
    "sgd": {"lr": SGD["lr"], "steps": SGD["steps"]},
}
"""Optimizers, each with a learning rate and a number of steps that visibly move the pairs."""

MOST = {"pairs": 256, "steps": 2000}
"""Upper limits, for an acceptable time on two cores and for the memory of a small machine."""

RECORDS = 40
"""Approximate records per run: enough to see the movement, few enough for one message."""

BATCH = 16


def title(loss: str) -> str:
    """The title of a loss.

    >>> title("ipo")
    'IPO'
    """
    return str(LOSSES[loss].title)


def parameters(loss: str, start: Config) -> dict[str, float]:
    """The first parameters of a chosen loss.

    They are those of `start` if it has this loss, else the defaults with the changes of the book's
    experiments.

    >>> parameters("dpop", Config()), parameters("orpo", Config())
    ({'beta': 0.1, 'lam': 5.0}, {'lam': 0.1})
    """
    if loss == start.loss:
        return dict(start.params)
    return LOSSES[loss].defaults | REMEDIES.get(loss, {})


@dataclass(frozen=True)
class Choice:
    """The values of the controls."""

    sft_steps: int
    kind: str
    pairs: int
    loss: str
    params: Mapping[str, float]
    optimizer: Optimizer
    lr: float
    steps: int
    seed: int

    def config(self, start: Config) -> Config:
        """`start` with the chosen values; `seed` sets both the pairs and their order.

        Raises `ValueError` naming the invalid field.

        >>> Choice(100, "one word edited", 4, "dpo", {}, "sgd", -1.0, 8, 0).config(Config())
        Traceback (most recent call last):
        ...
        ValueError: lr = -1.0: give a positive learning rate
        """
        for name, most in MOST.items():
            if getattr(self, name) > most:
                raise ValueError(
                    f"{name} = {getattr(self, name)}: the workbench takes {most} at most"
                )
        if self.seed < 0:
            raise ValueError(f"seed = {self.seed}: give a whole number of at least 0")
        return replace(
            start, **_PLAIN | PAIRS[self.kind], sft_steps=self.sft_steps, pairs=self.pairs,
            pairs_seed=self.seed, loss=self.loss, params=self.params,
            optimizer=self.optimizer, lr=self.lr, steps=self.steps, seed=self.seed,
            batch=max(1, min(BATCH, self.pairs)), record_every=max(1, self.steps // RECORDS),
        )  # fmt: skip


def choice(config: Config) -> Choice:
    """The control values of a configuration; `ValueError` if `PAIRS` does not have its pairs.

    >>> choice(Config(edit_distance=1)).kind
    'one word edited'
    """
    wanted = {name: getattr(config, name) for name in _PLAIN}
    kinds = [kind for kind, says in PAIRS.items() if _PLAIN | says == wanted]
    if not kinds:
        says = ", ".join(f"{name}={value!r}" for name, value in wanted.items())
        raise ValueError(f"the workbench has no pairs with {says}: it has {', '.join(PAIRS)}")
    return Choice(
        config.sft_steps, kinds[0], config.pairs, config.loss, config.params, config.optimizer,
        config.lr, config.steps, config.seed,
    )  # fmt: skip


def named(config: Config) -> str:
    """A short description of a run.

    >>> named(Config())
    'DPO 0.1, SFT 100, independent responses, adamw 0.0001, 80 steps, seed 0'
    """
    chosen = choice(config)
    beta = f" {chosen.params['beta']:g}" if "beta" in chosen.params else ""
    return (
        f"{title(chosen.loss)}{beta}, SFT {chosen.sft_steps}, {chosen.kind}, {chosen.optimizer} "
        f"{chosen.lr:g}, {chosen.steps} steps, seed {chosen.seed}"
    )


def brief(config: Config) -> str:
    """A description of a run that fits above a picture.

    >>> brief(Config())
    'DPO, SFT 100, seed 0'
    """
    return f"{title(config.loss)}, SFT {config.sft_steps}, seed {config.seed}"
