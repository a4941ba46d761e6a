"""Room and price in Chromium: the handle, the keys and the choices move what they say."""

from __future__ import annotations

import numpy as np
import pytest

from dpofield.field.price import least_kl
from dpofield.field.room import ordered
from dpofield.widgets.room_and_price import COUNT, REWARDS
from tests.widgets.conftest import Shown

pytestmark = pytest.mark.browser


class RoomShown(Shown):
    """Room and price."""

    def __init__(self, page, within="body"):
        super().__init__(page, within)
        self.handle = self.root.get_by_role("slider", name="Policy")


@pytest.fixture
def shown(opened):
    return opened(demo="room-and-price", figure=RoomShown)


def test_drag_along_the_cheapest_path(shown):
    """The point stays on the path: its margin follows the pointer, KL is the least there."""
    pairs = ordered(np.log(np.full(COUNT, 1 / COUNT)), REWARDS)
    shown.drag(shown.handle, (0.65, 0.4))
    found = shown.numbers()
    assert 1.5 < found["margin"] < 2.5
    assert found["kl"] == pytest.approx(float(least_kl(found["margin"], pairs)), rel=1e-6)
    assert found["ceiling"] == pytest.approx(pairs.ceiling, rel=1e-6)
    assert found["efficiency"] == pytest.approx(1, rel=1e-6)
    shown.drag(shown.handle, (0.1, 0.9))
    assert shown.numbers()["margin"] == 0


def test_keys_and_words(shown):
    """Right and down gain margin, left and up lose it; screen readers get the account."""
    begin = shown.numbers()["margin"]
    for key, sign in (("ArrowRight", 1), ("ArrowDown", 1), ("ArrowLeft", -1), ("ArrowUp", -1)):
        before = shown.numbers()["margin"]
        shown.handle.press(key)
        assert shown.numbers()["margin"] == pytest.approx(before + sign * 0.04)
    assert shown.numbers()["margin"] == pytest.approx(begin)
    shown.radio("rlhf").check()
    shown.type("margin", "2")
    shown.page.wait_for_timeout(600)
    assert "has fallen" in shown.live.inner_text()
    assert "margin 2 nats" in shown.live.inner_text()


def test_noise_costs_and_buys_nothing(shown):
    """Noise leaves the margin and lowers both responses and the efficiency."""
    before = shown.numbers()
    shown.type("noise", "1")
    after = shown.numbers()
    assert after["margin"] == pytest.approx(before["margin"])
    assert after["u"] < before["u"]
    assert after["v"] < before["v"]
    assert after["efficiency"] < 0.7


def test_a_typed_number_chooses_its_pairs(shown):
    """The reward's deviation is one of judges, n one of best-of-n pairs."""
    shown.type("sd", "0.5")
    assert shown.radio("judges").is_checked()
    low = shown.numbers()["ceiling"]
    shown.type("n", "5")
    assert shown.radio("best").is_checked()
    assert shown.numbers()["ceiling"] > 0.5 > low
    shown.radio("sft").check()
    shown.type("margin", "8")
    found = shown.numbers()
    assert found["u"] == pytest.approx(found["ceiling"], rel=1e-6)
    assert "SFT ends here" in shown.root.locator(".dpf-sentence").inner_text()
