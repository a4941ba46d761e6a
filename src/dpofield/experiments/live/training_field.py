"""How pairs change each other: own and cross terms of the kernel at several steps of a run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from dpofield.experiments.config import Config
from dpofield.experiments.one_run import RunWatch, Start, run
from dpofield.lab.kernel import gram_matrix
from dpofield.lab.logprobs import reference_logprobs

Floats = NDArray[np.float64]


class Terms(NamedTuple):
    """Parts of the mean first-order change of the preferred responses in one step on the mean loss.

    Each part is divided by the gain of the mean margin. `own`: change by the pair itself.
    `preferred`, `dispreferred`: change by the preferred and by the dispreferred responses of the
    other pairs. The three parts add up to the preferred's share of the margin, which is 1/2 if both
    responses move equally far, and negative if the preferred falls. `alone` is this share without
    any cross terms.
    """

    own: float
    preferred: float
    dispreferred: float
    alone: float

    @property
    def share(self) -> float:
        """The preferred's share of the margin."""
        return self.own + self.preferred + self.dispreferred


def terms(kernel: ArrayLike, weights: ArrayLike) -> Terms:
    """`Terms` of a Gram matrix (2N, 2N), preferred responses first, and weights W (N,).

    A gradient step on the mean loss changes the log-probability of response a of pair i by a
    multiple of sum_j W_j (K[ia, jw] - K[ia, jl]): proposition law-batch of the book.

    >>> terms(np.eye(2), [1.0])
    Terms(own=0.5, preferred=0.0, dispreferred=0.0, alone=0.5)
    """
    K, W = np.asarray(kernel, dtype=float), np.asarray(weights, dtype=float)
    n = len(W)
    if K.shape != (2 * n, 2 * n):
        raise ValueError(f"kernel has shape {K.shape}, but {n} weights need ({2 * n}, {2 * n})")
    by_w, by_l = K[:, :n] * W, -K[:, n:] * W
    same = np.tile(np.eye(n, dtype=bool), (2, 1))
    own = np.where(same, by_w + by_l, 0.0).sum(axis=1)
    cross_w, cross_l = (np.where(same, 0.0, x).sum(axis=1) for x in (by_w, by_l))

    def mean(x: Floats) -> tuple[float, float]:
        up, down = x.reshape(2, n).mean(axis=1)
        return float(up), float(down)

    up, down = mean(own + cross_w + cross_l)
    own_up, own_down = mean(own)
    gain = up - down
    return Terms(
        own_up / gain, mean(cross_w)[0] / gain, mean(cross_l)[0] / gain,
        own_up / (own_up - own_down),
    )  # fmt: skip


class Look(NamedTuple):
    """A run after `step` updates: mean changes u and v so far, in nats, and the terms at that step.

    `frozen` is the preferred's share for the current weights and the kernel of the first look. It
    shows the effect of the weights alone, without the change of the kernel.
    """

    step: int
    u: float
    v: float
    terms: Terms
    frozen: float


def looks(
    config: Config, steps: Sequence[int], root: str | os.PathLike[str] | None = None
) -> list[Look]:
    """Train with `config`, and compute the whole kernel after each number of updates in `steps`.

    `steps` is in ascending order, and training ends with the last. The kernel is the one of plain
    gradient steps, for any optimizer. `root` is the cache of the starting models, as in `run`.
    Raises `ValueError` for other losses than DPO, because the weights are those of DPO.
    """
    if config.loss != "dpo":
        raise ValueError(f"loss = {config.loss!r}: the weights W are known for 'dpo' only")
    found = _Looks(steps)
    run(replace(config, steps=steps[-1], record_every=steps[-1]), found, root=root)
    return found.looks


class _Looks(RunWatch):
    """Computes the `Look`s of a run."""

    def __init__(self, steps: Sequence[int]) -> None:
        self._steps, self._taken = steps, 0
        self._kernels: list[Floats] = []
        self.looks: list[Look] = []

    def drawn(self, start: Start) -> None:
        self._start = start
        self._look()

    def begin(self, optimizer: torch.optim.Optimizer) -> None:
        optimizer.register_step_post_hook(self._after)

    def _after(self, *_: object) -> None:
        self._taken += 1
        self._look()

    def _look(self) -> None:
        if self._taken not in self._steps:
            return
        start, beta = self._start, self._start.config.params["beta"]
        logps = reference_logprobs(start.model, start.batch)
        u, v = (logps - start.reference).double().numpy().reshape(2, -1)
        weights = beta / (1 + np.exp(beta * (u - v)))
        self._kernels.append(gram_matrix(start.model, start.batch, progress=False))
        now, frozen = (terms(K, weights) for K in (self._kernels[-1], self._kernels[0]))
        self.looks.append(Look(self._taken, float(u.mean()), float(v.mean()), now, frozen.share))
