"""The field explorer in Chromium, without kernel or network: all controls, all numbers."""

from __future__ import annotations

import math

import pytest

from dpofield.field import coordinates
from dpofield.formulas import CHARTS
from dpofield.palette import PALETTE
from dpofield.widgets.field_formulas import SHOWN
from tests.widgets.conftest import PHONE, Explorer

pytestmark = pytest.mark.browser


def rgb(colour):
    return f"rgb({', '.join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))})"


def test_opens_at_the_reference(explorer):
    """The first state: ratios, beta 0.1, (1, 1), both rates equal."""
    assert (explorer.chart, explorer.start(), explorer.beta()) == ("ratio", (1.0, 1.0), 0.1)
    explorer.agrees("ratio", 0.1, 1.0, 1.0)
    assert explorer.numbers()["paper"] == 1
    assert "moves both by the same amount" in explorer.root.inner_text()


def test_typed_values(explorer):
    """Typed numbers are used exactly; a decimal comma and a typographic minus are allowed."""
    explorer.type("beta", "0.37")
    explorer.type("a", "1,25")
    explorer.type("b", "0.4")
    assert explorer.start() == (1.25, 0.4)
    explorer.agrees("ratio", 0.37, 1.25, 0.4)
    assert "The dispreferred".lower() in explorer.root.inner_text()
    assert "3.125 times as fast" in explorer.root.inner_text()
    explorer.radio("log-ratio").check()
    explorer.type("a", "−1.5")
    explorer.agrees("log-ratio", 0.37, -1.5, math.log(0.4))


def test_extinction_by_beta(explorer):
    """The theorem's extinction time from (1, 1), and "never" from beta = 2 on."""
    for beta in ("0.01", "0.1", "1", "1.9", "2", "3"):
        explorer.type("beta", beta)
        explorer.agrees("ratio", float(beta), 1.0, 1.0)


def test_chart_by_mouse_keeps_the_pair(explorer):
    """Every chart shows the same pair: its numbers are those of the field at the mapped point."""
    explorer.type("a", "0.5")
    explorer.type("b", "1.2")
    for chart in ("log-ratio", "logit", "probability", "ratio"):
        explorer.radio(chart).click()
        a, b = map(float, coordinates(chart, math.log(0.5), math.log(1.2)))
        assert explorer.start() == pytest.approx((a, b), rel=1e-3)
        explorer.agrees(chart, 0.1, a, b)
        assert explorer.numbers()["paper"] == pytest.approx(2.4, rel=1e-6)


def test_keyboard_alone(explorer):
    """Tab reaches every control in a sensible order with a visible focus; keys operate all."""
    page = explorer.page
    seen = []
    for _ in range(11):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate("""() => {
              const e = document.activeElement;
              const shown = [e, e.parentElement, e.querySelector(".dpf-ring")].filter(Boolean);
              const style = shown.map((s) => getComputedStyle(s));
              const focus = style.some((s) => s.outlineStyle === "solid") ||
                (e.matches("g") && style[2].stroke !== "rgba(0, 0, 0, 0)");
              const name = e.type === "radio" ? e.name.split("-").at(-1) : e.dataset.field ??
                (e.matches("g") ? "start" : e.matches("button") ? "reset" : e.type);
              return [name, focus];
            }""")
        )
        if seen[-1][0] == "reset":
            break
    assert [name for name, _ in seen] == [
        "charts", "loss", "says", "range", "beta", "start", "a", "b", "reset",
    ]  # fmt: skip
    assert all(focus for _, focus in seen), seen

    explorer.radio("ratio").focus()
    page.keyboard.press("ArrowRight")
    explorer.frame()
    assert explorer.chart == "probability"
    explorer.agrees("probability", 0.1, 0.25, 0.25)
    page.keyboard.press("ArrowLeft")
    explorer.slider.focus()
    for _ in range(30):
        page.keyboard.press("ArrowRight")
    beta = explorer.beta()
    assert beta > 0.14
    explorer.agrees("ratio", beta, 1.0, 1.0)
    page.keyboard.press("End")
    assert explorer.beta() == 3
    page.keyboard.press("Home")
    assert explorer.beta() == 0.01
    explorer.handle.focus()
    before = page.evaluate("scrollY")
    for key in ("ArrowRight", "ArrowUp", "ArrowUp", "Shift+ArrowDown", "ArrowLeft", "ArrowLeft"):
        page.keyboard.press(key)
    assert explorer.start() == pytest.approx((0.98, 0.94))
    explorer.agrees("ratio", 0.01, 0.98, 0.94)
    assert page.evaluate("scrollY") == before
    page.keyboard.press("Home")
    assert explorer.start() == (1, 1)
    explorer.type("a", "0.3")
    explorer.reset.focus()
    page.keyboard.press("Enter")
    assert (explorer.start(), explorer.beta()) == ((1, 1), 0.1)


@pytest.mark.parametrize("loss", SHOWN)
def test_losses(explorer, loss):
    """Every loss of the margin, in every chart, on both sides of a possible sign change."""
    explorer.field("loss").select_option(loss)
    for u, v in ((0.4, -0.3), (-0.5, 0.2)):
        for chart in CHARTS:
            explorer.radio(chart).check()
            a, b = (float(f"{c:.2g}") for c in map(float, coordinates(chart, u, v)))
            explorer.type("a", str(a))
            explorer.type("b", str(b))
            explorer.type("beta", "1.5")
            explorer.agrees(chart, 1.5, a, b, loss)


def test_flow_that_comes_to_rest(explorer):
    """IPO comes to rest at the margin 1 / (2 beta), hinge where its gradient becomes 0."""
    explorer.radio("log-ratio").check()
    explorer.type("beta", "0.5")
    explorer.field("loss").select_option("ipo")
    picture = explorer.root.locator(".dpf-plot").first
    explorer.frame()
    assert "comes to rest" in picture.text_content()
    assert explorer.numbers()["extinction"] == math.inf
    explorer.type("a", "3")
    explorer.type("b", "-1")
    explorer.agrees("log-ratio", 0.5, 3, -1, "ipo")
    assert explorer.numbers()["along"] > 0
    explorer.field("loss").select_option("hinge")
    explorer.agrees("log-ratio", 0.5, 3, -1, "hinge")
    assert "step is 0" in explorer.said()


def test_whose_words(explorer):
    """The paper's sentence about a pair is the same in all charts; the chart's sentence is not."""
    explorer.type("a", "1.5")
    explorer.type("b", "0.5")
    picture = explorer.root.locator(".dpf-plot").first
    assert "dispreferred moves 3 times as fast" in explorer.said()
    assert "dispreferred faster" in picture.text_content()
    explorer.radio("log-ratio").check()
    assert "by the same amount" in explorer.said()
    assert "dispreferred faster" not in picture.text_content()
    explorer.radio("paper").check()
    for chart in CHARTS:
        explorer.radio(chart).check()
        assert "the dispreferred falls 3 times as fast as the preferred rises" in explorer.said()
        assert "dispreferred faster" in picture.text_content()
    explorer.radio("ratio").check()
    explorer.type("b", "4.5")
    assert "the preferred rises 3 times as fast as the dispreferred falls" in explorer.said()
    assert "Corollary 1" in explorer.spoken("3 times as fast")
    explorer.radio("paper").focus()
    explorer.page.keyboard.press("ArrowLeft")
    assert "preferred moves 3 times as fast" in explorer.said()


def test_mouse(explorer):
    """Drag the dot, press a place in the plot, click the slider and Reset."""
    mouse = explorer.page.mouse
    mouse.move(*explorer.centre(explorer.handle))
    mouse.down()
    mouse.move(*explorer.place(0.25, 0.75), steps=6)
    explorer.frame()
    mouse.up()
    a, b = explorer.start()
    assert (a, b) == pytest.approx((0.55, 1.65), abs=0.02)
    explorer.agrees("ratio", 0.1, a, b)

    mouse.click(*explorer.place(0.5, 0.1))
    a, b = explorer.start()
    assert (a, b) == pytest.approx((1.1, 0.22), abs=0.011)
    explorer.agrees("ratio", 0.1, a, b)
    assert explorer.numbers()["factor"] == pytest.approx(b / a, rel=1e-6)

    box = explorer.slider.bounding_box()
    mouse.click(box["x"] + box["width"] * 0.75, box["y"] + box["height"] / 2)
    beta = explorer.beta()
    assert 0.5 < beta < 1
    explorer.agrees("ratio", beta, a, b)
    explorer.reset.click()
    explorer.agrees("ratio", 0.1, 1.0, 1.0)


def test_drag_stays_in_the_domain(explorer):
    """Beyond the axes the start stays at the edge; it never becomes 0, negative or impossible."""
    mouse = explorer.page.mouse
    for chart in CHARTS:
        explorer.radio(chart).click()
        mouse.move(*explorer.centre(explorer.handle))
        mouse.down()
        for corner in ((-0.3, -0.2), (1.2, 1.3), (-0.2, 0.8)):
            mouse.move(*explorer.place(*corner), steps=4)
            found = explorer.numbers()
            assert all(math.isfinite(found[name]) for name in ("along", "across", "loss"))
        mouse.up()
        a, b = explorer.start()
        assert chart in ("log-ratio", "logit") or (a > 0 and b > 0)
        assert chart != "probability" or a + b <= 1
        explorer.reset.click()


def test_touch(opened):
    """On a phone: drag the dot by its 44 px target, tap a place, tap a chart; elsewhere scroll."""
    explorer = opened(**PHONE)
    page = explorer.page
    # 20 px from the dot's centre is inside the target, and the dot keeps that distance
    explorer.swipe(explorer.handle, 40, 60, grip=14)
    a, b = explorer.start()
    unit = 2.2 / (explorer.place(1, 0)[0] - explorer.place(0, 0)[0])
    assert (a, b) == pytest.approx((1 + 40 * unit, 1 - 60 * unit), abs=0.02)
    explorer.agrees("ratio", 0.1, a, b)
    page.touchscreen.tap(*explorer.place(0.25, 0.5))
    assert explorer.start() == pytest.approx((0.55, 1.1), abs=0.02)
    explorer.radio("log-ratio").tap()
    assert explorer.chart == "log-ratio"
    explorer.radio("paper").tap()
    assert "Corollary 1" in explorer.said()
    explorer.reset.tap()
    assert (explorer.chart, explorer.start()) == ("ratio", (1, 1))
    explorer.field("loss").tap()
    explorer.field("loss").select_option("ipo")
    explorer.agrees("ratio", 0.1, 1, 1, "ipo")
    explorer.slider.scroll_into_view_if_needed()
    box = explorer.slider.bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] * 0.75, box["y"] + box["height"] / 2)
    assert 0.5 < explorer.beta() < 1


def test_impossible_pairs(explorer):
    """Probabilities above 1 in sum are refused, and a pair without probabilities gets a message."""
    explorer.radio("probability").check()
    explorer.type("a", "0.9")
    assert "exceed 1" in explorer.complaint.inner_text()
    explorer.agrees("probability", 0.1, 0.25, 0.25)
    explorer.radio("log-ratio").check()
    explorer.type("a", "3")
    explorer.radio("logit").check()
    assert "no logits" in explorer.complaint.inner_text()
    explorer.agrees("logit", 0.1, *coordinates("logit", 0.0, 0.0))


def test_steps_below_the_smallest_number(explorer):
    """If both derivatives are 0 in float64, the sentence states it, and the figure stays intact."""
    explorer.radio("log-ratio").check()
    explorer.type("beta", "3")
    explorer.type("a", "900")
    assert explorer.numbers()["along"] == 0
    assert "too small for a computer" in explorer.root.inner_text()
    explorer.type("a", "0")
    explorer.agrees("log-ratio", 3.0, 0.0, 0.0)


def test_large_start_widens_the_window(explorer):
    """A typed start outside the window is shown in a larger window."""
    explorer.type("a", "7")
    explorer.type("b", "3")
    explorer.agrees("ratio", 0.1, 7.0, 3.0)
    x, y = explorer.centre(explorer.root.locator(".dpf-dot"))
    left, bottom = explorer.place(0, 0)
    right, top = explorer.place(1, 1)
    assert left < x < right
    assert top < y < bottom


def test_live_region_speaks_once_things_are_quiet(explorer):
    """Silent during the change; after a pause, the numbers in words."""
    live = explorer.root.locator("[aria-live=polite]")
    assert live.inner_text() == ""
    explorer.type("b", "0.5")
    assert live.inner_text() == ""
    explorer.page.wait_for_function(
        "() => document.querySelector('[aria-live=polite]').textContent.includes('ratio')"
    )
    text = live.inner_text()
    assert "x 1 1, x 2 0.5" in text
    assert "ratio of sizes 0.5" in text


def test_values_that_change_move_nothing(explorer):
    """Numbers of other lengths move no element."""
    where = "(all) => all.map((e) => { const r = e.getBoundingClientRect(); return [r.x, r.y]; })"
    boxes = explorer.root.locator("dt, input, button, .dpf-plot, .dpf-sentence, .dpf-bar")
    before = boxes.evaluate_all(where)
    explorer.type("beta", "2.75")
    explorer.type("a", "1.987")
    explorer.type("b", "0.0000123")
    explorer.frame()
    assert boxes.evaluate_all(where) == before


def colours(explorer):
    return explorer.page.evaluate("""() => {
      const of = (q, what) => getComputedStyle(document.querySelector(q))[what];
      return { text: of(".dpf", "color"), preferred: of(".dpf-stepAlong", "stroke"),
        dispreferred: of(".dpf-stepAcross", "stroke"), model: of(".dpf-flow", "stroke"),
        muted: of(".dpf-level", "stroke"), grid: of(".dpf-gridlines", "stroke") };
    }""")


def test_theme_recolours(explorer):
    """The themes of the book, of JupyterLab and of the system, in this order of precedence."""
    page = explorer.page
    light, dark = ({r: rgb(p[i]) for r, p in PALETTE.items()} for i in (0, 1))

    def expect(palette):
        found = colours(explorer)
        assert found == {role: palette[role] for role in found}

    expect(light)
    page.emulate_media(color_scheme="dark")  # the page follows by its attribute
    page.wait_for_function("() => document.documentElement.dataset.theme === 'dark'")
    expect(dark)
    page.evaluate("document.documentElement.dataset.theme = 'light'")  # the book's switch
    expect(light)
    page.evaluate("delete document.documentElement.dataset.theme")  # a bare page: the system
    expect(dark)
    page.evaluate("document.body.dataset.jpThemeLight = 'true'")  # JupyterLab
    expect(light)
    page.emulate_media(color_scheme="light")
    page.wait_for_function("() => document.documentElement.dataset.theme === 'light'")
    page.evaluate("delete document.documentElement.dataset.theme")
    page.evaluate("document.body.dataset.jpThemeLight = 'false'")
    expect(dark)


def test_traits_are_the_truth(explorer):
    """As in JupyterLab: two views of one model agree. A change from the kernel is drawn when it is
    complete. A change in a view is saved after a pause. A removed view stops listening."""
    page = explorer.page
    page.evaluate("""async () => {
      const script = [...document.scripts].find((s) => s.type.includes("widget-state"));
      const { state } = Object.values(JSON.parse(script.text).state).find((r) => r.state._esm);
      const blob = new Blob([state._esm], { type: "text/javascript" });
      const { default: figure } = await import(URL.createObjectURL(blob));
      const heard = [];
      const model = {
        saved: 0,
        get: (name) => state[name],
        set: (values) => Object.entries(values).forEach(([k, v]) => model.kernel(k, v)),
        kernel: (k, v) => {
          state[k] = v;
          heard.filter((h) => h[0] === `change:${k}`).forEach((h) => h[1]());
        },
        on: (name, call) => heard.push([name, call]),
        off: (name, call) =>
          heard.splice(heard.findIndex((h) => h[0] === name && h[1] === call), 1),
        save_changes: () => { model.saved += 1; },
      };
      document.querySelector("main").replaceChildren();
      window.ends = ["one", "two"].map((id) => {
        const el = document.createElement("div");
        el.id = id;
        document.querySelector("main").append(el);
        return figure.render({ model, el });
      });
      window.kernel = model.kernel;
      window.saved = () => model.saved;
      window.listeners = () => heard.length;
    }""")
    one, two = Explorer(page, "#one"), Explorer(page, "#two")
    one.type("a", "0.5")
    two.agrees("ratio", 0.1, 0.5, 1.0)
    two.radio("log-ratio").check()
    one.agrees("log-ratio", 0.1, math.log(0.5), 0.0)
    assert one.chart == two.chart == "log-ratio"
    page.wait_for_function("() => saved() === 2")  # each view saved what it changed
    page.evaluate("kernel('chart', 'ratio')")  # a = -0.69 is no ratio: the rest is on its way
    assert one.numbers()["along"] == pytest.approx(-0.05, rel=0.1)
    page.evaluate("kernel('a', 0.5); kernel('b', 0.25); kernel('beta', 0.7)")
    one.agrees("ratio", 0.7, 0.5, 0.25)
    two.agrees("ratio", 0.7, 0.5, 0.25)
    assert page.evaluate("saved()") == 2
    page.evaluate("ends.forEach((end) => end())")
    assert page.evaluate("listeners()") == 0
