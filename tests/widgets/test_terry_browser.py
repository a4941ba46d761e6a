"""Bradley-Terry and beta in Chromium, without kernel or network: all controls."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, log_expit

from dpofield.field.likelihood import win_log_likelihood
from tests.widgets.conftest import PHONE, Shown

pytestmark = pytest.mark.browser


class Terry(Shown):
    """The figure of two rewards."""

    def __init__(self, page, within="body"):
        super().__init__(page, within)
        self.pair = self.root.get_by_role("slider", name="Both rewards")
        self.gap = self.root.get_by_role("slider", name="Gap of the")

    def rewards(self):
        return self.value("r_w"), self.value("r_l")

    def agrees(self, beta=0.1, rel=1e-6):
        """Assert that the numbers equal SciPy's for the values in the fields; return them."""
        r_w, r_l = self.rewards()
        n, k = int(self.value("n")), int(self.value("wins"))
        gap, m = r_w - r_l, n - k
        expected = {
            "gap": gap,
            "share": expit(gap),
            "likelihood": win_log_likelihood(gap, k, m),
            "slope": k - n * expit(gap),
            "margin": gap / beta,
            "loss": -log_expit(gap),
        }
        if k and m:
            expected |= {"best": np.log(k / m), "error": np.sqrt(1 / k + 1 / m)}
        found = self.numbers()
        for name, value in expected.items():
            assert found[name] == pytest.approx(value, rel=rel, abs=rel), name
        return found


@pytest.fixture
def terry(opened):
    return opened(demo="bradley-terry", figure=Terry)


def test_typed(terry):
    """Rewards, data, beta; if all judgements agree there is no most likely gap."""
    terry.agrees()
    for name, text in {"r_w": "−1,5", "r_l": "2", "n": "200", "wins": "30", "beta": "0.4"}.items():
        terry.type(name, text)
    terry.agrees(beta=0.4)
    assert "expects 5.862 wins of 200, and 30 were seen" in terry.said()
    assert "wider" in terry.said()
    terry.type("wins", "200")
    found = terry.agrees(beta=0.4)
    assert (found["best"], found["error"]) == ("none", "none")
    assert "without end" in terry.said()
    terry.root.get_by_role("button", name="Most likely").click()
    assert "no most likely gap" in terry.complaint.inner_text()
    terry.type("n", "3")  # keeps the share of wins
    assert terry.value("wins") == 3
    assert "no most likely gap" in terry.spoken("of 3, and 3 were seen")
    terry.type("r_w", "40")  # the windows widen
    terry.agrees(beta=0.4)
    x, _ = terry.centre(terry.pair.locator(".dpf-dot"))
    assert terry.place(0, 0)[0] < x < terry.place(1, 0)[0]
    terry.reset.click()
    assert terry.rewards() == (1, 0)


def test_most_likely(terry):
    """The button sets the most likely gap and keeps the mean reward."""
    terry.root.get_by_role("button", name="Most likely").click()
    found = terry.numbers()
    assert found["gap"] == pytest.approx(np.log(7 / 3), rel=1e-6)
    assert found["slope"] == pytest.approx(0, abs=1e-9)
    r_w, r_l = terry.rewards()
    assert r_w + r_l == pytest.approx(1, abs=2e-3)
    assert "No other gap is as likely" in terry.said()


def test_mouse(terry):
    """A drag along the line of equal gaps changes the rewards only; a drag on the curve changes the
    gap and keeps the mean reward."""
    before = terry.agrees()
    terry.drag(terry.pair, (0.85, 0.725), (0.75, 0.625))
    assert terry.rewards() == pytest.approx((2, 1), abs=0.051)
    assert terry.rewards()[0] - terry.rewards()[1] == pytest.approx(1, abs=0.051)
    terry.type("r_l", "1")
    terry.type("r_w", "2")
    assert terry.numbers() == pytest.approx(before)
    terry.page.mouse.click(*terry.place(0.25, 0.75))
    assert terry.rewards() == pytest.approx((-2, 2), abs=0.051)
    terry.drag(terry.gap, (0.3, 0.5), (0.75, 0.5), plot=1)
    assert terry.numbers()["gap"] == pytest.approx(3, abs=0.051)
    assert sum(terry.rewards()) == pytest.approx(0, abs=0.1)
    terry.agrees()


def test_keys(terry):
    """Arrows, Shift and Home on both points; the three sliders."""
    keys = terry.page.keyboard
    terry.pair.focus()
    for key in ("ArrowRight", "Shift+ArrowUp", "ArrowDown"):
        keys.press(key)
    assert terry.rewards() == pytest.approx((1.1, 0.9))
    terry.agrees()
    terry.gap.focus()
    keys.press("Shift+ArrowRight")
    assert terry.numbers()["gap"] == pytest.approx(1.2)
    keys.press("Home")
    assert terry.rewards() == (1, 0)
    terry.root.get_by_role("slider", name="comparisons n").focus()
    keys.press("End")
    assert (terry.value("n"), terry.value("wins")) == (1000, 700)
    terry.root.get_by_role("slider", name="wins k").focus()
    keys.press("End")
    assert terry.value("wins") == 1000
    keys.press("PageDown")
    assert terry.value("wins") == 900
    keys.press("ArrowLeft")
    assert terry.value("wins") == 899
    terry.type("n", "10")
    terry.root.get_by_role("slider", name="comparisons n").focus()
    keys.press("ArrowRight")
    keys.press("ArrowUp")
    assert terry.value("n") == 12
    terry.root.get_by_role("slider", name="beta").focus()
    keys.press("End")
    terry.agrees(beta=3)


def test_phone(opened):
    """Drag the pair by touch, tap a place of the curve."""
    terry = opened(demo="bradley-terry", figure=Terry, **PHONE)
    terry.swipe(terry.pair, -50, 30, grip=10)
    unit = 8 / (terry.place(1, 0)[0] - terry.place(0, 0)[0])
    assert terry.rewards() == pytest.approx((1 - 50 * unit, -30 * unit), abs=0.06)
    terry.agrees()
    terry.gap.scroll_into_view_if_needed()
    terry.page.touchscreen.tap(*terry.place(0.75, 0.5, plot=1))
    assert terry.numbers()["gap"] == pytest.approx(3, abs=0.06)
