"""The kernel is exact, and the law of motion predicts small gradient steps."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from dpofield.formulas import LOSSES
from dpofield.lab.batch import Batch, encode
from dpofield.lab.kernel import (
    Gram,
    gram,
    gram_matrix,
    predicted_change,
    projections,
    slopes,
    trained,
)
from dpofield.lab.logprobs import pair_logprobs, reference_logprobs
from dpofield.lab.model import small_gpt2
from dpofield.lab.one_step import change, steps_alone
from dpofield.lab.settings import Training
from dpofield.lab.training import dpo
from dpofield.lab.world import World

N = 3


@pytest.fixture
def pairs(tokenizer: Any, world: World) -> Batch:
    return encode(tokenizer, world.pairs(N, seed=0))


@pytest.fixture
def exact(model: Any) -> Any:
    return model.double()


@pytest.fixture
def gpt2() -> Any:
    """A model in float64 throughout. A Llama computes norms and rotations in float32 even if its
    weights are float64, so rounding would hide the change in a very small step."""
    return small_gpt2(seed=1, layers=2, width=32).double()


def vector(parts: Any) -> Tensor:
    return torch.cat([part.detach().flatten() for part in parts])


def moved(model: Any, change: Tensor) -> Any:
    """The model with its flattened parameters moved by `change`, as a function of its inputs."""
    names, sizes = zip(*((k, p.numel()) for k, p in model.named_parameters()), strict=True)
    parts = change.split(list(sizes))
    old = dict(model.named_parameters())
    new = {k: old[k] + part.view_as(old[k]) for k, part in zip(names, parts, strict=True)}
    return lambda **inputs: functional_call(model, new, (), inputs)


def jacobian(model: Any, pairs: Batch) -> Tensor:
    """All gradients by another method: one padded batch, one leaf that holds all parameters."""

    def logprobs(change: Tensor) -> Tensor:
        return torch.cat(pair_logprobs(moved(model, change), pairs))

    start = torch.zeros(vector(model.parameters()).shape, dtype=torch.float64)
    return torch.autograd.functional.jacobian(logprobs, start)


def random_metric(model: Any, seed: int = 3) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.rand(p.shape, generator=generator, dtype=p.dtype).square() for p in model.parameters()
    ]


def test_against_the_jacobian(exact: Any, pairs: Batch) -> None:
    """Every entry, for both families of models, including tied embeddings and biases."""
    rows = jacobian(exact, pairs)
    np.testing.assert_allclose(
        gram_matrix(exact, pairs, progress=False), (rows @ rows.T).numpy(), rtol=1e-10
    )


def test_under_a_metric(exact: Any, pairs: Batch) -> None:
    """<g_a, P g_b> for a random diagonal P, in the matrix and pair by pair."""
    rows, metric = jacobian(exact, pairs), random_metric(exact)
    wanted = ((rows * vector(metric)) @ rows.T).numpy()
    found = gram_matrix(exact, pairs, metric=metric, progress=False)
    np.testing.assert_allclose(found, wanted, rtol=1e-10)
    alone = gram(exact, pairs, metric=metric, progress=False)
    np.testing.assert_allclose(alone.ww, np.diag(wanted)[:N], rtol=1e-10)
    np.testing.assert_allclose(alone.wl, np.diag(wanted, N), rtol=1e-10)
    np.testing.assert_allclose(alone.ll, np.diag(wanted)[N:], rtol=1e-10)


def test_an_entry_is_a_derivative(exact: Any, pairs: Batch) -> None:
    """K_ab by central differences: the derivative of log pi_a along the gradient of log pi_b."""
    K, rows = gram_matrix(exact, pairs, progress=False), jacobian(exact, pairs)
    length, precision = (1e-5, 1e-7) if exact.config.model_type == "gpt2" else (3e-4, 1e-3)
    for b in (0, 2 * N - 1):
        step = length * rows[b] / rows[b].norm()
        with torch.no_grad():
            ahead, behind = (
                torch.cat(pair_logprobs(moved(exact, s * step), pairs)) for s in (1, -1)
            )
        found = (ahead - behind).numpy() / (2 * length) * float(rows[b].norm())
        np.testing.assert_allclose(found, K[:, b], rtol=0, atol=precision * K[b, b])


def test_symmetric_and_positive(exact: Any, pairs: Batch) -> None:
    """A Gram matrix is symmetric, has no negative eigenvalue, and cosines stay within 1."""
    for metric in (None, random_metric(exact)):
        K = gram_matrix(exact, pairs, metric=metric, progress=False)
        np.testing.assert_allclose(K, K.T, rtol=1e-12)
        values = np.linalg.eigvalsh(K)
        assert values[0] > -1e-10 * values[-1]
        alone = gram(exact, pairs, metric=metric, progress=False)
        assert (np.abs(alone.cosine) <= 1).all()


def test_padding_changes_nothing(exact: Any, tokenizer: Any, world: World) -> None:
    """A gradient depends neither on the side of the padding nor on the other rows of the batch."""
    texts = world.pairs(N, seed=4)
    sides = [encode(tokenizer, texts, padding_side=side) for side in ("left", "right")]
    left, right = (gram_matrix(exact, batch, progress=False) for batch in sides)
    np.testing.assert_allclose(left, right, rtol=1e-9)
    first = gram(exact, encode(tokenizer, texts[:1]), progress=False)
    assert float(first.wl[0]) == pytest.approx(left[0, N], rel=1e-9)


def test_float32_is_close(model: Any, pairs: Batch) -> None:
    """A float32 model gives the kernel to 1e-3, because products are added up in float64."""
    single = gram_matrix(model, pairs, progress=False)
    double = gram_matrix(model.double(), pairs, progress=False)
    assert single.dtype == np.float64
    np.testing.assert_allclose(single, double, rtol=1e-3, atol=1e-5 * double.max())


def test_frozen_parameters_do_not_move(tiny_gpt2: Any, pairs: Batch) -> None:
    """Frozen parameters do not contribute: the kernels of two disjoint sets add up to the whole."""
    model = tiny_gpt2.double()
    whole = gram_matrix(model, pairs, progress=False)
    shares = []
    for layer in (True, False):
        for name, p in model.named_parameters():
            p.requires_grad_(("transformer.h." in name) is layer)
        assert set(trained(model)) == {k for k, p in model.named_parameters() if p.requires_grad}
        shares.append(gram_matrix(model, pairs, progress=False))
    np.testing.assert_allclose(shares[0] + shares[1], whole, rtol=1e-10)
    assert (np.diag(shares[0]) < np.diag(whole)).all()


def test_projections(exact: Any, pairs: Batch) -> None:
    """<g_a, d> of every row, against the Jacobian."""
    rows = jacobian(exact, pairs)
    direction = random_metric(exact, seed=5)
    found = projections(exact, pairs, direction, progress=False)
    np.testing.assert_allclose(found, (rows @ vector(direction)).numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", LOSSES)
def test_slopes_are_the_partial_derivatives(name: str) -> None:
    """Autograd of the printed loss agrees with SymPy's derivative of the expression."""
    loss, at = LOSSES[name], (0.3, -0.8)
    inputs = {"ref_w": -3.0, "ref_l": -4.0, "len_w": 3.0, "len_l": 5.0}
    given = {p.name: inputs[p.name] for p in loss.inputs}
    found = slopes(name, [at[0]], [at[1]], **{k: torch.tensor([x]) for k, x in given.items()})
    values = dict(zip(loss.symbols, [*at, *(loss.defaults | given).values()], strict=True))
    for ours, expr in zip(found, loss.partials, strict=True):
        assert float(ours[0]) == pytest.approx(
            float(expr.subs(values).evalf()), rel=1e-9, abs=1e-12
        )


def errors(model: Any, pairs: Batch, loss: str, kernel: Any, sizes: list[float]) -> list[float]:
    """|observed - predicted| over |predicted| of one SGD step on the mean loss.

    One value per size; a size is the largest predicted change, in nats.
    """
    start = reference_logprobs(model, pairs)
    reference = start - torch.linspace(-0.4, 0.5, 2 * N, dtype=torch.float64)  # off kinks
    u, v = (start - reference).chunk(2)
    inputs = {
        "ref_w": reference[:N], "ref_l": reference[N:],
        "len_w": pairs.lengths[:N].double(), "len_l": pairs.lengths[N:].double(),
    }  # fmt: skip
    given = {p.name: inputs[p.name] for p in LOSSES[loss].inputs}
    du, dv = slopes(loss, u, v, **given)
    largest, found = np.abs(predicted_change(kernel, du, dv, 1.0)).max(), []
    for lr in np.array(sizes) / largest:
        policy = copy.deepcopy(model)
        optimizer = torch.optim.SGD(policy.parameters(), lr=lr)
        lw, ll = pair_logprobs(policy, pairs)
        LOSSES[loss].torch(lw - reference[:N], ll - reference[N:], **given).mean().backward()
        optimizer.step()
        observed = (reference_logprobs(policy, pairs) - start).numpy()
        predicted = np.concatenate(predicted_change(kernel, du, dv, lr))
        found.append(float(np.linalg.norm(observed - predicted) / np.linalg.norm(predicted)))
    return found


def test_the_law_for_every_loss(gpt2: Any, pairs: Batch) -> None:
    """One step on a batch: for every loss the relative error is small and halves with the step."""
    kernel = gram_matrix(gpt2, pairs, progress=False)
    for name in LOSSES:
        large, small = errors(gpt2, pairs, name, kernel, [1e-3, 5e-4])
        assert small < 0.01, name
        assert large / small == pytest.approx(2, rel=0.1), name


def test_a_gram_is_a_batch_of_one(exact: Any, pairs: Batch) -> None:
    """`predicted_change` of a `Gram` agrees with that of the 2 x 2 matrix of each pair."""
    alone = gram(exact, pairs, progress=False)
    du, dv = np.array([-0.1, 0.2, -0.3]), np.array([0.4, 0.1, 0.3])
    changes = np.array(predicted_change(alone, du, dv, 0.01))
    for i in range(N):
        K = gram_matrix(exact, pairs.pairs(torch.tensor([i])), progress=False)
        one = np.ravel(predicted_change(K, du[[i]], dv[[i]], 0.01))
        np.testing.assert_allclose(changes[:, i], one, rtol=1e-10)


def test_steps_alone_are_training_steps(exact: Any, pairs: Batch) -> None:
    """The observed step is that of `dpo` with SGD, and the model is not changed."""
    start, before = reference_logprobs(exact, pairs), vector(exact.parameters()).clone()
    lr = 1e-3
    found = steps_alone(exact, pairs, [lr], beta=0.2, progress=False)
    settings = Training(params={"beta": 0.2}, steps=1, batch=1, lr=lr, optimizer="sgd", seed=0)
    for i in range(N):
        run = dpo(
            copy.deepcopy(exact), start[[i, i + N]], pairs.pairs(torch.tensor([i])),
            settings, progress=False,
        )  # fmt: skip
        np.testing.assert_allclose(found[0, :, i], [run.u[1, 0], run.v[1, 0]], rtol=1e-9)
    assert torch.equal(vector(exact.parameters()), before)


def test_error_falls_linearly_with_the_step(gpt2: Any, pairs: Batch) -> None:
    """Over three decades of step size the relative error falls by three decades."""
    alone, lrs = gram(gpt2, pairs, progress=False), [1e-2, 1e-3, 1e-4, 1e-5]
    observed = steps_alone(gpt2, pairs, lrs, progress=False)
    du, dv = slopes("dpo", np.zeros(N), np.zeros(N))
    predicted = np.array([predicted_change(alone, du, dv, lr) for lr in lrs])
    miss = np.abs(observed / predicted - 1).max(axis=(1, 2))
    slope = np.polyfit(np.log(lrs), np.log(miss), 1)[0]
    assert slope == pytest.approx(1, abs=0.05)
    assert miss[-1] < 1e-4


def test_bad_input_is_named(tiny_gpt2: Any, pairs: Batch) -> None:
    """A metric of wrong shape, an unknown loss and a matrix of other pairs are errors."""
    ones = [torch.ones_like(p) for p in tiny_gpt2.parameters()]
    with pytest.raises(ValueError, match="the metric has 1 tensors"):
        gram(tiny_gpt2, pairs, metric=ones[:1], progress=False)
    with pytest.raises(ValueError, match=r"the metric for transformer.wte.weight has shape"):
        gram(tiny_gpt2, pairs, metric=[ones[0].T, *ones[1:]], progress=False)
    with pytest.raises(ValueError, match=r"transformer.wpe.weight has negative or non-finite"):
        gram_matrix(tiny_gpt2, pairs, metric=[ones[0], -ones[1], *ones[2:]], progress=False)
    with pytest.raises(ValueError, match="the direction has"):
        projections(tiny_gpt2, pairs, [], progress=False)
    with pytest.raises(ValueError, match="no loss 'dop'; LOSSES has dpo"):
        slopes("dop", [0.0], [0.0])
    with pytest.raises(ValueError, match=r"2 pairs need a Gram matrix of shape \(4, 4\)"):
        predicted_change(np.eye(3), np.ones(2), np.ones(2), 0.1)


def test_no_pairs_give_no_entries(tiny_gpt2: Any, pairs: Batch) -> None:
    """An empty batch gives an empty result of the right shape."""
    empty = gram(tiny_gpt2, pairs.rows(slice(0, 0)), progress=False)
    assert isinstance(empty, Gram)
    assert empty.ww.shape == (0,)


def test_a_change_is_split_at_the_softmax(gpt2: Any, pairs: Batch) -> None:
    """log pi' - log pi = (dz_y - E dz) + concave, added up token by token, for a large change."""
    after = small_gpt2(seed=2, layers=2, width=32).double()
    found = change(gpt2, after, pairs)
    start, end = (reference_logprobs(m, pairs) for m in (gpt2, after))
    np.testing.assert_allclose(found.total, (end - start).numpy(), rtol=1e-12)
    assert (found.concave < 0).all()
    for row in range(2 * N):
        ids, scored = pairs.input_ids[row], pairs.response_mask[row]
        length = int(pairs.attention_mask[row].sum())
        with torch.no_grad():
            z, z_new = (m(input_ids=ids[None, :length]).logits[0] for m in (gpt2, after))
        linear = 0.0
        for place in scored.nonzero().flatten().tolist():
            pi, dz = z[place - 1].softmax(0), (z_new - z)[place - 1]
            linear += float(dz[ids[place]] - pi @ dz)
        assert found.total[row] - linear == pytest.approx(found.concave[row], rel=1e-9)


def test_the_concave_part_is_of_second_order(gpt2: Any, pairs: Batch) -> None:
    """Half the step gives a quarter of the concave part."""
    found = []
    for scale in (1e-3, 5e-4):
        after = copy.deepcopy(gpt2)
        with torch.no_grad():
            for p, d in zip(after.parameters(), random_metric(gpt2), strict=True):
                p += scale * d
        found.append(change(gpt2, after, pairs).concave)
    np.testing.assert_allclose(found[0] / found[1], 4, rtol=0.02)
