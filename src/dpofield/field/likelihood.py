"""The likelihood of judgements under the Bradley-Terry model."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_expit


def win_log_likelihood(gap: ArrayLike, wins: int, losses: int) -> np.ndarray:
    """Bradley-Terry log-likelihood (nats) of `wins` and `losses` at the reward gap(s) `gap`.

    The result has the shape of `gap`. `ValueError` if a count is negative or both are 0.

    >>> win_log_likelihood(0.0, 1, 1).round(4)
    np.float64(-1.3863)
    """
    if wins < 0 or losses < 0 or wins + losses == 0:
        raise ValueError(f"wins = {wins}, losses = {losses}: use counts, at least one above 0")
    gap = np.asarray(gap, dtype=float)
    return np.asarray(wins * log_expit(gap) + losses * log_expit(-gap))[()]
