"""One softmax in Chromium, without kernel or network: all controls, all numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax

from dpofield.field.softmax import path, peak, rates, split, time_of
from tests.widgets.conftest import PHONE, Shown

pytestmark = pytest.mark.browser

START = [0.25, 0.15, 0.3, 0.2, 0.1]


class Softmax(Shown):
    """The figure of one softmax."""

    def __init__(self, page, within="body"):
        super().__init__(page, within)
        self.handle = self.root.get_by_role("slider", name="Start")
        self.sentence = self.root.locator(".dpf-sentence")
        self.bars = self.root.locator(".dpf-response:visible")

    def press(self, name):
        """Press a button."""
        self.root.get_by_role("button", name=name).click()

    def agrees(self, start, w, l, margin, *, beta=0.1):  # noqa: E741
        """Assert that the numbers shown equal those of `dpofield.field`, to 1e-6; return them."""
        logits = np.log(start)
        line = path(logits, w, l, times=time_of([margin], beta=beta), beta=beta)
        now = line.logp[0]
        moved = rates(now, w, l, beta=beta, margin=margin)
        other = next(i for i in range(len(start)) if i not in (w, l))
        best = peak(logits, w, l, beta=beta)
        rest = line.rest[0]
        expected = {
            "rateW": moved[w],
            "rateL": moved[l],
            "rateO": moved[other],
            "factor": -moved[l] / moved[w],
            "weight": beta / (1 + np.exp(beta * margin)),
            "share": split(now, w, l)[0],
            "rest": rest,
            "top": best.rest if margin < 2 * best.s else rest,
            "margin": margin,
            "time": time_of(margin, beta=beta),
        } | {f"p{i}": p for i, p in enumerate(np.exp(log_softmax(now)))}
        found = self.numbers()
        assert set(found) == set(expected)
        for key, value in expected.items():
            assert found[key] == pytest.approx(value, rel=1e-6, abs=1e-12), key
        return found


@pytest.fixture
def softmax(opened):
    return opened(demo="one-softmax", figure=Softmax)


def test_along_the_path(softmax):
    """From the reference on: typed, by slider and by steps; another beta changes only the clock."""
    softmax.agrees(START, 0, 1, 0.0)
    softmax.type("margin", "2,5")
    softmax.agrees(START, 0, 1, 2.5)
    softmax.press("Step")
    before = softmax.agrees(START, 0, 1, 3.5)
    softmax.root.get_by_role("slider", name="beta", exact=True).focus()
    softmax.page.keyboard.press("End")
    after = softmax.agrees(START, 0, 1, 3.5, beta=3.0)
    assert after["p0"] == before["p0"]
    assert after["time"] != before["time"]
    softmax.root.get_by_role("slider", name="margin", exact=True).focus()
    softmax.page.keyboard.press("End")
    softmax.agrees(START, 0, 1, softmax.value("margin"), beta=3.0)
    assert softmax.numbers()["p0"] > 0.98
    softmax.press("Back")
    softmax.agrees(START, 0, 1, 0.0, beta=3.0)
    softmax.press("Reset")
    softmax.agrees(START, 0, 1, 0.0)


def test_pair_and_number_of_responses(softmax):
    """By mouse and keys; choosing the other response of the pair swaps the two; a new size keeps
    the proportions and a valid pair."""
    softmax.radio("w1").click()
    softmax.agrees(START, 1, 0, 0.0)
    assert "The preferred rises faster" in softmax.sentence.inner_text()
    softmax.radio("l0").focus()
    softmax.page.keyboard.press("ArrowUp")
    softmax.agrees(START, 1, 4, 0.0)
    softmax.radio("3").click()
    start = np.array(START[:3]) / sum(START[:3])
    softmax.agrees(start, 1, 0, 0.0)
    assert softmax.bars.count() == 3
    for size in range(4, 9):
        softmax.radio(str(size)).click()
        start = np.append(start * (size - 1) / size, 1 / size)
        softmax.agrees(start, 1, 0, 0.0)
        assert softmax.bars.count() == size
    softmax.type("margin", "1")
    softmax.agrees(start, 1, 0, 1.0)


def test_start_by_typing_and_dragging(softmax):
    """The others keep their proportions, and training restarts. Equal masses move equally fast."""
    softmax.type("margin", "3")
    softmax.type("start1", "0.5")
    start = np.array([0.25, 0.85, 0.3, 0.2, 0.1]) / 1.7
    found = softmax.agrees(start, 0, 1, 0.0)
    assert found["top"] > found["rest"]
    softmax.type("margin", "1")
    softmax.agrees(start, 0, 1, 1.0)
    softmax.drag(softmax.handle, (0.2, 0.9), (0.1, 0.3))
    a, b = softmax.value("start0"), softmax.value("start1")
    assert (a, b) == pytest.approx((0.1, 0.3), abs=0.02)
    rest = np.array([0.3, 0.2, 0.1]) / 0.6 * (1 - a - b)
    softmax.agrees([a, b, *rest], 0, 1, 0.0)
    softmax.drag(softmax.handle, (1.3, 1.3))
    assert softmax.value("start0") + softmax.value("start1") < 1
    softmax.handle.focus()
    for key in ("Home", "ArrowUp", "Shift+ArrowLeft", "ArrowRight"):
        softmax.page.keyboard.press(key)
    rest = np.array([0.3, 0.2, 0.1]) / 0.6 * 0.68
    softmax.agrees([0.16, 0.16, *rest], 0, 1, 0.0)
    assert "Equal masses" in softmax.sentence.inner_text()


def test_bars_and_their_arrows(softmax):
    """A bar shows the mass, its mark the start. Its arrow has the length of the change per nat of
    margin at the current rates."""
    softmax.type("margin", "2")
    found = softmax.agrees(START, 0, 1, 2.0)
    now = np.array([found[f"p{i}"] for i in range(5)])
    log_rates = np.array([found["rateW"], found["rateL"], *[found["rateO"]] * 3]) / found["weight"]
    drawn = softmax.bars.evaluate_all("""(rows) => rows.map((row) => {
      const box = (name) => row.querySelector(name).getBoundingClientRect();
      const track = box(".dpf-masstrack");
      const at = (x) => (x - track.left) / track.width;
      const [bar, drift, mark] = [".dpf-mass", ".dpf-drift", ".dpf-mark"].map(box);
      const up = row.querySelector(".dpf-drift").matches(".dpf-up");
      return [at(bar.right), up ? at(drift.right) : at(drift.left), at(mark.left)];
    })""")
    ends, tips, marks = np.array(drawn).T
    np.testing.assert_allclose(ends, now, atol=1e-4)
    np.testing.assert_allclose(tips, now + 0.5 * now * log_rates, atol=1e-4)
    np.testing.assert_allclose(marks, START, atol=1e-4)


def test_play_and_pause(softmax):
    """It runs along the path, stops when paused, and shows its margin."""
    softmax.press("Play")
    softmax.page.wait_for_function(
        "() => parseFloat(document.querySelector('[data-value=margin]').textContent) > 0.3"
    )
    softmax.press("Pause")
    margin = softmax.numbers()["margin"]
    softmax.agrees(START, 0, 1, margin)
    assert "Response 1 is preferred" in softmax.spoken("Margin")
    assert softmax.numbers()["margin"] == margin
    softmax.press("Play")
    softmax.press("Reset")
    softmax.agrees(START, 0, 1, 0.0)


def test_play_without_motion(opened):
    """With reduced motion, Play jumps to the end."""
    softmax = opened(demo="one-softmax", figure=Softmax, reduced_motion="reduce")
    softmax.press("Play")
    softmax.agrees(START, 0, 1, softmax.numbers()["margin"])
    assert softmax.numbers()["p0"] > 0.98
    assert softmax.root.get_by_role("button", name="Play").is_visible()


def test_phone(opened):
    """Drag by touch, tap a pair, a size and a button."""
    softmax = opened(demo="one-softmax", figure=Softmax, **PHONE)
    softmax.swipe(softmax.handle, -30, -50)
    unit = 1 / (softmax.place(1, 0)[0] - softmax.place(0, 0)[0])
    a, b = softmax.value("start0"), softmax.value("start1")
    assert (a, b) == pytest.approx((0.25 - 30 * unit, 0.15 + 50 * unit), abs=0.01)
    softmax.reset.tap()
    softmax.radio("l2").tap()
    softmax.agrees(START, 0, 2, 0.0)
    softmax.root.get_by_role("button", name="Step").tap()
    softmax.agrees(START, 0, 2, 1.0)
    softmax.radio("8").tap()
    softmax.frame()
    assert softmax.bars.count() == 8
