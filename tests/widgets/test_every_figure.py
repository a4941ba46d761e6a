"""What every figure of the book promises, each on its own page; a new demo is tested at once."""

from __future__ import annotations

import browser as tools
import pytest

from dpofield.widgets.demo import DEMOS
from tests.widgets.conftest import PHONE, Shown
from tests.widgets.every import moving, room, targets

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("width", [1280, 620, 390, 320])
@pytest.mark.parametrize("demo", DEMOS)
def test_room_axe_and_rest(opened, demo, width):
    """As tall as the page reserved, nothing cut or wider than the page, nothing that moves by
    itself, and axe-core finds nothing, in light and dark."""
    shown = opened(width=width, demo=demo, figure=Shown)
    assert room(shown, width) < 170  # where plots are smaller
    assert moving(shown) == [0]
    assert tools.axe(shown.page) == []
    shown.page.emulate_media(color_scheme="dark")
    shown.page.wait_for_function("() => document.documentElement.dataset.theme === 'dark'")
    assert tools.axe(shown.page) == []


@pytest.mark.parametrize("demo", DEMOS)
def test_touch_targets(opened, demo):
    """44 px and more, on a phone."""
    assert targets(opened(demo=demo, figure=Shown, **PHONE))


@pytest.mark.parametrize("demo", DEMOS)
def test_every_control_has_a_visible_focus(opened, demo):
    """Tab reaches every control, and one can see where one is."""
    shown = opened(demo=demo, figure=Shown)
    stops = "input:not([type=radio]), select, button, fieldset, [tabindex='0']"
    count = shown.root.locator(stops).locator("visible=true").count()
    for _ in range(count):
        shown.page.keyboard.press("Tab")
        seen = shown.page.evaluate("""() => {
          const e = document.activeElement;
          if (!e.closest(".dpf")) return "outside";
          const ring = e.querySelector(".dpf-ring");
          const outlined = [e, e.parentElement]
            .some((s) => getComputedStyle(s).outlineStyle === "solid");
          const ringed = ring && getComputedStyle(ring).stroke !== "rgba(0, 0, 0, 0)";
          return outlined || ringed ? "" : e.outerHTML;
        }""")
        assert seen == ""


@pytest.mark.parametrize("demo", DEMOS)
def test_reset(opened, demo):
    """One button takes back everything that a hand has moved."""
    shown = opened(demo=demo, figure=Shown)
    begin = shown.numbers()
    fields = [f.input_value() for f in shown.root.locator("[data-field]:visible").all()]
    for slider in shown.root.locator("input[type=range]").all():
        slider.press("PageUp")
        shown.frame()
    for handle in shown.root.locator(".dpf-handle").all():
        handle.press("Shift+ArrowDown")
        shown.frame()
    assert shown.numbers() != begin
    shown.reset.click()
    assert shown.numbers() == begin
    assert [f.input_value() for f in shown.root.locator("[data-field]:visible").all()] == fields


@pytest.mark.parametrize("demo", DEMOS)
def test_enter_takes_every_number(opened, demo):
    """Two numbers typed into one field, each confirmed with Enter and without leaving the field,
    both count, even where the browser fires no `change` on Enter (a notebook of JupyterLab)."""
    shown = opened(demo=demo, figure=Shown)
    shown.page.evaluate("""() => document.addEventListener("change", (event) => {
      if (event.target.matches("[data-field]")) event.stopPropagation();
    }, true)""")
    field = shown.root.locator("input[data-field]:visible").first
    name = field.get_attribute("data-field")
    first = shown.numbers()
    found = []
    whole = {"step": ("4", "8"), "n": ("20", "30")}  # of these fields
    for text in whole.get(name, ("0.4", "0.6")):
        shown.type(name, text)
        assert field.evaluate("(e) => e === document.activeElement")
        assert shown.complaint.inner_text() == ""
        found.append(shown.numbers())
    assert first != found[0] != found[1]


HELD = """() => {
  // drawing waits until it is let go: keys that come before the redraw
  const queue = [];
  let held = false;
  const ask = requestAnimationFrame;
  const forget = cancelAnimationFrame;
  window.requestAnimationFrame = (run) => (held ? -queue.push(run) : ask(run));
  window.cancelAnimationFrame = (id) => (id < 0 ? delete queue[-id - 1] : forget(id));
  window.hold = () => { held = true; };
  window.letGo = () => { held = false; for (const run of queue.splice(0)) if (run) ask(run); };
}"""


@pytest.mark.parametrize("key", ["ArrowRight", "ArrowLeft"])
@pytest.mark.parametrize("demo", DEMOS)
def test_fast_keys_are_not_lost(opened, demo, key):
    """Five presses before the figure is drawn again do what five presses with waits do, on every
    slider and handle, and each control answers to the key."""
    shown = opened(demo=demo, figure=Shown)
    shown.page.evaluate(HELD)

    def state():
        shown.frame()
        fields = [f.input_value() for f in shown.root.locator("[data-field]").all()]
        handles = shown.root.locator(".dpf-handle")
        return shown.numbers(), fields, handles.evaluate_all("(all) => all.map((e) => e.outerHTML)")

    def after(control, wait):
        shown.reset.click()
        shown.frame()
        control.focus()
        if key == "ArrowLeft":  # from the other end, which a handle has not
            shown.page.keyboard.press("End")
            shown.frame()
        at_first = key == "ArrowLeft" and "dpf-handle" in control.get_attribute("class")
        before = state()
        if not wait:
            shown.page.evaluate("() => hold()")
        for _ in range(5):
            shown.page.keyboard.press(key)
            if wait:
                shown.frame()
        shown.page.evaluate("() => letGo()")
        assert state() != before or at_first
        return state()

    for control in shown.root.locator(".dpf-handle:visible, input[type=range]:visible").all():
        assert after(control, wait=False) == after(control, wait=True)


def test_a_key_knows_the_last_change(opened):
    """Other coordinates and at once a key on the start, before anything is drawn: the key moves in
    the window of the coordinates that are chosen now."""
    shown = opened(demo="field-explorer")
    for chart, reference in (("log-ratio", 0.0), ("logit", -0.6931)):
        shown.reset.click()
        shown.frame()
        shown.page.evaluate(
            """(chart) => {
              document.querySelector(`[value="${chart}"]`).click();
              document.querySelector(".dpf-handle").dispatchEvent(
                new KeyboardEvent("keydown", { key: "ArrowLeft", bubbles: true }));
            }""",
            chart,
        )
        assert reference - 0.1 < shown.start()[0] < reference
