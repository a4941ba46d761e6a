"""The loss gallery in Python: what it accepts, and what a change of loss does."""

from __future__ import annotations

import math

import pytest
from traitlets import TraitError

from dpofield.formulas import LOSSES
from dpofield.widgets import LossGallery
from dpofield.widgets.loss_gallery import EXAMPLE


def together(gallery, values):
    with gallery.hold_trait_notifications():
        for name, value in values.items():
            setattr(gallery, name, value)


@pytest.mark.parametrize("name", LOSSES)
def test_takes_every_loss_with_its_own_parameters(name):
    """On either side, at its defaults given by name."""
    defaults = LOSSES[name].defaults
    gallery = LossGallery(name, name, params_a=defaults, params_b=defaults)
    assert gallery.params_a == gallery.params_b == defaults


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"a": "nope"}, "'a' trait"),
        ({"params_a": {"beta": 0.0}}, "beta"),
        ({"params_a": {"gamma": 1.0}}, r"takes \['beta'\]"),
        ({"params_b": {"lam": -1.0}}, "lam"),
        ({"u": math.nan}, "u = nan"),
        ({"u": 31.0}, "exceed 1"),
        ({"window": 0.0}, "window"),
        ({"pair": EXAMPLE | {"len_w": 0.0}}, "len_w"),
        ({"pair": {"ref_w": -1.0}}, "pair holds"),
        ({"u": 2.0, "pair": EXAMPLE | {"ref_w": -1.0}}, "exceed 1"),
    ],
)
def test_bad_values_are_refused_by_name(values, says):
    """At construction and later; later the last good state stays."""
    with pytest.raises(TraitError, match=says):
        LossGallery(**values)
    gallery = LossGallery(u=1.0)
    before = gallery.get_state()
    with pytest.raises(TraitError, match=says):
        together(gallery, values)
    assert gallery.get_state() == before


def test_another_loss_starts_at_its_defaults():
    """From Python; a page that changes the loss has sent the parameters itself."""
    gallery = LossGallery("dpo", params_a={"beta": 0.7})
    gallery.a = "kto"
    assert gallery.params_a == {}
    gallery.set_state({"a": "ipo", "params_a": {"beta": 0.3}})
    assert (gallery.a, gallery.params_a) == ("ipo", {"beta": 0.3})
    gallery.set_state({"a": "sft"})
    assert gallery.params_a == {}
