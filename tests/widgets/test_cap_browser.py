"""The cap explorer in Chromium, without kernel or network: all controls, all numbers."""

from __future__ import annotations

import math

import pytest

from dpofield.field import extinction_time, flow, gradient, potential
from dpofield.formulas import LOSSES
from dpofield.formulas.divergences import DIVERGENCES
from tests.widgets.conftest import PHONE, Shown

pytestmark = pytest.mark.browser


class Caps(Shown):
    """The cap explorer."""

    def __init__(self, page, within="body"):
        super().__init__(page, within)
        self.handle = self.root.get_by_role("slider", name="Start")

    def slider(self, name):
        """The slider of a number."""
        return self.root.get_by_role("slider", name=name, exact=True)

    def agrees(self, name, a, b, *, beta=0.1, alpha=0.5):
        """Assert that the numbers shown equal the results of `dpofield.field`, to 1e-6."""
        loss = LOSSES[DIVERGENCES[name].loss]
        given = {p.name: {"beta": beta, "alpha": alpha}[p.name] for p in loss.params}
        along, across = (float(g) for g in gradient(loss, "ratio", a, b, **given))
        expected = {
            "loss": float(potential(loss, "ratio", a, b, **given)),
            "along": along,
            "across": across,
            "factor": abs(along / across),
            "seconds": abs(along / across),
        }
        found = self.numbers()
        for key, value in expected.items():
            assert found[key] == pytest.approx(value, rel=1e-6), key
        return found


@pytest.fixture
def caps(opened):
    return opened(demo="cap-explorer", figure=Caps)


def test_every_divergence_by_mouse_and_keys(caps):
    """Field, cap and clock of each divergence from the reference, and its alpha if it has one."""
    caps_of = {"reverse_kl": 2**0.5, "forward_kl": 2 ** (1 / 3), "chi2": 2.0, "alpha": 2**0.4}
    alphas = {"reverse_kl": 1, "forward_kl": 0, "chi2": 2, "alpha": 0.5}
    for name in DIVERGENCES:
        caps.radio(name).click()
        found = caps.agrees(name, 1.0, 1.0)
        if name in caps_of:
            assert found["cap"] == pytest.approx(caps_of[name], rel=1e-6)
            assert caps.value("alpha") == alphas[name]
        if name == "reverse_kl":
            assert found["end"] == pytest.approx(extinction_time(0.1), rel=1e-6)
        assert (found["end"] == math.inf) == (name in ("forward_kl", "alpha"))
    caps.radio("reverse_kl").focus()
    caps.page.keyboard.press("ArrowRight")
    caps.agrees("forward_kl", 1.0, 1.0)


def test_a_clock_of_a_thousand_million_is_readable(caps):
    """Protects: tick labels of large numbers do not overlap, in the plot and on the slider."""
    caps.type("alpha", "3.2")
    marks = [t for t in caps.root.locator("svg text").all_text_contents() if "e" in t.lower()]
    late = [t for t in marks if t.replace("e", "").isdigit()]
    assert late, "no mark is in powers of ten"
    assert max(float(t) for t in late) >= 1e8
    assert not [t for t in caps.root.locator("svg text").all_text_contents() if "0000" in t]


def test_alpha_and_beta(caps):
    """Typed and by slider; a new alpha selects its divergence; beta moves only the clock."""
    caps.type("alpha", "2,5")
    found = caps.agrees("alpha", 1.0, 1.0, alpha=2.5)
    assert caps.radio("alpha").is_checked()
    assert found["cap"] == pytest.approx(4.0, rel=1e-6)
    caps.type("beta", "0.9")
    other = caps.agrees("alpha", 1.0, 1.0, alpha=2.5, beta=0.9)
    assert other["cap"] == found["cap"]
    assert other["end"] != found["end"]
    caps.type("alpha", "3")
    assert caps.numbers()["cap"] == "none"
    assert "no cap" in caps.said()
    assert "never quite reaches 0" in caps.said()
    caps.slider("alpha").focus()
    caps.page.keyboard.press("Home")
    assert caps.value("alpha") == -1
    caps.agrees("alpha", 1.0, 1.0, alpha=-1.0, beta=0.9)
    box = caps.slider("beta").bounding_box()
    caps.page.mouse.click(box["x"] + box["width"] * 0.9, box["y"] + 22)
    beta = caps.value("beta")
    assert 1 < beta < 3
    caps.agrees("alpha", 1.0, 1.0, alpha=-1.0, beta=beta)


def test_time(caps):
    """Typed and by slider: the point of the flow at a time; after the end it stays at the cap."""
    caps.type("time", "3")
    found = caps.agrees("reverse_kl", 1.0, 1.0)
    line = flow("dpo", "ratio", time=3.0, beta=0.1)
    assert found["aThen"] == pytest.approx(line.a[-1], rel=1e-6)
    assert found["bThen"] == pytest.approx(line.b[-1], rel=1e-6)
    caps.slider("time").focus()
    caps.page.keyboard.press("End")
    found = caps.numbers()
    assert (found["aThen"], found["bThen"]) == (pytest.approx(found["cap"]), 0)
    assert caps.value("time") > found["end"]
    assert "x 2 is gone at time 10.37" in caps.spoken("At time")


def test_start_by_mouse_keys_and_typing(caps):
    """Drag the dot, press a place, step by keys; a large start widens the window."""
    caps.radio("js").click()
    caps.drag(caps.handle, (0.6, 0.9), (0.25, 0.75))
    a, b = caps.value("a"), caps.value("b")
    assert (a, b) == pytest.approx((0.55, 1.65), abs=0.03)
    caps.agrees("js", a, b)
    caps.drag(caps.handle, (-0.4, -0.3))
    assert (caps.value("a"), caps.value("b")) == (0.005, 0.005)
    caps.agrees("js", 0.005, 0.005)
    caps.page.mouse.click(*caps.place(0.5, 0.25))
    assert caps.value("a") == pytest.approx(1.1, abs=0.02)
    caps.handle.focus()
    for key in ("Home", "ArrowRight", "ArrowUp", "Shift+ArrowDown", "ArrowLeft"):
        caps.page.keyboard.press(key)
    assert (caps.value("a"), caps.value("b")) == pytest.approx((1.0, 0.92))
    caps.agrees("js", 1.0, 0.92)
    caps.type("a", "7")
    caps.agrees("js", 7.0, 0.92)
    x, _ = caps.centre(caps.root.locator(".dpf-dot"))
    assert caps.place(0, 0)[0] < x < caps.place(1, 0)[0]
    caps.reset.click()
    caps.agrees("reverse_kl", 1.0, 1.0)


def test_phone(opened):
    """Drag by touch, tap a place, a divergence, the sliders."""
    caps = opened(demo="cap-explorer", figure=Caps, **PHONE)
    caps.swipe(caps.handle, 30, 50, grip=12)
    unit = 2.2 / (caps.place(1, 0)[0] - caps.place(0, 0)[0])
    a, b = caps.value("a"), caps.value("b")
    assert (a, b) == pytest.approx((1 + 30 * unit, 1 - 50 * unit), abs=0.02)
    caps.agrees("reverse_kl", a, b)
    caps.page.touchscreen.tap(*caps.place(0.25, 0.5))
    assert caps.value("a") == pytest.approx(0.55, abs=0.02)
    caps.reset.tap()
    caps.radio("chi2").tap()
    caps.agrees("chi2", 1.0, 1.0)
    slider = caps.slider("time")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    caps.page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + 22)
    assert caps.value("time") > 0
