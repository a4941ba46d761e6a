"""How likely judgements are under two rewards (Bradley-Terry)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_expit


def win_log_likelihood(gap: ArrayLike, wins: int, losses: int) -> np.ndarray:
    """Bradley-Terry log-likelihood (nats) of `wins` and `losses` at the reward gap(s) `gap`.

    The shape is that of `gap`. `ValueError` when a count is negative or there is no judgement.

    >>> win_log_likelihood(0.0, 1, 1).round(4)
    np.float64(-1.3863)
    """
    if wins < 0 or losses < 0 or wins + losses == 0:
        raise ValueError(f"wins = {wins}, losses = {losses}: both are counts, at least one above 0")
    gap = np.asarray(gap, dtype=float)
    return np.asarray(wins * log_expit(gap) + losses * log_expit(-gap))[()]
