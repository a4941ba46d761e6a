"""Checks of Theorem 1 at points, by autograd."""

from __future__ import annotations

import numpy as np
import torch

from dpofield.formulas import LOSSES, THEOREMS
from dpofield.formulas.printers import numpy_function
from dpofield.formulas.symbols import beta as beta_symbol
from dpofield.formulas.symbols import x1 as x1_symbol
from dpofield.formulas.symbols import x2 as x2_symbol


def theorem_1_against_autograd() -> str:
    """Compare autograd of the printed torch loss with Theorem 1 at 1000 random points."""
    rng = np.random.default_rng(0)
    x = np.exp(rng.uniform(-4, 4, size=(2, 1000)))
    leaves = [torch.tensor(row, requires_grad=True) for row in x]
    loss = LOSSES["dpo"].torch(*(leaf.log() for leaf in leaves), beta=0.1)
    found = torch.autograd.grad(loss.sum(), leaves)
    closed = closed_form(x[0], x[1], 0.1)
    gap = max(float(np.abs(f.numpy() / c - 1).max()) for f, c in zip(found, closed, strict=True))
    assert gap < 1e-13, f"autograd differs from Theorem 1 by {gap:.0e}"
    return f"largest relative difference {gap:.0e} over {x.shape[1]} points"


def closed_form(x1: np.ndarray, x2: np.ndarray, beta: float) -> tuple[np.ndarray, np.ndarray]:
    """The gradient as the statement of Theorem 1 prints it, so that a wrong statement fails."""
    symbols = (x1_symbol, x2_symbol, beta_symbol)
    first, second = (chain.equation.rhs for chain in THEOREMS["theorem-1"].chains)
    along_1, along_2 = numpy_function(symbols, (first, second))(x1, x2, beta)
    return along_1, along_2
