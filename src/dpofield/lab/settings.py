"""The settings of preference training, checked on creation; this module does not import torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from dpofield.formulas import LOSSES

Optimizer = Literal["adamw", "sgd"]


class Numbers(Mapping[str, float]):
    """An immutable mapping of names to numbers, so that settings that contain it can be hashed.

    >>> Numbers({"beta": 0.1}), Numbers({"beta": 0.1}) == {"beta": 0.1}
    ({'beta': 0.1}, True)
    """

    def __init__(self, given: Mapping[str, float]) -> None:
        self._given = dict(given)

    def __getitem__(self, name: str) -> float:
        return self._given[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)

    def __hash__(self) -> int:
        return hash(frozenset(self._given.items()))

    def __repr__(self) -> str:
        return repr(self._given)


@dataclass(frozen=True, kw_only=True)
class Training:
    """The settings of `training.dpo`.

    `loss`: a name in `formulas.LOSSES`. `params`: the parameters of the loss by name, including
    beta; missing ones have the loss's defaults. `steps`: number of updates, on `batch` pairs each,
    at the constant learning rate `lr`, with AdamW or SGD (`optimizer`), both without weight decay.
    `seed` fixes the order of the pairs. `record_every`: updates from one record to the next.
    `recorded`: indices of the pairs that are recorded, None for all.

    Raises `ValueError` with the setting and the remedy in its message.

    >>> dict(Training(loss="dpop", params={"lam": 5}, steps=1, batch=1, lr=1.0, seed=0).params)
    {'beta': 0.1, 'lam': 5.0}
    >>> Training(params={"lam": 5}, steps=1, batch=1, lr=1.0, seed=0)
    Traceback (most recent call last):
    ...
    ValueError: params: the loss 'dpo' has no 'lam'; it has beta
    """

    loss: str = "dpo"
    params: Mapping[str, float] = field(default_factory=dict)
    steps: int
    batch: int
    lr: float
    optimizer: Optimizer = "adamw"
    seed: int
    record_every: int = 1
    recorded: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise ValueError(f"loss = {self.loss!r} is unknown: LOSSES has {', '.join(LOSSES)}")
        object.__setattr__(self, "params", Numbers(LOSSES[self.loss].complete(self.params)))
        for name, least in {"steps": 1, "batch": 1, "record_every": 1, "seed": 0}.items():
            require_whole(name, getattr(self, name), least)
        require_rate(self.lr)
        object.__setattr__(self, "lr", float(self.lr))
        require_known("optimizer", self.optimizer, get_args(Optimizer))
        if self.recorded is not None:
            object.__setattr__(self, "recorded", tuple(int(i) for i in self.recorded))

    def flat(self) -> dict[str, Any]:
        """The settings as a dict that JSON can encode."""
        recorded = None if self.recorded is None else list(self.recorded)
        return asdict(self) | {"params": dict(self.params), "recorded": recorded}


def require_whole(name: str, value: object, least: int) -> None:
    """Raise `ValueError` unless the value of setting `name` is a whole number >= `least`."""
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{name} = {value!r}: give a whole number of at least {least}")


def require_rate(lr: float) -> None:
    """Raise `ValueError` for a learning rate that is not positive and finite."""
    if not 0 < lr < math.inf:
        raise ValueError(f"lr = {lr}: give a positive learning rate")


def require_known(name: str, value: object, known: tuple[object, ...]) -> None:
    """Raise `ValueError` unless the value of setting `name` is one of `known`."""
    if value not in known:
        raise ValueError(f"{name} = {value!r} is unknown: take one of {', '.join(map(str, known))}")
