"""A run as a value: everything that decides its numbers, and nothing else."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from dpofield.formulas import LOSSES
from dpofield.lab.recipe import Architecture, Recipe

Source = Literal["grammar", "model"]
Where = Literal["early", "middle", "late"]
Prompts = Literal["all", "evaluated"]
Optimizer = Literal["adamw", "sgd"]

_CHOICES: dict[str, tuple[str, ...]] = {
    "architecture": get_args(Architecture),
    "source": get_args(Source),
    "prompts": get_args(Prompts),
    "optimizer": get_args(Optimizer),
}
_LEAST = {
    "layers": 1, "width": 1, "heads": 1, "sft_steps": 0, "pairs": 1, "steps": 1, "batch": 1,
    "record_every": 1, "evaluated": 0, "sft_seed": 0, "pairs_seed": 0, "seed": 0,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Config:
    """One preference training, from the untrained model to the last measurement.

    Model: `architecture`, `layers`, `width`, `heads`. Fine-tuning: `sft_steps` (the SFT level),
    `sft_seed` (initial weights and samples). Pairs: how many `pairs`, `pairs_seed`; off-policy from
    the "grammar", or on-policy from the fine-tuned "model" (`source`); on all `prompts` or only on
    the evaluated ones; at an `edit_distance` in tokens, with the first difference in the early,
    middle or late third (`edit_position`), at equal likelihood under the fine-tuned model
    (`matched`). Training: a `loss` of `formulas.LOSSES` with `params` beside `beta` (None for a
    loss that has no beta), `optimizer`, `lr`, `steps`, `batch`, `seed` (the order of pairs).
    Record: every `record_every` steps; `keep_paths` keeps each pair's path and what the law of
    motion says of every step (which takes a few times as long); `evaluated` prompts have their
    whole response set scored.

    Raises `ValueError` naming field and remedy.

    >>> Config(loss="dpop", params={"lam": 5.0}).params
    (('lam', 5.0),)
    >>> Config(beta=-1.0)
    Traceback (most recent call last):
    ...
    ValueError: beta = -1.0 is outside (0, oo): the strength of the KL penalty is positive
    """

    architecture: Architecture = "gpt2"
    layers: int = 4
    width: int = 128
    heads: int = 4
    sft_steps: int = 100
    sft_seed: int = 0
    pairs: int = 64
    pairs_seed: int = 0
    source: Source = "grammar"
    prompts: Prompts = "all"
    edit_distance: int | None = None
    edit_position: Where | None = None
    matched: bool = False
    loss: str = "dpo"
    params: tuple[tuple[str, float], ...] | Mapping[str, float] = ()
    beta: float | None = 0.1
    optimizer: Optimizer = "adamw"
    lr: float = 1e-4
    steps: int = 80
    batch: int = 16
    seed: int = 0
    record_every: int = 4
    keep_paths: bool = False
    evaluated: int = 3

    def __post_init__(self) -> None:
        # One spelling of each value, so that equal runs have equal keys.
        given = sorted((str(k), float(x)) for k, x in dict(self.params).items())
        object.__setattr__(self, "params", tuple(given))
        object.__setattr__(self, "lr", float(self.lr))
        if self.beta is not None:
            object.__setattr__(self, "beta", float(self.beta))
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name} = {getattr(self, name)!r} is unknown: take one of {', '.join(known)}"
                )
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ValueError(f"{name} = {value!r}: give a whole number of at least {least}")
        self._check_pairs()
        self._check_training()

    def _check_pairs(self) -> None:
        if self.edit_distance is not None and self.edit_distance < 1:
            raise ValueError(
                f"edit_distance = {self.edit_distance}: give a number of tokens, or None for any"
            )
        if self.edit_position is not None and self.edit_position not in get_args(Where):
            raise ValueError(
                f"edit_position = {self.edit_position!r} is unknown: take one of "
                f"{', '.join(get_args(Where))}, or None for any"
            )
        if self.prompts == "evaluated" and not self.evaluated:
            raise ValueError("prompts = 'evaluated' needs evaluated prompts: set evaluated to 1")

    def _check_training(self) -> None:
        if self.loss not in LOSSES:
            raise ValueError(f"loss = {self.loss!r} is unknown: LOSSES has {', '.join(LOSSES)}")
        if not 0 < self.lr < math.inf:
            raise ValueError(f"lr = {self.lr}: give a positive learning rate")
        known = {p.name: p for p in LOSSES[self.loss].params}
        if (self.beta is None) != ("beta" not in known):
            has = "has no beta: set beta=None" if self.beta is not None else "needs a beta"
            raise ValueError(f"beta = {self.beta}: the loss {self.loss!r} {has}")
        for name, value in self.hyperparameters.items():
            if name not in known:
                raise ValueError(
                    f"params: the loss {self.loss!r} has no {name!r}; it has {', '.join(known)}"
                )
            known[name].check(value)

    @property
    def hyperparameters(self) -> dict[str, float]:
        """All that is given to the loss by name, `beta` among it."""
        beta = {} if self.beta is None else {"beta": self.beta}
        return beta | dict(self.params)

    @property
    def recipe(self) -> Recipe:
        """What the model that training starts from is made by."""
        return Recipe(
            steps=self.sft_steps, seed=self.sft_seed, architecture=self.architecture,
            layers=self.layers, width=self.width, heads=self.heads,
        )  # fmt: skip

    @property
    def key(self) -> str:
        """Hash of the content: equal for equal configurations, on every machine.

        >>> Config().key == Config(lr=1e-4, params={}).key != Config(seed=1).key
        True
        """
        text = json.dumps(self.flat(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def flat(self) -> dict[str, Any]:
        """Field -> number, text or None; `params` as JSON. `from_flat` reads it back."""
        return asdict(self) | {"params": json.dumps(dict(self.params), sort_keys=True)}

    @classmethod
    def from_flat(cls, row: Mapping[str, Any]) -> Config:
        """The configuration in a row of a table; other columns are ignored.

        A table may have turned what is missing into nan, and whole numbers into fractions.
        `ValueError` names a field that the row lacks.

        >>> config = Config(loss="dpop", params={"lam": 5.0}, edit_distance=2)
        >>> Config.from_flat(config.flat() | {"edit_distance": 2.0}) == config
        True
        """
        lacking = [f.name for f in fields(cls) if f.name not in row]
        if lacking:
            raise ValueError(f"no configuration: the row lacks {', '.join(lacking)}")
        values = {f.name: _plain(row[f.name]) for f in fields(cls)}
        for name in (*_LEAST, "edit_distance"):
            values[name] = None if values[name] is None else int(values[name])
        for name in ("matched", "keep_paths"):
            values[name] = bool(values[name])
        return cls(**values | {"params": json.loads(values["params"])})


def _plain(value: Any) -> Any:
    """A Python value for one of NumPy or pandas; None for nan."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and math.isnan(value) else value
