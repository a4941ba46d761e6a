"""The configuration of a run: all settings that its numbers depend on."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from dpofield.lab.recipe import Architecture, Recipe
from dpofield.lab.settings import Optimizer, Training, require_known, require_whole

Source = Literal["grammar", "model"]
Where = Literal["early", "middle", "late"]
Prompts = Literal["all", "evaluated"]

_CHOICES: dict[str, tuple[str, ...]] = {
    "architecture": get_args(Architecture),
    "source": get_args(Source),
    "prompts": get_args(Prompts),
}
_LEAST = {
    "layers": 1, "width": 1, "heads": 1, "sft_steps": 0, "sft_seed": 0, "pairs": 1, "pairs_seed": 0,
    "evaluated": 0,
}  # fmt: skip
_WHOLE = (*_LEAST, "edit_distance", "steps", "batch", "seed", "record_every")


@dataclass(frozen=True, kw_only=True)
class Config:
    """One preference training, from the untrained model to the last measurement.

    The starting model:
        `architecture`, `layers`, `width`, `heads`: its shape.
        `sft_steps`: steps of supervised fine-tuning (the SFT level), 0 for an untrained model.
        `sft_seed`: seed of its initial weights and of the texts it is fine-tuned on.
    The pairs:
        `pairs`: number of pairs. `pairs_seed`: seed of the random draw.
        `source`: "grammar" (off-policy), or "model" for samples of the starting model (on-policy).
        `prompts`: "all", or "evaluated" for the evaluated prompts only.
        `edit_distance`: Levenshtein distance of the two responses in tokens, or None for any.
        `edit_position`: third of the first difference: "early", "middle", "late", or None for any.
        `matched`: only pairs whose responses are about equally likely under the starting model.
    Training:
        `loss`: a name in `formulas.LOSSES`. `params`: its parameters by name, including beta; a
        parameter that is not given has the loss's default.
        `optimizer`: "adamw" or "sgd". `lr`: learning rate. `steps`: number of updates. `batch`:
        pairs per update. `seed`: seed of the order of the pairs.
    Measurements:
        `record_every`: number of updates between two records.
        `keep_paths`: keep every record of every pair, and the parts of the law of motion for every
        step; such a run is several times slower.
        `evaluated`: number of prompts for which every possible response is scored.

    Raises `ValueError` with the field and a remedy.

    >>> Config(loss="dpop", params={"lam": 5}).params
    {'beta': 0.1, 'lam': 5.0}
    >>> Config(params={"beta": -1.0})
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
    params: Mapping[str, float] = field(default_factory=dict)
    optimizer: Optimizer = "adamw"
    lr: float = 1e-4
    steps: int = 80
    batch: int = 16
    seed: int = 0
    record_every: int = 4
    keep_paths: bool = False
    evaluated: int = 3

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            require_known(name, getattr(self, name), known)
        for name, least in _LEAST.items():
            require_whole(name, getattr(self, name), least)
        self._check_pairs()
        # `Training` normalises these values, so that equal runs have equal keys.
        for name in ("params", "lr"):
            object.__setattr__(self, name, getattr(self.training, name))

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

    @property
    def training(self) -> Training:
        """The settings of its preference training."""
        return Training(
            loss=self.loss, params=self.params, steps=self.steps, batch=self.batch, lr=self.lr,
            optimizer=self.optimizer, seed=self.seed, record_every=self.record_every,
        )  # fmt: skip

    @property
    def recipe(self) -> Recipe:
        """The recipe of the starting model."""
        return Recipe(
            steps=self.sft_steps, seed=self.sft_seed, architecture=self.architecture,
            layers=self.layers, width=self.width, heads=self.heads,
        )  # fmt: skip

    @property
    def key(self) -> str:
        """Hash of all fields: equal configurations have equal keys on every machine.

        >>> Config().key == Config(params={"beta": 0.1}).key != Config(seed=1).key
        True
        """
        text = json.dumps(self.flat(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def flat(self) -> dict[str, Any]:
        """Field -> number, text or None, with `params` as JSON; the inverse of `from_flat`."""
        return asdict(self) | {"params": json.dumps(dict(self.params), sort_keys=True)}

    @classmethod
    def from_flat(cls, row: Mapping[str, Any]) -> Config:
        """The configuration in a row of a table; other columns are ignored.

        A table may contain nan for None and floats for integers; both are converted back. Raises
        `ValueError` with the names of missing fields.

        >>> config = Config(loss="dpop", params={"lam": 5.0}, edit_distance=2)
        >>> Config.from_flat(config.flat() | {"edit_distance": 2.0}) == config
        True
        """
        lacking = [f.name for f in fields(cls) if f.name not in row]
        if lacking:
            raise ValueError(f"no configuration: the row lacks {', '.join(lacking)}")
        values = {f.name: _plain(row[f.name]) for f in fields(cls)}
        for name in _WHOLE:
            values[name] = None if values[name] is None else int(values[name])
        for name in ("matched", "keep_paths"):
            values[name] = bool(values[name])
        return cls(**values | {"params": json.loads(values["params"])})


def _plain(value: Any) -> Any:
    """The Python value of a NumPy or pandas scalar; None for nan."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and math.isnan(value) else value
