"""Every printed function has the shape to which its arguments broadcast."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dpofield.field import coordinates, gradient, invariant, logratios, magnitude, potential
from dpofield.formulas import CHARTS, LOSSES
from dpofield.formulas.parameters import real_array
from dpofield.formulas.printers import numpy_function, torch_function

U, V = np.linspace(-3.0, 3.0, 7), np.linspace(-2.0, 2.5, 5)
GIVEN = {"ref_w": -8.0, "ref_l": -9.0, "len_w": 5.0, "len_l": 7.0}


def inputs(loss):
    return {p.name: GIVEN[p.name] for p in loss.inputs}


def one_by_one(function, *args):
    """The values of a function of scalars on the grid of `U` and `V`."""
    return np.array([[function(u, v, *args) for v in V] for u in U])


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_and_its_derivatives_on_a_grid(name):
    """Values and first and second derivatives, also where an expression lacks u or v: NumPy and
    torch have the shape of the grid, and the values of single calls."""
    loss = LOSSES[name]
    given = inputs(loss)
    exprs = (
        loss.expr,
        *loss.partials,
        *(p.diff(s) for p in loss.partials for s in loss.symbols[:2]),
    )
    everything = [*loss.defaults.values(), *given.values()]
    printed = numpy_function(loss.symbols, exprs)
    found = printed(U[:, None], V, *everything)
    alone = one_by_one(printed, *everything)
    tensors = [torch.tensor(x) for x in (U[:, None], V[None])]
    in_torch = torch_function(loss.symbols, exprs)(*tensors, *map(torch.tensor, everything))
    for k, (ours, theirs) in enumerate(zip(found, in_torch, strict=True)):
        assert ours.shape == tuple(theirs.shape) == (7, 5)
        np.testing.assert_allclose(ours, alone[..., k], rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(loss.numpy(U[:, None], V[None], **given), found[0])
    assert loss.torch(*tensors, **given).shape == (7, 5)


@pytest.mark.parametrize("name", LOSSES)
def test_an_array_of_parameters_broadcasts_too(name):
    """A parameter with an axis of its own gives the results that single values give."""
    loss = LOSSES[name]
    for p in loss.arguments:
        near = GIVEN.get(p.name, p.default)
        values = np.array([near, near + 0.1 * abs(near or 1) * (-1 if near == 0 else 1)])
        values = np.clip(values, float(p.interval.start), float(p.interval.end))
        given = inputs(loss)
        found = loss.numpy(U[:, None, None], V[:, None], **given | {p.name: values})
        assert found.shape == (7, 5, 2)
        for i, value in enumerate(values):
            alone = loss.numpy(U[:, None], V, **given | {p.name: value})
            np.testing.assert_allclose(found[..., i], alone, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("shape", [(0,), (0, 3), (), (1,), (2, 3)])
def test_any_shape(name, shape):
    """Empty, 0-d and two-dimensional arrays keep their shape; a scalar broadcasts to it."""
    loss, x = LOSSES[name], np.full(shape, 0.5)
    assert np.shape(loss.numpy(x, 0, **inputs(loss))) == shape
    assert np.shape(loss.numpy(0, x, **inputs(loss))) == shape
    t = torch.tensor(x)
    assert loss.torch(t, torch.zeros(()), **inputs(loss)).shape == shape


@pytest.mark.parametrize("name", LOSSES)
def test_integers_are_numbers(name):
    """Integer arrays and tensors give the loss of the floats; beta is not rounded."""
    loss, pair = LOSSES[name], ([-2, 0, 3], [1, 0, -1])
    floats = loss.numpy(*(np.array(x, float) for x in pair), **inputs(loss))
    np.testing.assert_array_equal(loss.numpy(*map(np.array, pair), **inputs(loss)), floats)
    found = loss.torch(*map(torch.tensor, pair), **inputs(loss))
    np.testing.assert_allclose(found, floats, rtol=1e-5, atol=1e-6)


def test_a_gradient_reaches_what_was_broadcast():
    """Torch sums the gradient over the axes along which a tensor was repeated."""
    u = torch.zeros(7, 1, requires_grad=True)
    v = torch.zeros(5, requires_grad=True)
    LOSSES["sft"].torch(u, v, **inputs(LOSSES["sft"])).sum().backward()
    torch.testing.assert_close(u.grad, torch.full((7, 1), -5 / GIVEN["len_w"]))
    assert v.grad is None or not v.grad.any()


@pytest.mark.parametrize("chart", CHARTS.values(), ids=lambda chart: chart.name)
@pytest.mark.parametrize("name", LOSSES)
def test_fields_of_every_loss_in_every_chart(chart, name):
    """Gradient, magnitude, potential and the maps of charts have the shape of the grid."""
    loss = LOSSES[name]
    a, b = np.array([[0.1], [0.2], [0.3]]), np.array([0.05, 0.15])
    given = {p.name: GIVEN.get(p.name, p.default) for p in (*loss.inputs, *chart.params)}
    own = {p.name: given[p.name] for p in chart.params}
    fields = [*gradient(loss, chart, a, b, **given), magnitude(loss, chart, a, b, **given),
              potential(loss, chart, a, b, **given), invariant(chart, a, b),
              *coordinates(chart, -a, -b, **own), *logratios(chart, a, b, **own)]  # fmt: skip
    assert {np.shape(field) for field in fields} == {(3, 2)}
    for i, j in ((0, 0), (2, 1)):
        alone = gradient(loss, chart, a[i, 0], b[j], **given)
        np.testing.assert_allclose([f[i, j] for f in fields[:2]], alone, rtol=1e-13)


def test_what_does_not_broadcast_is_named():
    """The error names the loss or the chart and every shape, in NumPy, torch and the fields."""
    said = r"loss 'sft': the shapes do not broadcast: u \(2,\), v \(3,\)"
    given = inputs(LOSSES["sft"])
    with pytest.raises(ValueError, match=said):
        LOSSES["sft"].numpy(np.zeros(2), np.zeros(3), **given)
    with pytest.raises(ValueError, match=said):
        LOSSES["sft"].torch(torch.zeros(2), torch.zeros(3), **given)
    with pytest.raises(ValueError, match=r"ratio chart: .* a \(2,\), b \(3,\)"):
        gradient("dpo", "ratio", np.ones(2), np.ones(3))
    with pytest.raises(ValueError, match=r"do not broadcast: .*len_w \(4,\)"):
        LOSSES["sft"].numpy(np.zeros(2), np.zeros(2), **given | {"len_w": np.ones(4)})


def test_masks_and_complex_numbers_are_refused():
    """A hidden entry would count, and an imaginary part would be lost."""
    masked = np.ma.masked_array([1.0, 2.0], mask=[True, False])
    for bad, said in ((masked, "masked array"), (np.array([1j]), "complex")):
        for call in (
            lambda x: LOSSES["dpo"].numpy(x, 0.0),
            lambda x: LOSSES["dpo"].numpy(0.0, 0.0, beta=x),
            lambda x: gradient("dpo", "log-ratio", x, 0.0),
            lambda x: real_array("u", x),
        ):
            with pytest.raises(ValueError, match=said):
                call(bad)
