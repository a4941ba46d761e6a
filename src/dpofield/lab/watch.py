"""The interface through which a caller observes a training and can stop it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch


class Watch:
    """Methods that the training loops call in their own thread; override the needed ones.

    A watch is not saved in a state file. It observes only the new steps of a resumed training.
    """

    def begin(self, optimizer: torch.optim.Optimizer) -> None:
        """Called before preference training; hooks may be registered on the optimizer."""

    def progress(self, what: str, step: int, steps: int) -> None:
        """Called when `step` of the `steps` steps of the training `what` are done."""

    def record(self, step: int, u: NDArray[np.float64], v: NDArray[np.float64]) -> None:
        """Called with the recorded pairs' log-ratios after `step` updates: (N,) each, in nats."""

    def stopped(self) -> bool:
        """Whether the training should stop after the current step."""
        return False
