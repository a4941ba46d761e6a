"""The settings of a starting model; this module does not import torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Architecture = Literal["gpt2", "llama"]


@dataclass(frozen=True)
class Recipe:
    """The settings of a starting model: its shape, and its supervised fine-tuning.

    Fine-tuning takes `steps` steps on `batch` samples of the grammar each, at peak learning rate
    `lr`; with 0 steps the model keeps its initial weights. The seed fixes initial weights, samples
    and their order. Raises `ValueError` for an unknown architecture and for steps < 0.
    """

    steps: int
    seed: int = 0
    architecture: Architecture = "gpt2"
    layers: int = 4
    width: int = 128
    heads: int = 4
    batch: int = 16
    lr: float = 2e-3

    def __post_init__(self) -> None:
        known = get_args(Architecture)
        if self.architecture not in known:
            raise ValueError(f"no architecture {self.architecture!r}: {', '.join(known)}")
        if self.steps < 0:
            raise ValueError(f"steps must not be negative, got {self.steps}; 0 is no fine-tuning")
