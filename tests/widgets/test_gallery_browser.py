"""The loss gallery in Chromium, without kernel or network: all controls, all numbers."""

from __future__ import annotations

import pytest

from dpofield.field import gradient, potential
from dpofield.formulas import LOSSES
from dpofield.widgets.loss_gallery import EXAMPLE
from tests.widgets.conftest import PHONE, Shown

pytestmark = pytest.mark.browser


class Gallery(Shown):
    """The loss gallery."""

    def __init__(self, page, within="body"):
        super().__init__(page, within)
        self.handles = self.root.get_by_role("slider", name="Pair in the field")

    def choose(self, which, name):
        """Choose a loss from the list, which is behind a tab on a narrow page."""
        if self.radio(which).is_visible():
            self.radio(which).check()
        self.field(f"loss-{which}").select_option(name)

    def slider(self, which):
        """The slider of a panel's first parameter."""
        return self.root.locator(f".dpf-panel-{which} input[type=range]")

    def agrees(self, which, name, u, v, params=None, pair=EXAMPLE):
        """Assert that the panel's numbers equal the results of `dpofield.field`, to 1e-6."""
        loss = LOSSES[name]
        given = (params or {}) | {p.name: pair[p.name] for p in loss.inputs}
        along, across = (float(g) for g in gradient(name, "log-ratio", u, v, **given))
        expected = {
            "loss": float(potential(name, "log-ratio", u, v, **given)),
            "along": along,
            "across": across,
        }
        if across:
            expected["factor"] = abs(along) / abs(across)
        found = self.numbers()
        for key, value in expected.items():
            assert found[f"{which}-{key}"] == pytest.approx(value, rel=1e-6, abs=1e-12), key
        assert found[f"{which}-margin"] == ("yes" if loss.margin_only else "no")


@pytest.fixture
def gallery(opened):
    return opened(demo="loss-gallery", figure=Gallery, height=1200)


def test_every_loss_on_both_sides(gallery):
    """Every loss of the list: its numbers at two pairs, its title, parameters and source."""
    gallery.type("u", "1,5")
    gallery.type("v", "−2.25")
    for name, other in zip(LOSSES, reversed(LOSSES), strict=True):
        gallery.choose("a", name)
        gallery.choose("b", other)
        gallery.agrees("a", name, 1.5, -2.25)
        gallery.agrees("b", other, 1.5, -2.25)
        panel = gallery.root.locator(".dpf-panel-a")
        assert panel.locator(".dpf-source").inner_text() == LOSSES[name].source
        fields = panel.locator("input[type=text]").evaluate_all("(f) => f.map((e) => e.value)")
        assert [float(f) for f in fields] == pytest.approx(list(LOSSES[name].defaults.values()))
        assert len(panel.locator("input[type=range]").all()) == bool(LOSSES[name].params)


def test_words_are_computed(gallery):
    """The directions at the pair, the comparison of the steps, and the class of each loss."""
    gallery.choose("b", "robust")
    gallery.frame()
    assert "Same direction" in gallery.said()  # both of the margin only
    gallery.choose("b", "apo_down")
    gallery.type("v", "-3")
    found = gallery.numbers()
    assert found["b-preferred"] == "up or down"
    assert found["b-along"] > 0
    assert "APO-down: preferred falls, dispreferred falls." in gallery.said()
    assert "° apart" in gallery.said()
    gallery.choose("b", "hinge")
    gallery.type("u", "9")
    assert gallery.numbers()["b-along"] == 0
    assert "Hinge: preferred stays, dispreferred stays." in gallery.said()
    assert "One of them is at rest." in gallery.said()
    text = gallery.spoken("Hinge: loss 0")
    assert "u 9, v −3" in text


def test_parameters(gallery):
    """Typed, and by slider with mouse and keys; the two sides are independent; a new loss starts at
    its defaults."""
    gallery.type("a-beta", "0.37")
    gallery.agrees("a", "dpo", 0, 0, {"beta": 0.37})
    gallery.agrees("b", "rpo", 0, 0)
    gallery.type("b-lam", "0.25")
    gallery.agrees("b", "rpo", 0, 0, {"lam": 0.25})
    box = gallery.slider("b").bounding_box()
    gallery.page.mouse.click(box["x"] + box["width"] * 0.75, box["y"] + 22)
    beta = gallery.value("b-beta")
    assert 0.3 < beta < 0.6
    gallery.agrees("b", "rpo", 0, 0, {"lam": 0.25, "beta": beta})
    gallery.slider("a").focus()
    gallery.page.keyboard.press("End")
    assert gallery.value("a-beta") == 2
    gallery.page.keyboard.press("ArrowLeft")
    assert gallery.value("a-beta") < 2
    gallery.agrees("a", "dpo", 0, 0, {"beta": gallery.value("a-beta")})
    gallery.choose("a", "kto")
    gallery.choose("a", "dpo")
    gallery.agrees("a", "dpo", 0, 0)
    gallery.reset.click()
    gallery.agrees("b", "rpo", 0, 0)


def test_pair_data_and_window(gallery):
    """References and lengths reach the losses that use them; the window; invalid values."""
    gallery.choose("a", "orpo")
    pair = {"ref_w": -28.0, "ref_l": -20.0, "len_w": 15.0, "len_l": 9.0}
    for name, value in pair.items():
        gallery.type(name, f"{value:g}")
    gallery.agrees("a", "orpo", 0, 0, pair=pair)
    gallery.type("u", "25")  # widens the window
    gallery.agrees("a", "orpo", 25, 0, pair=pair)
    x, _ = gallery.centre(gallery.root.locator(".dpf-panel-a .dpf-dot"))
    assert gallery.place(0, 0)[0] < x < gallery.place(1, 0)[0]
    note = gallery.root.locator(".dpf-panel-a .dpf-note").last
    assert note.text_content() == "a probability above 1"
    gallery.type("window", "8")
    assert gallery.value("window") == 8
    gallery.type("u", "0")
    gallery.frame()
    assert note.text_content() == ""
    slider = gallery.root.get_by_role("slider", name="window")
    slider.focus()
    gallery.page.keyboard.press("End")
    assert gallery.value("window") == 100


def test_mouse_and_keys_in_both_planes(gallery):
    """Either dot moves the pair; arrows, Shift and Home; rounding keeps the numbers short."""
    for plot in (0, 1):
        gallery.drag(gallery.handles.nth(plot), (0.6, 0.8), (0.75, 0.3), plot=plot)
        u, v = gallery.value("u"), gallery.value("v")
        assert (u, v) == pytest.approx((5, -4), abs=0.1)
        gallery.agrees("a", "dpo", u, v)
        gallery.agrees("b", "rpo", u, v)
        gallery.page.mouse.click(*gallery.place(0.25, 0.5, plot=plot))
        assert gallery.value("u") == pytest.approx(-5, abs=0.1)
        gallery.handles.nth(plot).focus()
        for key in ("Home", "ArrowRight", "Shift+ArrowDown", "ArrowDown", "ArrowLeft", "ArrowLeft"):
            gallery.page.keyboard.press(key)
        assert (gallery.value("u"), gallery.value("v")) == pytest.approx((-0.2, -1.2))
        gallery.agrees("b", "rpo", -0.2, -1.2)


def test_phone(opened):
    """One panel at a time, turned by touch; drag and tap."""
    gallery = opened(demo="loss-gallery", figure=Gallery, **PHONE)
    page = gallery.page
    gallery.choose("a", "alphapo")
    panels = [gallery.root.locator(f".dpf-panel-{which}") for which in "ab"]
    assert [p.is_visible() for p in panels] == [True, False]
    gallery.radio("b").tap()
    assert [p.is_visible() for p in panels] == [False, True]
    handle = gallery.handles.locator("visible=true")
    gallery.swipe(handle, 40, 60, grip=12)
    unit = 20 / (gallery.place(1, 0, plot=1)[0] - gallery.place(0, 0, plot=1)[0])
    u, v = gallery.value("u"), gallery.value("v")
    assert (u, v) == pytest.approx((40 * unit, -60 * unit), abs=0.1)
    gallery.agrees("b", "rpo", u, v)
    page.touchscreen.tap(*gallery.place(0.25, 0.75, plot=1))
    assert gallery.value("u") == pytest.approx(-5, abs=0.1)
    gallery.reset.tap()
    assert gallery.value("u") == 0
