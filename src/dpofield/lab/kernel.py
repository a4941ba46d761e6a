"""The kernel of log-probability gradients: what one parameter step does to each log-probability."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dpofield.lab.logprobs import Batch, pair_logprobs
from dpofield.lab.model import CausalLM


class Gram(NamedTuple):
    """K_ab = <grad log pi_a, grad log pi_b> over all parameters, (N,) float64 each."""

    ww: NDArray[np.float64]
    wl: NDArray[np.float64]
    ll: NDArray[np.float64]

    @property
    def cosine(self) -> NDArray[np.float64]:
        """Cosine of the angle between the two gradients of each pair, (N,)."""
        return np.asarray(self.wl / np.sqrt(self.ww * self.ll))


def gram(model: CausalLM, pairs: Batch) -> Gram:
    """Inner products of the two log-probability gradients of each of N encoded pairs.

    Log-probabilities are in nats, summed over response tokens. Two backward passes a pair.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]

    def gradient(value: Tensor) -> Tensor:
        parts = torch.autograd.grad(value.sum(), parameters, retain_graph=True)
        return torch.cat([part.flatten() for part in parts]).double()

    rows = []
    for i in range(len(pairs) // 2):
        lw, ll = pair_logprobs(model, pairs.pairs(torch.tensor([i])))
        g_w, g_l = gradient(lw), gradient(ll)
        rows.append([float(g_w @ g_w), float(g_w @ g_l), float(g_l @ g_l)])
    return Gram(*np.array(rows).T)
