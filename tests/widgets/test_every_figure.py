"""Requirements for every figure of the book, each on its own page.

A new figure needs rows in `FULLEST` and `REFUSED`, and in `FOREIGN` if pages link to its views.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import browser as tools
import pytest

from dpofield.formulas import CHARTS
from dpofield.formulas.divergences import DIVERGENCES
from dpofield.widgets import LawOfMotion, RunPlayer
from dpofield.widgets.demo import DEMOS, demo_page
from tests.widgets.conftest import PHONE, Shown
from tests.widgets.every import moving, room, targets

pytestmark = pytest.mark.browser

PRESETS = [{"name": "one word apart, weak SFT", "ww": 310.0, "wl": 280.0, "ll": 330.0}]
ANY = 170
"""Unused pixels that a figure may have where its plots are smaller than its room allows."""


class Look(NamedTuple):
    """A state to check: how many pixels may be unused, and whether to run axe-core."""

    spare: int = ANY
    axe: bool = False


def field_explorer(shown: Shown, width: int) -> Iterator[Look]:
    """Every chart, each with a complaint."""
    for chart in CHARTS:
        shown.radio(chart).check()
        yield Look(axe=True)
        shown.type("a", "bad input that is quite long")
        yield Look(60 if width in (1280, 390) else 100, axe=chart == "log-ratio")


def loss_gallery(shown: Shown, width: int) -> Iterator[Look]:
    """Most parameters, longest titles, most inputs, then a complaint."""
    for losses in (("kto", "orpo"), ("sigmoid_norm", "js"), ("aot", "alphapo")):
        for which, name in zip("ab", losses, strict=True):
            if shown.radio(which).is_visible():  # a tab, on a narrow page
                shown.radio(which).check()
            shown.field(f"loss-{which}").select_option(name)
        shown.type("u", "1.234567")
        yield Look(30 if width in (1280, 390) else 110)
        shown.type("len_w", "a long text")
        yield Look(axe=losses[0] == "aot")


def run_player(shown: Shown, width: int) -> Iterator[Look]:
    """The pair with the longest texts, and a complaint."""
    texts = RunPlayer().texts
    longest = max(range(len(texts)), key=lambda i: len("".join(texts[i])))
    shown.root.get_by_role("slider", name="step").press("End")
    shown.field("pair").select_option(str(longest))
    shown.frame()
    assert shown.root.locator(".dpf-texts").evaluate("(e) => e.scrollHeight <= e.clientHeight")
    yield Look(80 if width == 390 else ANY)
    shown.type("step", "a text that is long")
    yield Look(axe=True)


def one_softmax(shown: Shown, width: int) -> Iterator[Look]:
    """The first state; eight responses with long numbers; a complaint."""
    yield Look(30 if width in (1280, 390) else 130)
    shown.radio("8").check()
    shown.type("start1", "0.0001")
    shown.type("margin", "300")
    yield Look()
    shown.type("margin", "a long text")
    yield Look(axe=True)


def bradley_terry(shown: Shown, width: int) -> Iterator[Look]:
    """The first state on a phone; long numbers; a complaint."""
    yield Look(30 if width == 390 else ANY)
    for name, text in {"n": "10000", "wins": "9999", "r_l": "1234.5678", "beta": "0.0123"}.items():
        shown.type(name, text)
    yield Look()
    shown.type("wins", "a text that is long")
    yield Look(axe=True)


def law_of_motion(shown: Shown, width: int) -> Iterator[Look]:
    """The first state on a phone; a measured pair with large numbers; a complaint."""
    yield Look(30 if width == 390 else ANY)
    shown.field("preset").select_option(label=PRESETS[0]["name"])
    yield Look(axe=True)
    shown.type("wx", "a text that is long")
    yield Look()


def cap_explorer(shown: Shown, width: int) -> Iterator[Look]:
    """Every divergence, a clock that is too late, a complaint."""
    for name in DIVERGENCES:
        shown.radio(name).check()
        yield Look(30 if width in (1280, 390) else 130)
    shown.type("alpha", "1.0001")
    shown.type("beta", "3")
    assert shown.numbers()["end"] == "too late"
    yield Look()
    shown.type("time", "a long text")
    yield Look(axe=True)


def room_and_price(shown: Shown, width: int) -> Iterator[Look]:
    """Every kind of pairs with every policy; long numbers; a complaint."""
    for pairs in ("order", "judges", "best"):
        for policy in ("cheapest", "sft", "rlhf"):
            shown.radio(pairs).check()
            shown.radio(policy).check()
            yield Look(30 if width in (1280, 390) else 130)
    shown.type("sd", "0.051234")
    shown.type("margin", "7.5")
    yield Look()
    shown.type("noise", "a long text")
    yield Look(axe=True)


FULLEST = {
    "field-explorer": field_explorer,
    "loss-gallery": loss_gallery,
    "run-player": run_player,
    "one-softmax": one_softmax,
    "bradley-terry": bradley_terry,
    "law-of-motion": law_of_motion,
    "cap-explorer": cap_explorer,
    "room-and-price": room_and_price,
}
"""States in which a figure needs the most room, by the name of its page."""

REFUSED = {
    "field-explorer": [
        ("a", "abc", "not a number"),
        ("a", "", "not a number"),
        ("b", "-2", "positive and finite"),
        ("a", "0", "positive and finite"),
        ("beta", "0", "positive"),
        ("beta", "1e999", "positive"),
        ("beta", "<b>x</b>", "positive"),
    ],
    "loss-gallery": [
        ("u", "abc", "not a number"),
        ("u", "30.5", "exceed 1"),
        ("a-beta", "0", "positive"),
        ("b-lam", "-1", "not negative"),
        ("len_w", "0", "counted"),
        ("ref_w", "3", "<= 0"),
        ("window", "-2", "positive number of nats"),
    ],
    "run-player": [
        ("step", "3", "records are kept at 0"),
    ],
    "one-softmax": [
        ("start0", "0", "some probability"),
        ("start4", "1", "some probability"),
        ("beta", "-1", "positive"),
        ("margin", "501", "from 0 to 500"),
        ("margin", "x", "not a number"),
    ],
    "bradley-terry": [
        ("r_w", "x", "not a number"),
        ("n", "0", "counts 1 to"),
        ("n", "2.5", "counted"),
        ("wins", "11", "there are 10"),
        ("wins", "-1", "counted"),
        ("beta", "0", "positive"),
    ],
    "law-of-motion": [
        ("wx", "x", "not a number"),
        ("pace", "0", "has a size"),
        ("ly", "", "not a number"),
    ],
    "cap-explorer": [
        ("a", "0", "positive and finite"),
        ("b", "x", "not a number"),
        ("beta", "-1", "positive"),
        ("alpha", "", "not a number"),
        ("time", "-1", "from 0 to 1e9"),
    ],
    "room-and-price": [
        ("margin", "-1", "from 0 to 8"),
        ("margin", "x", "not a number"),
        ("noise", "2.5", "from 0 to 2"),
        ("sd", "0", "0.05 to 20"),
        ("n", "2.5", "counted"),
        ("n", "17", "2 to 16"),
    ],
}
"""Invalid texts: the name of the field, the text, and a part of the complaint."""

GOOD = {
    "field-explorer": ("a", "0.9"),
    "loss-gallery": ("v", "1"),
    "run-player": ("step", "8"),
    "one-softmax": ("margin", "1"),
    "bradley-terry": ("r_w", "2"),
    "law-of-motion": ("wx", "0.5"),
    "cap-explorer": ("a", "0.9"),
    "room-and-price": ("margin", "0.5"),
}
"""A valid number for each figure: the name of the field and the text."""

FOREIGN = {
    "bradley-terry": [
        ("n=2.5&BradleyTerry.wins=1", "counted"),
        ("wins=11", "there are 10"),
        ("n=0", "there are 0"),
    ],
    "run-player": [
        ("record=99", "no record 99"),
        ("record=0.5", "no record"),
        ("pair=-1", "no pair"),
        ("chart=logit", "no chart"),
        ("u=[[1]]", "no “u”"),
    ],
}
"""Links with an invalid view, and a part of the complaint."""


@pytest.fixture(scope="module")
def pages(demos):
    """The page for the fullest states of each figure, by the name of its demo."""
    page = demo_page("law-of-motion", widget=LawOfMotion(presets=PRESETS))
    (demos / "law-fullest.html").write_text(page, encoding="utf-8")
    return {name: name for name in DEMOS} | {"law-of-motion": "law-fullest"}


def test_every_figure_has_its_rows():
    """Protects: a new figure must have its fullest states and its invalid texts in the tables."""
    assert set(FULLEST) == set(REFUSED) == set(GOOD) == set(DEMOS)
    assert set(FOREIGN) <= set(DEMOS)


def findings(shown, subtests, where):
    """The findings of axe-core, in light and in dark."""
    for scheme in ("light", "dark"):
        shown.page.emulate_media(color_scheme=scheme)
        shown.page.wait_for_function(
            "(scheme) => document.documentElement.dataset.theme === scheme", arg=scheme
        )
        with subtests.test(f"axe, {scheme}, {where}"):
            assert tools.axe(shown.page) == []
    shown.page.emulate_media(color_scheme="light")
    shown.page.wait_for_function("() => document.documentElement.dataset.theme === 'light'")


@pytest.mark.parametrize("width", [1280, 620, 390, 320])
@pytest.mark.parametrize("demo", DEMOS)
def test_room_axe_and_rest(opened, pages, subtests, demo, width):
    """In its first and in its fullest states, a figure has the reserved height, nothing is cut or
    wider than the page, and nothing moves by itself. axe-core finds nothing, in light and dark. On
    a phone all touch targets have at least 44 px."""
    window = PHONE if width == PHONE["width"] else {"width": width}
    shown = opened(demo=pages[demo], figure=Shown, reduced_motion="no-preference", **window)
    assert room(shown, width) < ANY
    findings(shown, subtests, "as it opens")
    assert width != PHONE["width"] or targets(shown)
    states = FULLEST[demo](shown, width)
    for number, look in enumerate(states, start=1):
        with subtests.test(f"room, state {number}"):
            assert room(shown, width) < look.spare
        if look.axe and width in (1280, 390):
            findings(shown, subtests, f"state {number}")
        if look.axe and width == PHONE["width"]:
            with subtests.test(f"targets, state {number}"):
                assert targets(shown)
    assert moving(shown) == [0]


@pytest.mark.parametrize("demo", DEMOS)
def test_bad_typing_is_refused(opened, subtests, demo):
    """The complaint has the reason, the field its last good value, the figure does not change, and
    the text is not read as markup. The next good value removes the complaint."""
    shown = opened(demo=demo, figure=Shown, height=1200)
    begin = shown.numbers()
    for field, text, why in REFUSED[demo]:
        with subtests.test(f"{text!r} in {field}"):
            shown.refuses(field, text, why)
            assert shown.numbers() == begin
            assert shown.root.locator("b").count() == 0
        shown.reset.click()
        assert shown.numbers() == begin
        assert shown.complaint.inner_text() == ""
    shown.refuses(*REFUSED[demo][0])
    shown.type(*GOOD[demo])
    assert shown.complaint.inner_text() == ""
    assert shown.numbers() != begin


@pytest.mark.parametrize("demo", FOREIGN)
def test_foreign_views_are_refused(opened, subtests, demo):
    """Invalid data in a link are refused too, and the figure opens in its first state."""
    shown = opened(demo=demo, figure=Shown)
    begin, address = shown.numbers(), shown.page.url
    for view, why in FOREIGN[demo]:
        with subtests.test(view):
            shown.page.goto(f"{address}?{DEMOS[demo].__name__}.{view}")
            shown.page.wait_for_selector('[data-mounted="1"]')
            assert why in shown.complaint.inner_text()
            assert shown.numbers() == begin


@pytest.mark.parametrize("demo", DEMOS)
def test_every_control_has_a_visible_focus(opened, demo):
    """Tab reaches every control, and the focused control is visibly marked."""
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
    """One button undoes all changes by the reader."""
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
    """Two numbers, typed one after the other into a focused field with Enter, both count, even if
    the browser fires no `change` on Enter (in a notebook of JupyterLab)."""
    shown = opened(demo=demo, figure=Shown)
    shown.page.evaluate("""() => document.addEventListener("change", (event) => {
      if (event.target.matches("[data-field]")) event.stopPropagation();
    }, true)""")
    field = shown.root.locator("input[data-field]:visible").first
    name = field.get_attribute("data-field")
    first = shown.numbers()
    found = []
    whole = {"step": ("4", "8"), "n": ("20", "30")}  # for these fields
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


STATE = """() => [
  [...document.querySelectorAll(".dpf [data-value]")].map((e) => [e.dataset.value, e.textContent]),
  [...document.querySelectorAll(".dpf [data-field]")].map((e) => e.value),
  [...document.querySelectorAll(".dpf .dpf-handle")].map((e) => e.outerHTML),
]"""


@pytest.mark.parametrize("key", ["ArrowRight", "ArrowLeft"])
@pytest.mark.parametrize("demo", DEMOS)
def test_fast_keys_are_not_lost(opened, demo, key):
    """Five presses without a redraw have the same effect as five presses with redraws, on every
    slider and handle, and each control reacts to the key."""
    shown = opened(demo=demo, figure=Shown)
    shown.page.evaluate(HELD)

    def state():
        shown.frame()
        return shown.page.evaluate(STATE)

    def after(control, wait):
        shown.reset.click()
        shown.frame()
        control.focus()
        if key == "ArrowLeft":  # start at the other end; a handle has none
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
    """A key pressed right after a change of coordinates, before the redraw, acts in the window of
    the new coordinates."""
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


@pytest.mark.parametrize("demo", [name for name in DEMOS if name != "cap-explorer"])
def test_redraw_makes_no_nodes(opened, demo):
    """A drag and a typed number only change attributes and texts of the drawn nodes: no node is
    added or removed. (Except in the cap explorer, whose time axis gets other tick labels.)"""
    shown = opened(demo=demo, figure=Shown, height=1200)
    shown.page.evaluate("""() => {
      window.changed = [];
      const drawn = (r) => [...r.addedNodes, ...r.removedNodes]
        .filter((n) => n.namespaceURI?.includes("svg")).map((n) => n.outerHTML);
      for (const plot of document.querySelectorAll(".dpf-plot")) {
        new MutationObserver((records) => { window.changed.push(...records.flatMap(drawn)); })
          .observe(plot, { childList: true, subtree: true });
      }
    }""")
    before = shown.page.evaluate(STATE)
    shown.drag(shown.root.locator(".dpf-handle:visible").first, (0.6, 0.8), (0.75, 0.3))
    shown.type(*GOOD[demo])
    assert shown.page.evaluate(STATE) != before
    assert shown.page.evaluate("changed") == []
