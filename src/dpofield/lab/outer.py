"""Inner products of matrices that are sums of outer products, without storing whole matrices.

Each row a of a batch has one matrix, G_a = sum over places t of l_at r_at^T, of shape (p, q). In
`layers` it is the row's gradient with respect to one weight. A *term* (`Outer`) holds the left and
right factors of all rows; a matrix may be the sum of several terms. Two *forms* of the calculation
give the inner products <G_a, G_b>, the sums of entrywise products, exactly:

- "outer" forms the matrices, one tile (a block of entries) at a time, and multiplies entries. The
  cost grows with p q.
- "places" uses <G_a, G_b> = sum over t and s of <l_at, l_bs> <r_at, r_bs> and forms no matrix. The
  cost grows with the square of the number of places.

`cheaper` counts the multiplications of both and takes the smaller number. Tiles, and blocks of
places, are cut so that no temporary tensor exceeds a fixed size. The left factors of an embedding
are one-hot vectors and are stored as indices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Form = Literal["outer", "places"]

# Bytes of one temporary tensor: about a core's cache; a GPU is faster with fewer and larger ones.
CPU_TEMPORARY, TEMPORARY = 2**21, 2**26


class Outer(NamedTuple):
    """R matrices of shape (p, q); that of row a is the sum over T places t of l_at r_at^T.

    `left` (R, T, p), or int64 (R, T) if every l_at is one-hot; `right` (R, T, q).
    """

    left: Tensor
    right: Tensor

    def dense(self, row: int, height: int) -> Tensor:
        """The matrix of one row, (p, q), of `height` p."""
        if not self.one_hot:
            return self.left[row].mT @ self.right[row]
        found = self.right.new_zeros(height, self.right.shape[2])
        return found.index_add_(0, self.left[row], self.right[row])

    @property
    def one_hot(self) -> bool:
        return not self.left.is_floating_point()


def gram(
    terms: Sequence[Outer],
    height: int,
    group: int,
    *,
    metric: Tensor | None = None,
    form: Form | None = None,
) -> Tensor:
    """Inner products within each `group` of consecutive rows: (R / group, group, group) float64.

    The matrix of row a is the sum of its matrices in all `terms`; `height` is p. With a `metric` P
    (p, q) the product is the sum of the entries of P * G_a * G_b, always in the form "outer".
    Otherwise the form is `form`, or by default the one with fewer multiplications. Products are
    computed in the terms' precision and added up in float64.

    >>> ones = torch.ones(2, 3, 5)  # 2 rows, 3 places: two 5 x 5 matrices of threes
    >>> gram([Outer(ones, ones)], 5, 2)
    tensor([[[225., 225.],
             [225., 225.]]], dtype=torch.float64)
    """
    if all(term.one_hot for term in terms):  # all other rows of the matrices are zero
        named = torch.unique(torch.cat([term.left.flatten() for term in terms]))
        terms = [
            Outer(torch.searchsorted(named, left.contiguous()), right) for left, right in terms
        ]
        height, metric = len(named), None if metric is None else metric[named]
    if metric is None and (form or cheaper(terms, height, group)) == "places":
        return _by_places(terms, group)
    return _by_outer(terms, height, group, metric)


def compact(term: Outer) -> Outer:
    """The same matrices from whole matrices, if these are smaller than the factors."""
    rows, places, q = term.right.shape
    height = term.left.shape[-1]
    if term.one_hot or height * q >= places * (height + q):
        return term
    left = torch.arange(height, device=term.right.device).expand(rows, height)
    return Outer(left, term.left.mT @ term.right)


def part(term: Outer, top: int, bottom: int) -> Outer:
    """The rows from `top` to `bottom` of the matrices."""
    if not term.one_hot:
        cut = term.left[:, :, top:bottom]
        whole = cut.shape == term.left.shape
        return term if whole else Outer(cut.clone(), term.right)
    inside = (term.left >= top) & (term.left < bottom)
    return Outer((term.left - top).where(inside, 0), term.right * inside[..., None])


def joined(parts: Sequence[Sequence[Outer]], rows: Sequence[Tensor]) -> list[Outer]:
    """Terms of all rows from those of several batches, which have the numbers `rows` of the rows.

    Batches may have different numbers of places, and of terms; what is missing is zero.

    >>> a, b = (Outer(torch.ones(rows, 3, 2), torch.ones(rows, 3, 4)) for rows in (1, 2))
    >>> whole = joined([[a, a], [b]], [torch.tensor([1]), torch.tensor([0, 2])])
    >>> [term.right[:, 0, 0].tolist() for term in whole]
    [[1.0, 1.0, 1.0], [0.0, 1.0, 0.0]]
    """
    found = []
    for one_hot in (False, True):
        kinds = [[term for term in terms if term.one_hot is one_hot] for terms in parts]
        for j in range(max(map(len, kinds))):
            chosen = [(r, k[j]) for r, k in zip(rows, kinds, strict=True) if j < len(k)]
            total, places = sum(map(len, rows)), max(term.right.shape[1] for _, term in chosen)
            whole = Outer(*(x.new_zeros(total, places, *x.shape[2:]) for x in chosen[0][1]))
            for index, term in chosen:
                for to, x in zip(whole, term, strict=True):
                    to[index.to(to.device), : x.shape[1]] = x
            found.append(whole)
    return found


def project(terms: Sequence[Outer], along: Tensor) -> Tensor:
    """Inner product of each row's matrix with the matrix `along` (p, q): (R,) float64.

    >>> one_hot = Outer(torch.tensor([[1, 1]]), torch.tensor([[[3.0], [4.0]]]))
    >>> project([one_hot], torch.tensor([[5.0], [10.0]]))
    tensor([70.], dtype=torch.float64)
    """
    found = terms[0].right.new_zeros(len(terms[0].right), dtype=torch.float64)
    for term in terms:
        turned = along[term.left] if term.one_hot else term.left @ along.to(term.left.dtype)
        found += (turned * term.right).sum(dim=(1, 2), dtype=torch.float64)
    return found


def cheaper(terms: Sequence[Outer], height: int, group: int) -> Form:
    """The form with fewer multiplications, for matrices of `height` rows in groups of `group`.

    >>> short, long = (Outer(torch.ones(2, t, 100), torch.ones(2, t, 100)) for t in (10, 100))
    >>> cheaper([short], 100, 2), cheaper([long], 100, 2)
    ('places', 'outer')
    """
    rows, _, q = terms[0].right.shape
    outer = rows * group * height * q
    outer += sum(term.right.numel() * (1 if term.one_hot else height) for term in terms)
    places = 0
    for i, a in enumerate(terms):
        for b in terms[i:]:
            width = q if a.one_hot or b.one_hot else height + q
            share = (group + 1) / 2 if a is b else group
            places += int(rows * share * a.right.shape[1] * b.right.shape[1] * width)
    return "places" if places < outer else "outer"


def _by_outer(terms: Sequence[Outer], height: int, group: int, metric: Tensor | None) -> Tensor:
    right = terms[0].right
    rows, _, q = right.shape
    found = right.new_zeros(rows // group, group, group, dtype=torch.float64)
    # For a given number of entries, a nearly square tile reads the fewest factors.
    room = max(1, _room(right) // rows)
    wide = min(q, 2 ** (room.bit_length() // 2))
    high = min(height, room // wide)
    for top in range(0, height, high):
        for side in range(0, q, wide):
            down, along = slice(top, min(height, top + high)), slice(side, min(q, side + wide))
            tile = _tile(terms, down, along).view(rows // group, group, -1)
            scaled = tile if metric is None else tile * metric[down, along].flatten()
            _add_products(found, scaled, tile)
    return _mirrored(found)


def _tile(terms: Sequence[Outer], down: slice, along: slice) -> Tensor:
    """The same block of entries of every row's matrix, (R, tile's height, tile's width)."""
    found: Tensor | None = None
    for left, right in sorted(terms, key=lambda term: term.one_hot):
        cut = right[:, :, along]
        if left.is_floating_point():
            part = left[:, :, down].mT
            found = part @ cut if found is None else found.baddbmm_(part, cut)
            continue
        size = down.stop - down.start
        if found is None:
            found = right.new_zeros(len(right), size, cut.shape[2])
        row, place = ((left >= down.start) & (left < down.stop)).nonzero(as_tuple=True)
        slots = row * size + left[row, place] - down.start
        found.view(-1, cut.shape[2]).index_add_(0, slots, cut[row, place])
    assert found is not None
    return found


def _add_products(found: Tensor, a: Tensor, b: Tensor) -> None:
    """Add a b^T, which is symmetric, to `found`, per group: (G, group, group).

    Large matrices: skip the lower-left block; `_mirrored` fills it in later.
    """
    half = found.shape[1] // 2 if found.shape[1] >= 16 else 0
    found[:, :half] += a[:, :half] @ b.mT
    found[:, half:, half:] += a[:, half:] @ b[:, half:].mT


def _mirrored(found: Tensor) -> Tensor:
    """Symmetric matrices from their upper triangles."""
    return found.triu() + found.triu(1).mT


def _by_places(terms: Sequence[Outer], group: int) -> Tensor:
    right = terms[0].right
    found = right.new_zeros(len(right) // group, group, group, dtype=torch.float64)
    for i, a in enumerate(terms):
        found += _mirrored(_together(a, a, group))
        for b in terms[i + 1 :]:
            both = _together(a, b, group)
            found += both + both.mT
    return found


def _together(a: Outer, b: Outer, group: int) -> Tensor:
    """Inner products of the matrices of two terms within each group, (R / group, group, group).

    For a term with itself, only the upper triangles are complete.
    """
    s, t = a.right.shape[1], b.right.shape[1]
    groups = len(a.right) // group
    here, there = (Outer(*(x.view(groups, group, *x.shape[1:]) for x in o)) for o in (a, b))
    found = a.right.new_zeros(groups, group, group, dtype=torch.float64)
    high = _room(a.right) // (groups * s * group * t)
    high = max(1, min(high, (group + 1) // 2))
    for top in range(0, group, high):
        bottom, first = min(group, top + high), top if a is b else 0
        ours = Outer(*(x[:, top:bottom].flatten(1, 2) for x in here))
        theirs = Outer(*(x[:, first:].flatten(1, 2) for x in there))
        products = _inner(ours.left, theirs.left) * _inner(ours.right, theirs.right)
        blocks = products.reshape(groups, bottom - top, s, group - first, t)
        found[:, top:bottom, first:] = blocks.sum(dim=(2, 4), dtype=torch.float64)
    return found


def _inner(a: Tensor, b: Tensor) -> Tensor:
    """Inner products of S factors with T other factors in each of G groups, (G, S, T).

    A factor is a vector, or the index of a one-hot vector.
    """
    if a.is_floating_point() and b.is_floating_point():
        return a @ b.mT
    if a.is_floating_point():
        return a.gather(2, b[:, None, :].expand(-1, a.shape[1], -1))
    if b.is_floating_point():
        return _inner(b, a).mT
    return a[:, :, None] == b[:, None, :]


def _room(like: Tensor) -> int:
    """Numbers that one temporary tensor may hold."""
    return (CPU_TEMPORARY if like.device.type == "cpu" else TEMPORARY) // like.element_size()
