"""The law of motion's module under Node: one step of a real optimiser, and the words for it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dpofield.formulas import LOSSES
from dpofield.widgets import LawOfMotion

SCRIPT = """
import { readFileSync } from "node:fs";
import { FORMULAS, solve, verdict } from "./module.mjs";
const jobs = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(jobs.map((job) => {
  const n = solve(job);
  return { ...n, words: verdict(n).join(""), given: FORMULAS.given(n.ww, n.wl, n.ll) };
})));
"""


def random_states(count=60):
    """Vectors in general position, and the edges of every region."""
    draw = np.random.default_rng(0).normal(size=(count, 4))
    rows = [*draw, (1, 0, 1, 1), (1, 0, 2, 0.1), (1, 1, 0.4, 0.4), (2, 1, 2, 1), (1, 0, 0, 1)]
    names = ("wx", "wy", "lx", "ly")
    return [dict(zip(names, map(float, row), strict=True)) for row in rows]


def test_one_step_of_sgd(under_node):
    """For log-probabilities linear in two parameters the law is exact, so torch's SGD on the DPO
    loss must make the changes that the figure shows."""
    eta, beta = 0.05, 0.3
    jobs, seen = [], []
    for state in random_states():
        rows = [[state["wx"], state["wy"]], [state["lx"], state["ly"]]]
        g = torch.tensor(rows, dtype=torch.float64)
        theta = torch.tensor([0.4, -0.7], dtype=torch.float64, requires_grad=True)
        u, v = g @ theta
        LOSSES["dpo"].torch(u, v, beta=beta).backward()
        torch.optim.SGD([theta], lr=eta).step()
        after = (g @ theta).detach()
        weight = beta * torch.sigmoid(-beta * (u - v)).item()
        jobs.append(state | {"pace": eta * weight})
        seen.append((after - torch.stack([u, v]).detach()).tolist())
    for found, (dw, dl) in zip(under_node(LawOfMotion, SCRIPT, jobs), seen, strict=True):
        assert found["dw"] == pytest.approx(dw, rel=1e-9, abs=1e-14)
        assert found["dl"] == pytest.approx(dl, rel=1e-9, abs=1e-14)
        assert found["margin"] == pytest.approx(dw - dl, rel=1e-9, abs=1e-14)
        assert found["margin"] >= -1e-15


def test_words_and_kernel(under_node):
    """The words follow from the changes; vectors computed from a kernel have that kernel."""
    jobs = [state | {"pace": 0.1} for state in random_states()]
    for found in under_node(LawOfMotion, SCRIPT, jobs):
        words, dw, dl = found["words"], found["dw"], found["dl"]
        if dw == dl == 0:
            assert "Nothing moves" in words
            continue
        names = {1: "rises", -1: "falls", 0: "stays"}
        assert f"The preferred {names[int(np.sign(dw))]}, " in words
        assert f"the dispreferred {names[int(np.sign(dl))]};" in words
        if not math.isclose(abs(dl), abs(dw)):
            more = "dispreferred" if abs(dl) > abs(dw) else "preferred"
            assert f"the {more} moves more" in words
        length, along, across = found["given"]
        kernel = (length**2, length * along, along**2 + across**2)
        assert kernel == pytest.approx((found["ww"], found["wl"], found["ll"]), abs=1e-12)
        assert found["cosine"] == pytest.approx(found["wl"] / (found["ww"] * found["ll"]) ** 0.5)
