"""The run player in Chromium, without kernel or network: all controls."""

from __future__ import annotations

import numpy as np
import pytest

from dpofield.field import potential
from dpofield.formulas import LOSSES
from dpofield.widgets import RunPlayer
from dpofield.widgets.demo import demo_page
from tests.widgets.conftest import PHONE, Shown

pytestmark = pytest.mark.browser
RUN = RunPlayer()
STEP, U, V = np.array(RUN.step), np.array(RUN.u), np.array(RUN.v)
LAST = len(STEP) - 1


class Player(Shown):
    """The run player."""

    def __init__(self, page, within="body"):
        super().__init__(page, within)
        self.pair = self.root.locator(".dpf-handle")
        self.slider = self.root.get_by_role("slider", name="step")

    def press(self, name):
        self.root.get_by_role("button", name=name, exact=True).click()

    def at(self):
        """Record and pair in the fields."""
        record = STEP.tolist().index(self.value("step"))
        return record, int(self.field("pair").input_value())

    def agrees(self, record, pair):
        """Assert that these are shown, and that every number equals NumPy's result to 1e-6."""
        assert self.at() == (record, pair)
        u, v = U[record], V[record]
        expected = {
            "u": u.mean(),
            "v": v.mean(),
            "margin": (u - v).mean(),
            "loss": potential("dpo", "log-ratio", u, v, beta=RUN.beta).mean(),
            "pair-u": u[pair],
            "pair-v": v[pair],
        }
        if record:
            time = STEP[record] - STEP[record - 1]
            expected["rateU"] = (u - U[record - 1]).mean() / time
            expected["rateV"] = (v - V[record - 1]).mean() / time
        found = self.numbers()
        for name, value in expected.items():
            assert found[name] == pytest.approx(value, rel=1e-6, abs=1e-9), name
        assert RUN.texts[pair][1] in self.root.locator(".dpf-texts").inner_text()

    def point(self, pair):
        """The place of a pair in the window, from the path of the cloud."""
        return self.root.locator(".dpf-cloud").evaluate(
            """(cloud, i) => {
              const [x, y] = cloud.getAttribute("d").split("M")[i + 1].split("a")[0].split(" ");
              const place = new DOMPoint(Number(x) + 5, Number(y));
              const at = place.matrixTransform(cloud.getScreenCTM());
              return [at.x, at.y];
            }""",
            pair,
        )


@pytest.fixture
def player(opened):
    return opened(demo="run-player", figure=Player)


def test_typed_and_pressed(player):
    """A recorded step, the buttons, the list of pairs; at the first record nothing has moved."""
    player.agrees(0, 0)
    assert "nothing has moved" in player.root.inner_text()
    player.type("step", str(STEP[7]))
    player.field("pair").select_option("5")
    player.agrees(7, 5)
    above, below = (U[7] > 0).sum(), (V[7] < 0).sum()
    more = (np.abs(V[7] - V[6]) > np.abs(U[7] - U[6])).sum()
    words = player.said()
    assert f"up in {above} of 32 pairs" in words
    assert f"down in {below}." in words
    assert f"moved more in {more}." in words
    player.press("Step")
    player.agrees(8, 5)
    player.press("Back")
    player.agrees(0, 5)
    player.type("step", "3")
    assert "records are kept at 0" in player.complaint.inner_text()
    player.agrees(0, 5)
    player.press("Reset")
    player.agrees(0, 0)


def test_mouse(player):
    """Hovering shows the text of a pair, a click selects it; the slider; the other chart."""
    player.type("step", str(STEP[10]))
    far = int(np.argmin(U[10]))
    player.page.mouse.move(*player.point(far))
    player.frame()
    assert player.numbers()["pair-u"] == U[10][far]
    assert player.at() == (10, 0)
    player.page.mouse.move(5, 5)
    player.agrees(10, 0)
    player.page.mouse.click(*player.point(far))
    player.agrees(10, far)
    box = player.slider.bounding_box()
    player.page.mouse.click(box["x"] + box["width"] - 12, box["y"] + box["height"] / 2)
    player.agrees(LAST, far)
    player.radio("ratio").check()
    player.agrees(LAST, far)
    assert "beyond the picture" in player.root.locator(".dpf-plot").first.text_content()
    outside = ((np.exp(U[LAST]) > 2.6) | (np.exp(V[LAST]) > 2.6)).sum()
    assert f"{outside} beyond" in player.root.locator(".dpf-plot").first.text_content()


def test_keys(player):
    """The arrow keys move from record to record, and from pair to pair."""
    player.slider.focus()
    for key in ("ArrowRight", "ArrowUp", "ArrowLeft"):
        player.page.keyboard.press(key)
    player.agrees(1, 0)
    assert player.slider.get_attribute("aria-valuetext") == str(STEP[1])
    player.page.keyboard.press("End")
    player.agrees(LAST, 0)
    player.pair.focus()
    for key in ("ArrowRight", "Shift+ArrowUp", "ArrowLeft"):
        player.page.keyboard.press(key)
    player.agrees(LAST, 5)
    assert RUN.texts[5][1] in player.spoken("Pair 6")
    player.page.keyboard.press("Home")
    player.agrees(LAST, 0)


def test_play(player):
    """Play runs to the end, and Pause stops it."""
    player.page.evaluate("""() => {
      let now = 0;
      window.requestAnimationFrame = (run) => setTimeout(() => run((now += 250)), 5);
      window.cancelAnimationFrame = clearTimeout;
    }""")
    player.press("Play")
    player.root.get_by_role("button", name="Play", exact=True).wait_for()
    player.agrees(LAST, 0)
    player.press("Play")  # again from the start
    player.press("Pause")
    assert player.root.get_by_role("button", name="Play", exact=True).count() == 1


def test_no_motion_for_who_wants_none(opened):
    """With reduced motion, Play jumps to the end."""
    player = opened(demo="run-player", figure=Player, reduced_motion="reduce")
    player.press("Play")
    player.agrees(LAST, 0)


def test_phone(opened):
    """A tap near a pair selects it."""
    player = opened(demo="run-player", figure=Player, **PHONE)
    player.type("step", str(STEP[10]))
    far = int(np.argmin(U[10]))
    player.pair.scroll_into_view_if_needed()
    x, y = player.point(far)
    player.page.touchscreen.tap(x - 8, y + 4)
    player.agrees(10, far)


LIVE = """async () => {
  const script = [...document.scripts].find((s) => s.type.includes("widget-state"));
  const { state } = Object.values(JSON.parse(script.text).state).find((r) => r.state._esm);
  const whole = { step: state.step, u: state.u, v: state.v };
  const first = (n) =>
    Object.fromEntries(Object.entries(whole).map(([name, all]) => [name, all.slice(0, n)]));
  Object.assign(state, first(2), { record: 1, follow: true });
  const blob = new Blob([state._esm], { type: "text/javascript" });
  const { default: figure } = await import(URL.createObjectURL(blob));
  const heard = [];
  const model = {
    saved: 0,
    get: (name) => state[name],
    set: (values) => {
      Object.assign(state, values);
      heard.filter(([name]) => name.split(":")[1] in values).forEach(([, call]) => call());
    },
    on: (name, call) => heard.push([name, call]),
    off: () => {},
    save_changes: () => { model.saved += 1; },
  };
  document.querySelector("main").replaceChildren();
  figure.render({ model, el: document.querySelector("main") });
  // as Python's `extend`; "late": sent before the kernel has received `follow`
  const arrives = (n, late) =>
    model.set({ ...first(n), ...(state.follow || late ? { record: n - 1 } : {}) });
  window.kernel = { model, arrives };
}"""


def test_records_arrive_while_it_is_shown(player):
    """Records arrive as during a training. A view at the newest record follows. Any other view
    stays, even before the kernel has received its change. Numbers, slider and picture are those of
    the run so far, and Reset keeps the new records."""
    page = player.page
    arrives = "(n) => window.kernel.arrives(n)"
    page.evaluate(LIVE)
    player.agrees(1, 0)
    for count in (3, 8):
        page.evaluate(arrives, count)
        player.agrees(count - 1, 0)
        assert float(player.slider.input_value()) == float(player.slider.get_attribute("max"))
    assert np.abs(V[7]).max() > 2 * np.abs(V[1]).max()  # beyond the first window
    frame = player.root.locator(".dpf-frame").first.bounding_box()
    for pair in range(len(RUN.texts)):
        x, y = player.point(pair)
        assert frame["x"] < x < frame["x"] + frame["width"]
        assert frame["y"] < y < frame["y"] + frame["height"]
    assert page.evaluate("() => window.kernel.model.saved") == 0  # the reader changed nothing
    player.type("step", str(STEP[2]))
    assert page.evaluate("() => [kernel.model.saved, kernel.model.get('follow')]") == [1, False]
    page.evaluate("() => window.kernel.arrives(11, true)")
    page.evaluate(arrives, 12)
    player.agrees(2, 0)
    assert page.evaluate("() => window.kernel.model.get('record')") == 2
    player.slider.press("End")
    player.agrees(11, 0)
    page.evaluate(arrives, 13)
    player.agrees(12, 0)
    page.wait_for_function("() => window.kernel.model.saved > 2")
    page.evaluate("() => window.kernel.model.set({ record: 4 })")  # the kernel may set any record
    player.agrees(4, 0)
    page.evaluate(arrives, 14)
    player.agrees(13, 0)
    player.press("Reset")
    player.agrees(0, 0)
    player.press("Step")
    player.agrees(1, 0)
    player.slider.press("End")
    player.agrees(13, 0)


def test_half_of_a_record(player):
    """A record of which only `step` has arrived is not drawn and raises no error."""
    player.page.evaluate(LIVE)
    player.page.evaluate("(step) => window.kernel.model.set({ step })", STEP[:5].tolist())
    player.frame()
    assert player.value("step") == STEP[1]
    player.page.evaluate("() => window.kernel.arrives(5)")
    player.agrees(4, 0)


@pytest.mark.parametrize("loss", ["ipo", "hinge", "dpop", "sft", "simpo"])
def test_another_loss(opened, demos, loss):
    """Field and mean loss are those of the run's loss. A loss that depends on more than the
    log-ratios has no field common to all pairs, so no arrows are drawn."""
    figure = RunPlayer(STEP, U, V, RUN.texts, loss=loss, beta=0.3)
    page = demo_page("run-player", widget=figure)
    (demos / f"run-{loss}.html").write_text(page, encoding="utf-8")
    player = opened(demo=f"run-{loss}", figure=Player)
    player.type("step", str(STEP[9]))
    arrows = player.root.locator(".dpf-arrows").evaluate_all(
        "(all) => all.map((path) => path.getAttribute('d')).join('')"
    )
    shown = player.numbers()["loss"]
    if LOSSES[loss].inputs:
        assert arrows == ""
        assert np.isnan(shown)
    else:
        expected = potential(loss, "log-ratio", U[9], V[9], beta=0.3).mean()
        assert shown == pytest.approx(expected, rel=1e-6)
        assert len(arrows) > 1000
