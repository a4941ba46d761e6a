"""How a caller follows a training: a class whose methods the loops call, and that can end them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch


class Watch:
    """Follows a training; override what is wanted. All is called in the thread that trains.

    What a watch keeps is not in a state file, so a resumed training is watched from there on.
    """

    def begin(self, optimizer: torch.optim.Optimizer) -> None:
        """Preference training begins with this optimizer; hooks may be registered on it."""

    def progress(self, what: str, step: int, steps: int) -> None:
        """`step` of `steps` steps of `what` are done."""

    def record(self, step: int, u: NDArray[np.float64], v: NDArray[np.float64]) -> None:
        """The recorded pairs have these log-ratios after `step` updates, in nats: (N,) each."""

    def stopped(self) -> bool:
        """Whether the training is to end after the step that it is in."""
        return False
