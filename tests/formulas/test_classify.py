"""SymPy's results about the losses agree with numbers, and false declarations raise errors."""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from dpofield.field import gallery
from dpofield.figures.loss_zoo import classes, definitions, elsewhere, in_trl
from dpofield.formulas import DIVERGENCES, LOSSES
from dpofield.formulas import symbols as s
from dpofield.formulas.decide import UndecidedError, points, sign, vanishes
from dpofield.formulas.losses.classify import at_start, pushes, reading, tilt
from dpofield.formulas.losses.core import BELOW_HALF, EPSILON, LEN_L, LEN_W, Sign
from dpofield.formulas.losses.divergence import DIVERGENCE
from dpofield.formulas.losses.likelihood import LIKELIHOOD
from dpofield.formulas.losses.margin import MARGIN
from dpofield.formulas.losses.separate import SEPARATE
from dpofield.formulas.printers import numpy_function
from dpofield.lab.conventions import ELSEWHERE, MEAN, SUM, TRL

# The expected results, typed here: add a new loss that belongs to a set.
MARGIN_ONLY = {"dpo", "cdpo", "robust", "ipo", "hinge", "exo", "discopop", "aot"}
TILTED = {"dpo_shift", "ipo_norm", "sigmoid_norm", "simpo"}
BETA, EPS = 0.3, 0.2
DESERVED = math.log((1 - EPS) / EPS) / BETA
# Regions where the preferred is pushed up and the dispreferred down, for the values below.
UP = {
    "cdpo": lambda u, v: u - v < DESERVED,
    "exo": lambda u, v: u - v < DESERVED,
    "aot": lambda u, v: u - v - 0.4 < DESERVED,
    "ipo": lambda u, v: u - v < 1 / (2 * BETA),
    "ipo_norm": lambda u, v: u / 7 - v / 11 < 1 / (2 * BETA),
    "hinge": lambda u, v: u - v < 1 / BETA,
    "nca": lambda u, v: u < math.log(2) / BETA,
    "sppo": lambda u, v: u < 1 / (2 * BETA),
    "apo_down": lambda u, v: abs(u - v) < abs(u),
    "cal_dpo": lambda u, v: u < 1 / (2 * BETA) + 1 / (1 + math.exp(u - v)),
}
DOWN = {
    **{name: UP[name] for name in ("cdpo", "exo", "aot", "ipo", "ipo_norm", "hinge")},
    "sppo": lambda u, v: v > -1 / (2 * BETA),
    "cal_dpo": lambda u, v: v > -1 / (2 * BETA) - 1 / (1 + math.exp(u - v)),
    "slic": lambda u, v: (u - 80) - (v - 90) < 0.25,
}
VALUES = {
    "beta": BETA, "epsilon": EPS, "tau": 0.05, "shift": -0.4, "alpha": 0.6, "delta": 0.25,
    "lam": 0.8, "lam_w": 1.3, "lam_l": 0.6, "z0": 0.2, "gamma": 0.45,
    "ref_w": -80.0, "ref_l": -90.0, "len_w": 7.0, "len_l": 11.0,
}  # fmt: skip

logratio = st.floats(-30, 30)


def values(name: str) -> dict[str, float]:
    return {p.name: VALUES[p.name] for p in LOSSES[name].arguments}


def partials(name: str, u: float, v: float) -> tuple[float, float]:
    loss = LOSSES[name]
    along = numpy_function(loss.symbols, loss.partials)(u, v, *values(name).values())
    return float(along[0]), float(along[1])


def test_which_losses_are_of_the_margin():
    """SymPy finds the losses of the margin, the tilted losses and SFT."""
    assert {name for name, loss in LOSSES.items() if loss.margin_only} == MARGIN_ONLY
    assert {name for name, loss in LOSSES.items() if tilt(loss) not in (None, 1, sp.oo)} == TILTED
    assert [name for name, loss in LOSSES.items() if tilt(loss) == sp.oo] == ["sft"]


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=25)
@given(u=logratio, v=logratio, move=st.floats(-9, 9))
def test_margin_losses_do_not_see_a_common_shift(name, u, v, move):
    """L(u + c, v + c) = L(u, v) for the losses with `margin_only`."""
    if LOSSES[name].margin_only:
        here, there = (LOSSES[name].numpy(u + c, v + c, **values(name)) for c in (0.0, move))
        assert there == pytest.approx(here, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", sorted(set(LOSSES) - MARGIN_ONLY))
def test_no_other_loss_is_blind_to_it(name):
    """A common shift changes every other loss somewhere."""
    line = np.linspace(-6, 6, 7)
    u, v = np.meshgrid(line, line)
    here, there = (LOSSES[name].numpy(u + c, v + c, **values(name)) for c in (0.0, 1.5))
    assert np.abs(there - here).max() > 1e-3


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=60)
@given(u=logratio, v=logratio)
def test_directions_are_the_signs_of_the_gradient(name, u, v):
    """The direction of each push agrees with the partial's sign and with `UP` and `DOWN`."""
    here = {s.u: u, s.v: v, s.h: u - v} | {p.symbol: VALUES[p.name] for p in LOSSES[name].arguments}
    for push, partial, by_hand in zip(
        pushes(LOSSES[name]), partials(name, u, v), (UP, DOWN), strict=True
    ):
        along = partial if push.response == "dispreferred" else -partial  # > 0 as intended
        if push.kind == "none":
            assert partial == 0
            continue
        if push.wrong is not None:
            continue  # numeric, at the defaults only: DiscoPOP, tested below
        if abs(along) < 1e-12:
            continue  # too close to the boundary, or saturated
        right = push.kind == "always" or bool(push.where.subs(here))
        assert (along > 0) == right
        assert right == by_hand.get(name, lambda u, v: True)(u, v)


@pytest.mark.parametrize("name", ["hinge", "slic"])
def test_what_stops_does_not_turn(name):
    """Outside their region the push of these losses is 0, not reversed."""
    push = pushes(LOSSES[name])[1]
    assert push.kind == "stops"
    assert partials(name, 40.0, -40.0)[1] == 0


def test_discopop_pushes_the_wrong_way_at_the_start():
    """Between the two margins found numerically, the loss increases with the margin."""
    loss = LOSSES["discopop"]
    (low, high), other = (push.wrong for push in pushes(loss))
    assert (low, high) == other
    assert low < 0 < high
    for h, wrong in [
        (low - 0.01, False), (low + 0.01, True), (0.0, True), (high - 0.01, True),
        (high + 0.01, False), (-300.0, False), (300.0, False),
    ]:  # fmt: skip
        rises = loss.numpy(h + 1e-5, 0.0) > loss.numpy(h - 1e-5, 0.0)
        assert rises == wrong, h
    assert at_start(loss)[0] < 0 < at_start(loss)[1]


@pytest.mark.parametrize("name", LOSSES)
def test_tilt_is_the_ratio_of_components(name):
    """The ratio of components equals `tilt`, and varies if `tilt` is None."""
    found = tilt(LOSSES[name])
    ratios = []
    for u, v in [(0.0, 0.0), (2.0, -5.0), (-9.0, -1.0), (1.0, 6.0), (-15.0, 6.0), (60.0, -60.0)]:
        right, down = partials(name, u, v)
        if abs(right) + abs(down) > 1e-12:
            ratios.append(-right / down if down else math.inf)
    if found is None:
        assert max(ratios) > min(ratios) * (1 + 1e-9)
    else:
        constant = float(found.subs({p.symbol: VALUES[p.name] for p in LOSSES[name].arguments}))
        assert ratios == pytest.approx([constant] * len(ratios), rel=1e-9)


@pytest.mark.parametrize("signs", [
    (Sign(sp.S.One, s.u), None),
    (Sign(-s.beta / 2, (s.beta * s.u - sp.log(2)) * s.v), None),
])  # fmt: skip
def test_a_false_factorisation_is_refused(signs):
    """A declared product that is not the partial derivative raises an error."""
    wrong = dataclasses.replace(LOSSES["nca"], signs=signs)
    with pytest.raises(UndecidedError, match="not the product"):
        pushes(wrong)


def test_a_factor_of_unknown_sign_is_refused():
    """A declared factor that is not proved positive raises an error."""
    partial = LOSSES["nca"].partials[0]
    wrong = dataclasses.replace(LOSSES["nca"], signs=(Sign(partial / s.u, s.u), None))
    with pytest.raises(UndecidedError, match="not proved positive"):
        pushes(wrong)


def test_undecided_is_not_false():
    """An expression that is 0 at all test points, but not identically, raises an error."""
    trap = sp.prod((s.u - point[s.u]) ** 2 for point in points([]))
    with pytest.raises(UndecidedError):
        vanishes(trap)


def test_sign_knows_ranges():
    """`sign` uses the ranges of parameters, and returns None if these do not decide."""
    assert sign(1 - 2 * s.epsilon, [EPSILON]) == (1, True)
    assert sign(s.epsilon - 1, [EPSILON]) == (-1, True)
    assert sign(1 - 3 * s.epsilon, [EPSILON]) is None
    assert sign(-(s.u**2)) == (-1, False)
    assert sign(s.u - s.u) == (0, True)
    assert BELOW_HALF.contains(0)


def test_reading_puts_the_margin_first():
    """Conditions have u and v on the left, constants on the right, and use h where possible."""
    assert str(reading(s.beta * (s.u - s.v) - 1, -1)) == "h < 1/beta"
    assert str(reading(3 - 2 * s.v, 1)) == "v < 3/2"
    assert str(reading(s.u / s.len_w - s.v / s.len_l - 1, 1)) == "u/n_w - v/n_l > 1"


def test_tables_are_complete():
    """Rows have equal numbers of cells, and the table of pushes has a row per loss."""
    zoo = LOSSES.values()
    for table in (classes(zoo), definitions(zoo), in_trl(), elsewhere()):
        lines = table.splitlines()
        assert len({line.count(" | ") for line in lines}) == 1
    assert len(classes(LOSSES.values()).splitlines()) == len(LOSSES) + 2


@pytest.mark.parametrize("row", ELSEWHERE, ids=lambda row: f"{row.name}, {row.where}")
def test_what_a_name_means_elsewhere(row):
    """Each row names a loss of the zoo, its fixed parameters are defaults, its source is a URL."""
    loss = LOSSES[row.loss]
    assert dict(row.params).items() <= loss.defaults.items()
    assert re.fullmatch(r"(github\.com|arxiv\.org)/[\w./-]+", row.source)


def test_what_trl_reads_is_what_the_loss_compares():
    """A row reads means per token if and only if the loss has scale "token"."""
    for row in TRL:
        scale = LOSSES[row.loss].scale
        assert (row.reads == MEAN) == (scale == "token"), row
        if row.reads not in (SUM, MEAN):  # "a sum and a mean": a term of sums and an NLL term
            assert {p.name for p in LOSSES[row.loss].inputs} >= {"ref_w", "len_w"}
    assert {loss.scale for loss in LOSSES.values()} == {"sum", "token"}


def test_a_loss_of_sums_keeps_its_beta_whatever_lengths_it_reads():
    """A penalty on lengths does not change the scale of beta."""
    loss = LOSSES["dpo"]
    penalised = dataclasses.replace(loss, expr=loss.expr + s.len_w - s.len_l, inputs=(LEN_W, LEN_L))
    assert gallery.settings(penalised)["beta"] == gallery.SETTINGS["beta"]
    assert gallery.settings(LOSSES["simpo"])["beta"] == gallery.PER_TOKEN["beta"]


def test_a_loss_is_in_the_module_of_what_it_reads():
    """Each loss is in the module that `losses/__init__.py` prescribes."""
    divergences = {d.loss for d in DIVERGENCES.values()} - {"dpo"}
    for name, loss in LOSSES.items():
        if loss.inputs:
            expected = LIKELIHOOD
        elif name in divergences:
            expected = DIVERGENCE
        else:
            expected = MARGIN if loss.margin_only else SEPARATE
        assert loss in expected, name
