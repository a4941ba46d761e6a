"""Inner products of sums of outer products: both forms are exact and bounded in memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from dpofield.lab import outer
from dpofield.lab.outer import Form, Outer, cheaper, gram, project


class Largest(TorchDispatchMode):
    """Records the number of entries of the largest tensor that an operation returns."""

    numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.numel = max(self.numel, out.numel() if isinstance(out, Tensor) else 0)
        return out


def term(rows: int, places: int, p: int, q: int, one_hot: bool) -> Outer:
    right = torch.randn(rows, places, q, dtype=torch.float64)
    if one_hot:
        return Outer(torch.randint(p, (rows, places)), right)
    return Outer(torch.randn(rows, places, p, dtype=torch.float64), right)


def matrices(terms: list[Outer], p: int) -> Tensor:
    """The matrices by their definition, with dense one-hot factors: (R, p, q)."""
    lefts = [
        torch.nn.functional.one_hot(t.left, p).to(t.right.dtype) if t.one_hot else t.left
        for t in terms
    ]
    pairs = zip(lefts, terms, strict=True)
    return sum((torch.einsum("rtp,rtq->rpq", left, t.right) for left, t in pairs), torch.zeros(()))


CASES = {
    "kinds": st.lists(st.tuples(st.integers(1, 4), st.booleans()), min_size=1, max_size=3),
    "p": st.integers(1, 7),
    "q": st.integers(1, 9),
    "groups": st.integers(1, 3),
    "group": st.sampled_from([1, 2, 3, 16, 17]),
    "room": st.sampled_from([8, 64, 4096, 2**21]),
}


@pytest.mark.parametrize("form", ["outer", "places", None])
@given(**CASES)
def test_forms_are_the_definition(
    form: Form | None, kinds: Any, p: int, q: int, groups: int, group: int, room: int
) -> None:
    """Dense, one-hot and mixed terms, for any size of temporaries."""
    terms = [term(groups * group, places, p, q, one_hot) for places, one_hot in kinds]
    G = matrices(terms, p).view(groups, group, p * q)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outer, "CPU_TEMPORARY", room)
        found = gram(terms, p, group, form=form)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, G @ G.mT, rtol=1e-12, atol=1e-12)


@given(**CASES)
def test_under_a_metric(kinds: Any, p: int, q: int, groups: int, group: int, room: int) -> None:
    """Each entry has its own factor of P, also if `form` is "places"."""
    terms = [term(groups * group, places, p, q, one_hot) for places, one_hot in kinds]
    G, P = matrices(terms, p).view(groups, group, p * q), torch.rand(p, q, dtype=torch.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outer, "CPU_TEMPORARY", room)
        found = gram(terms, p, group, metric=P, form="places")
    torch.testing.assert_close(found, (G * P.flatten()) @ G.mT, rtol=1e-12, atol=1e-12)
    along = torch.einsum("rpq,pq->r", G.view(-1, p, q), P)
    torch.testing.assert_close(project(terms, P), along, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("form", "rows", "group", "places", "p", "q", "room"),
    [
        ("outer", 24, 2, 3, 2000, 64, 8 * 4096),
        ("outer", 24, 24, 3, 2000, 64, 8 * 4096),
        ("places", 24, 2, 3, 2000, 64, 8 * 4096),
        ("places", 24, 24, 3, 2000, 64, 8 * 4096),
        ("places", 64, 64, 8, 4, 4, 8 * 64 * 128),
    ],
)
def test_temporaries_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
    form: Form,
    rows: int,
    group: int,
    places: int,
    p: int,
    q: int,
    room: int,
) -> None:
    """No tensor is larger than the inputs or the bound, in which neither 24 matrices of 2000 x 64
    nor all products of 512 x 512 places have room. The result is that without a bound."""
    terms = [term(rows, places, p, q, one_hot) for one_hot in (False, True)]
    unbounded = gram(terms, p, group, form=form)
    monkeypatch.setattr(outer, "CPU_TEMPORARY", room)
    with Largest() as largest:
        found = gram(terms, p, group, form=form)
    torch.testing.assert_close(found, unbounded, rtol=1e-12, atol=1e-12)
    given = max(x.numel() for t in terms for x in t)
    assert largest.numel <= max(given, room // 8)


def test_a_vocabulary_costs_nothing_where_it_is_not_named() -> None:
    """With one-hot factors only, memory depends on the rows that occur, not on all 10 million."""
    terms = [Outer(torch.tensor([[3, 9_999_999], [3, 5]]), torch.ones(2, 2, 4))]
    for form in ("outer", "places"):
        with Largest() as largest:
            found = gram(terms, 10_000_000, 2, form=form)
        assert found.tolist() == [[[8.0, 4.0], [4.0, 8.0]]]
        assert largest.numel < 100


def test_the_cheaper_form_changes_with_the_size() -> None:
    """For R = 2 in one group: outer takes R T p q + 2 R p q, places 3/2 R T^2 (p + q)."""
    for places, p, q in ((10, 100, 100), (30, 100, 100), (36, 100, 100), (40, 100, 100)):
        outers = 2 * places * p * q + 2 * 2 * p * q
        blocks = 3 * places**2 * (p + q)
        wanted = "places" if blocks < outers else "outer"
        assert cheaper([term(2, places, p, q, False)], p, 2) == wanted
