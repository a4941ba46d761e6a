"""The checks that the claims name. Each recomputes its claim now and returns what it found.

A check raises `AssertionError` when its claim does not hold; otherwise it returns one short
sentence of evidence with the numbers of this run.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import lru_cache, partial

import mpmath
import numpy as np
import torch

from dpofield.field import extinction_time, flow, gradient
from dpofield.formulas import LOSSES, THEOREMS
from dpofield.formulas.printers import numpy_function
from dpofield.formulas.symbols import beta as beta_symbol
from dpofield.formulas.symbols import x1 as x1_symbol
from dpofield.formulas.symbols import x2 as x2_symbol
from dpofield.lab.checkpoint import sft_checkpoint
from dpofield.lab.kernel import gram
from dpofield.lab.logprobs import encode, reference_logprobs
from dpofield.lab.model import small_gpt2
from dpofield.lab.runs import Run
from dpofield.lab.tokenizer import word_tokenizer
from dpofield.lab.training import dpo
from dpofield.lab.world import World

Check = Callable[[], str]


def _derivation(name: str) -> str:
    theorem = THEOREMS[name]
    theorem.check()
    assert theorem.proved
    links = sum(len(chain.steps) for chain in theorem.chains)
    return f"{links} steps, residual {theorem.residual}; facts decided: {len(theorem.facts)}"


def theorem_1_against_autograd() -> str:
    """Autograd through the printed torch loss against `field.gradient`, 1000 random points."""
    rng = np.random.default_rng(0)
    x = np.exp(rng.uniform(-4, 4, size=(2, 1000)))
    leaves = [torch.tensor(row, requires_grad=True) for row in x]
    loss = LOSSES["dpo"].torch(*(leaf.log() for leaf in leaves), beta=0.1)
    found = torch.autograd.grad(loss.sum(), leaves)
    closed = _closed_form(x[0], x[1], 0.1)
    gap = max(float(np.abs(f.numpy() / c - 1).max()) for f, c in zip(found, closed, strict=True))
    assert gap < 1e-13, f"autograd differs from Theorem 1 by {gap:.0e}"
    return f"largest relative difference {gap:.0e} over {x.shape[1]} points"


def _closed_form(x1: np.ndarray, x2: np.ndarray, beta: float) -> tuple[np.ndarray, np.ndarray]:
    # Theorem 1 as its statement prints it, so that a wrong statement cannot pass here.
    symbols = (x1_symbol, x2_symbol, beta_symbol)
    first, second = (chain.equation.rhs for chain in THEOREMS["theorem-1"].chains)
    along_1, along_2 = numpy_function(symbols, (first, second))(x1, x2, beta)
    return along_1, along_2


def gradient_against_50_digits() -> str:
    """`field.gradient` in log-ratios against mpmath at random points of the whole domain."""
    rng = np.random.default_rng(2)
    u, v = rng.uniform(-700, 700, size=(2, 500))
    beta = np.exp(rng.uniform(np.log(1e-3), np.log(10), size=500))
    worst = 0.0
    with mpmath.workdps(50):
        for point in zip(u, v, beta, strict=True):
            a, b, k = (mpmath.mpf(float(z)) for z in point)
            exact = -k / (1 + mpmath.exp(k * (a - b)))
            found = gradient("dpo", "log-ratio", point[0], point[1], beta=point[2])
            assert found[0] == -found[1]
            if abs(exact) > 1e-300:
                worst = max(worst, float(abs(mpmath.mpf(float(found[0])) / exact - 1)))
    assert worst < 1e-11, f"relative error {worst:.0e}"
    return f"largest relative error {worst:.0e} over {len(u)} points"


def clock_of_extinction() -> str:
    """SciPy's integrator, which knows no closed form, against the integral."""
    gaps = []
    for beta in (0.1, 0.5, 1.0):
        line = flow("dpo", "ratio", beta=beta)
        assert line.stopped == "extinct"
        gaps.append(abs(line.t[-1] - extinction_time(beta)))
    assert max(gaps) < 1e-5
    assert math.isinf(extinction_time(2.0))
    return f"arrival and integral differ by at most {max(gaps):.0e} (beta 0.1, 0.5, 1)"


def faster_rate_chart_by_chart() -> str:
    """The abstract's sentence, read as components, in the ratios and in the log-ratios."""
    line = flow("dpo", "ratio", beta=0.1)
    speed_1, speed_2 = (np.abs(g) for g in gradient("dpo", "ratio", line.a, line.b, beta=0.1))
    assert np.isclose(speed_1[0], speed_2[0])
    assert (speed_2[1:] > speed_1[1:]).all()
    rng = np.random.default_rng(3)
    x1, x2 = rng.uniform(0.01, 2.2, size=(2, 10_000))
    along_1, along_2 = np.abs(gradient("dpo", "ratio", x1, x2, beta=0.1))
    assert ((along_2 > along_1) == (x2 < x1)).all()
    u, v = rng.normal(scale=5, size=(2, 10_000))
    along_u, along_v = gradient("dpo", "log-ratio", u, v, beta=0.1)
    assert (along_u == -along_v).all()
    share = (along_2 > along_1).mean()
    return f"ratios: in {share:.0%} of the square, where x2 < x1; log-ratios: equal at every point"


def start_at_one() -> str:
    """u = v = 0 for every pair, exactly, for models that differ as much as models can."""
    world = World()
    for seed in (0, 1):
        model = small_gpt2(seed)
        pairs = encode(word_tokenizer(), world.pairs(8, seed=seed))
        reference = reference_logprobs(copy.deepcopy(model), pairs)
        u, v = (reference_logprobs(model, pairs) - reference).chunk(2)
        along = gradient("dpo", "ratio", u.exp().numpy(), v.exp().numpy(), beta=0.1)
        assert (np.abs(np.array(along)) == 0.05).all()
    return f"u = v = 0 for {2 * len(u)} pairs of two untrained models; |components| = beta/2"


@lru_cache(maxsize=1)
def short_run() -> Run:
    """15 DPO steps on 32 one-edit pairs from the weakly fine-tuned GPT-2; one seed, cached."""
    model, tokenizer = sft_checkpoint("weak", progress=False)
    pairs = encode(tokenizer, World().pairs(32, seed=5, edit_distance=1))
    reference = reference_logprobs(model, pairs)
    torch.manual_seed(0)
    return dpo(
        model, reference, pairs, steps=15, batch=32, lr=1e-4, beta=0.1, seed=0, progress=False
    )


def theorem_1_in_a_run() -> str:
    """Autograd at every recorded step of a short GPT-2 run against Theorem 1's statement."""
    run = short_run()
    closed = _closed_form(run.x1, run.x2, 0.1)
    gap = max(
        float(np.abs(f / c - 1).max()) for f, c in zip((run.dx1, run.dx2), closed, strict=True)
    )
    assert gap < 1e-12, f"autograd in training differs from Theorem 1 by {gap:.0e}"
    return f"largest relative difference {gap:.0e} over {run.x1.size} recorded values"


def rates_of_change_in_a_run() -> str:
    """Mean change of the two log-probabilities over the first steps of that run."""
    run = short_run()
    assert np.allclose(run.x1[0], 1)
    assert np.allclose(run.x2[0], 1)
    du, dv = run.u[3].mean(), run.v[3].mean()
    assert dv < -abs(du), f"preferred {du:+.2f}, dispreferred {dv:+.2f} nats after 3 steps"
    assert run.v[-1].mean() < run.u[-1].mean()
    return f"after 3 steps: preferred {du:+.2f} nats, dispreferred {dv:+.2f} nats (mean of 32)"


def one_small_step() -> str:
    """Predicted and observed change of both log-probabilities; the miss shrinks with the step."""
    model, tokenizer = sft_checkpoint("weak", progress=False)
    model = copy.deepcopy(model).double()
    pair = encode(tokenizer, World().pairs(1, seed=1, edit_distance=1))
    start, K, beta = reference_logprobs(model, pair), gram(model, pair), 0.1
    misses = []
    for eta in (1e-4, 1e-5):
        predicted = eta * beta / 2 * np.array([K.ww - K.wl, K.wl - K.ll]).ravel()
        step = dpo(
            copy.deepcopy(model), start, pair,
            beta=beta, steps=1, batch=1, lr=eta, optimizer="sgd", seed=0, progress=False,
        )  # fmt: skip
        observed = np.array([step.u[1, 0], step.v[1, 0]])
        misses.append(float(np.abs(observed - predicted).max() / np.abs(predicted).max()))
    assert misses[1] < 0.02, f"the prediction misses by {misses[1]:.1%} at a step of 1e-5"
    assert misses[1] < misses[0] / 5, f"the miss does not shrink with the step: {misses}"
    return f"misses by {misses[0]:.0e} of the change at a step of 1e-4, by {misses[1]:.0e} at 1e-5"


CHECKS: dict[str, Check] = {
    **{f"derivation {name}": partial(_derivation, name) for name in THEOREMS},
    "theorem 1 against autograd": theorem_1_against_autograd,
    "gradient against 50 digits": gradient_against_50_digits,
    "clock of extinction": clock_of_extinction,
    "faster rate, chart by chart": faster_rate_chart_by_chart,
    "start at one": start_at_one,
    "theorem 1 in a run": theorem_1_in_a_run,
    "rates of change in a run": rates_of_change_in_a_run,
    "one small step": one_small_step,
}
"""Every check by the name that claims use."""
