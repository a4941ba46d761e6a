"""The law of motion in Chromium, without kernel or network: all controls."""

from __future__ import annotations

import pytest

from dpofield.widgets import LawOfMotion
from dpofield.widgets.demo import demo_page
from tests.widgets.conftest import PHONE, Shown

pytestmark = pytest.mark.browser
PRESETS = [
    {"name": "one word apart, weak SFT", "ww": 310.0, "wl": 280.0, "ll": 330.0},
    {"name": "both fall", "ww": 1.0, "wl": 1.5, "ll": 3.0},
]


class Law(Shown):
    """The law of motion."""

    def __init__(self, page, within="body"):
        super().__init__(page, within)
        self.w = self.root.get_by_role("slider", name="Gradient of the preferred")
        self.l = self.root.get_by_role("slider", name="Gradient of the dispreferred")
        self.pair = self.root.get_by_role("slider", name="The pair in")

    def vectors(self):
        """Both gradients in the fields."""
        return tuple(self.value(name) for name in ("wx", "wy", "lx", "ly"))

    def agrees(self, pace=0.1, rel=1e-6):
        """Assert that the numbers belong to the vectors in the fields; return them."""
        wx, wy, lx, ly = self.vectors()
        ww, wl, ll = wx * wx + wy * wy, wx * lx + wy * ly, lx * lx + ly * ly
        found = self.numbers()
        expected = {
            "ww": ww,
            "wl": wl,
            "ll": ll,
            "dw": pace * (ww - wl),
            "dl": pace * (wl - ll),
            "margin": pace * ((wx - lx) ** 2 + (wy - ly) ** 2),
            "cosine": wl / (ww * ll) ** 0.5,
        }
        for name, value in expected.items():
            assert found[name] == pytest.approx(value, rel=rel, abs=rel), name
        return found


@pytest.fixture
def law(opened):
    return opened(demo="law-of-motion", figure=Law)


@pytest.fixture(scope="module")
def presets(demos):
    """A page with measured pairs, as in a chapter."""
    page = demo_page("law-of-motion", widget=LawOfMotion(presets=PRESETS))
    (demos / "law-presets.html").write_text(page, encoding="utf-8")
    return "law-presets"


def test_typed(law):
    """Components and pace; the words for rising, falling and moving more."""
    assert law.agrees()["dw"] > 0
    for name, text in {"wx": "1", "wy": "0", "lx": "1,4", "ly": "−0.8"}.items():
        law.type(name, text)
    found = law.agrees()
    assert found["dw"] < 0
    assert found["factor"] == pytest.approx(3.0, rel=1e-6)
    words = "The preferred falls, the dispreferred falls; the dispreferred moves more."
    assert words in law.said()
    law.type("pace", "0.002")
    law.agrees(pace=0.002)
    law.type("lx", "0.5")
    law.type("ly", "0.1")
    assert "rises, the dispreferred rises; the preferred moves more" in law.said()
    assert "Changes in nats" in law.spoken("the dispreferred rises")
    law.type("wx", "9")  # the window widens
    law.agrees(pace=0.002)
    x, _ = law.centre(law.w.locator(".dpf-dot"))
    assert law.place(0, 0)[0] < x < law.place(1, 0)[0]


def test_mouse(law):
    """Each gradient moves alone, and a press beside the dots moves none; the pair moves in its
    plane."""
    law.drag(law.l, (0.6, 0.9), (0.9, 0.4))
    wx, wy, lx, ly = law.vectors()
    assert (wx, wy) == (1, 0.3)
    assert (lx, ly) == pytest.approx((1.6, -0.4), abs=0.03)
    law.agrees()
    law.drag(law.w, (0.5, 0.75))
    assert law.vectors()[:2] == pytest.approx((0, 1), abs=0.03)
    before = law.vectors()
    law.page.mouse.click(*law.place(0.1, 0.1))
    assert law.vectors() == before
    law.drag(law.pair, (0.5, 0.6), (0.8, 0.8), plot=1)
    found = law.agrees(rel=2e-3)  # the fields show four digits
    assert found["wl"] / found["ww"] == pytest.approx(1.2, abs=0.02)
    assert found["ll"] / found["ww"] == pytest.approx(2.72, abs=0.03)
    law.page.mouse.click(*law.place(0.9, 0.1, plot=1))  # beyond Cauchy-Schwarz: goes to the edge
    found = law.numbers()
    assert found["cosine"] == pytest.approx(1, abs=1e-4)
    law.reset.click()
    assert law.vectors() == (1, 0.3, 0.6, 1.2)


def test_keys(law):
    """Arrows, Shift and Home on all three points; the slider."""
    keys = law.page.keyboard
    law.w.focus()
    for key in ("ArrowRight", "Shift+ArrowUp", "ArrowDown"):
        keys.press(key)
    assert law.vectors()[:2] == pytest.approx((1.02, 0.38))
    keys.press("Home")
    assert law.vectors()[:2] == (1, 0.3)
    law.pair.focus()
    before = law.numbers()
    keys.press("Shift+ArrowLeft")
    after = law.numbers()
    assert after["wl"] / after["ww"] == pytest.approx(before["wl"] / before["ww"] - 0.1, abs=1e-5)
    assert after["ll"] == pytest.approx(before["ll"], rel=1e-5)
    keys.press("Home")
    assert law.vectors() == (1, 0.3, 0.6, 1.2)
    law.root.get_by_role("slider", name="eta W").focus()
    keys.press("End")
    assert law.value("pace") == 1
    law.agrees(pace=1)


def test_measured_pairs(opened, presets):
    """The list sets the vectors; moving a vector ends the choice."""
    law = opened(demo=presets, figure=Law)
    law.field("preset").select_option(label="one word apart, weak SFT")
    found = law.numbers()
    assert [found[k] for k in ("ww", "wl", "ll")] == pytest.approx([310, 280, 330], rel=1e-6)
    law.field("preset").select_option(label="both fall")
    assert law.numbers()["dw"] == pytest.approx(-0.05)
    law.w.focus()
    law.page.keyboard.press("ArrowLeft")
    law.frame()
    assert law.field("preset").input_value() == "-1"
    law.reset.click()
    assert law.vectors() == (1, 0.3, 0.6, 1.2)


def test_phone(opened, presets):
    """Drag the gradients by touch, tap a place of the kernel's plane."""
    law = opened(demo=presets, figure=Law, **PHONE)
    law.swipe(law.l, -50, 30, grip=10)
    unit = 4 / (law.place(1, 0)[0] - law.place(0, 0)[0])
    assert law.vectors()[2:] == pytest.approx((0.6 - 50 * unit, 1.2 - 30 * unit), abs=0.02)
    law.agrees()
    law.pair.scroll_into_view_if_needed()
    law.page.touchscreen.tap(*law.place(0.4, 0.5, plot=1))
    found = law.numbers()
    assert found["wl"] / found["ww"] == pytest.approx(0, abs=0.02)
    assert found["ll"] / found["ww"] == pytest.approx(1.7, abs=0.03)
