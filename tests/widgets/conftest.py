"""Fixtures: a Chromium without network, and the figures' stand-alone pages in it."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager

import node
import pytest

from dpofield.field import extinction_time, gradient, invariant, potential
from dpofield.widgets.demo import write_demos

NAN = float("nan")  # one object, so that two NaN readouts are equal inside a list


def number(text):
    """The value of a readout: a float if possible, else the text."""
    if text == "–":
        return NAN
    plain = {"never": "inf", "∞": "inf", "−∞": "-inf"}.get(text, text)
    try:
        return float(plain.replace("−", "-"))
    except ValueError:
        return text


class Shown:
    """A figure as a reader uses it, through labels, roles and visible text."""

    def __init__(self, page, within="body"):
        self.page = page
        self.root = page.locator(f"{within} .dpf")
        self.reset = self.root.get_by_role("button", name="Reset")
        self.complaint = self.root.get_by_role("alert")
        self.live = self.root.locator("[aria-live=polite]")

    def field(self, name):
        """The text field of a number."""
        return self.root.locator(f"[data-field={name}]")

    def type(self, name, text):
        """Replace the text of a field and press Enter; wait for the drawing before and after.

        A redraw between selecting the old text and typing would mix both texts.
        """
        self.frame()
        self.field(name).fill(text)
        self.field(name).press("Enter")
        self.frame()

    def value_text(self, name):
        """The text of a field."""
        self.frame()
        return self.field(name).input_value()

    def value(self, name):
        """The number in a field (four digits)."""
        return float(self.value_text(name).replace("−", "-"))

    def radio(self, value):
        """The radio button of a choice."""
        return self.root.locator(f"input[type=radio][value='{value}']")

    def frame(self):
        """Wait until the last change is drawn."""
        self.page.evaluate("() => new Promise((r) => requestAnimationFrame(() => setTimeout(r)))")

    def numbers(self):
        """The readouts by name: floats, with infinity for "never"; other words as text."""
        self.frame()
        texts = self.root.locator("[data-value]").evaluate_all(
            "(cells) => cells.map((c) => [c.dataset.value, c.textContent])"
        )
        return {key: number(text) for key, text in texts}

    def centre(self, locator):
        """The centre of an element in CSS pixels of the window."""
        box = locator.bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def place(self, fraction_x, fraction_y, plot=0):
        """A point of the plot area in CSS pixels, from its lower left corner."""
        box = (
            self.root.locator(".dpf-frame")
            .nth(plot)
            .evaluate(
                "(path) => { const b = path.getBoundingClientRect();"
                " return [b.x, b.y, b.width, b.height]; }"
            )
        )
        return box[0] + fraction_x * box[2], box[1] + (1 - fraction_y) * box[3]

    def drag(self, handle, *places, plot=0):
        """Drag a handle with the mouse through places of the plot (fractions) and release it."""
        self.page.mouse.move(*self.centre(handle))
        self.page.mouse.down()
        for place in places:
            self.page.mouse.move(*self.place(*place, plot=plot), steps=4)
        self.frame()
        self.page.mouse.up()

    def swipe(self, handle, across, down, grip=0):
        """Touch a handle, `grip` px right of and above its centre, and move it in five steps."""
        handle.scroll_into_view_if_needed()
        x, y = self.centre(handle)
        with finger(self.page) as touch:
            touch("touchStart", x + grip, y - grip)
            for i in range(1, 6):
                touch("touchMove", x + grip + across * i / 5, y - grip + down * i / 5)
            touch("touchEnd")

    def refuses(self, name, text, why):
        """Type an invalid text: the complaint has the reason, and the last good value is back."""
        kept = self.value_text(name)
        self.type(name, text)
        complaint = self.complaint.inner_text()
        assert why in complaint
        assert complaint.endswith(f"Kept {kept}.")
        assert self.value_text(name) == kept

    def said(self):
        """The sentence below the picture."""
        self.frame()
        return self.root.locator(".dpf-sentence").inner_text()

    def spoken(self, part):
        """The text of the live region, as soon as it contains `part`."""
        self.page.wait_for_function(
            "(part) => document.querySelector('[aria-live=polite]').textContent.includes(part)",
            arg=part,
        )
        return self.live.inner_text()


class Explorer(Shown):
    """The field explorer."""

    def __init__(self, page, within="body"):
        super().__init__(page, within)
        self.handle = self.root.get_by_role("slider", name="Start")
        self.slider = self.root.get_by_role("slider", name="beta")

    @property
    def chart(self):
        self.frame()
        return self.root.locator(".dpf-charts input:checked").get_attribute("value")

    def start(self):
        """The start in the fields."""
        return self.value("a"), self.value("b")

    def beta(self):
        """Beta in its field."""
        return self.value("beta")

    def agrees(self, chart, beta, a, b, loss="dpo"):
        """Assert that every number shown equals the result of `dpofield.field`, to 1e-6."""
        along, across = (float(g) for g in gradient(loss, chart, a, b, beta=beta))
        found = self.numbers()
        expected = {
            "along": along,
            "across": across,
            "factor": abs(along) / abs(across) if across else NAN,
            "magnitude": (along**2 + across**2) ** 0.5,
            "loss": float(potential(loss, chart, a, b, beta=beta)),
            "conserved": float(invariant(chart, a, b)),
        }
        if chart in ("log-ratio", "logit"):
            expected["extinction"] = float("inf")
        elif a == b and loss == "dpo":  # the theorem's (1, 1), scaled: time grows as the square
            expected["extinction"] = a**2 * extinction_time(beta)
        for name, value in expected.items():
            assert found[name] == pytest.approx(value, rel=1e-6, abs=1e-12, nan_ok=True), name


@pytest.fixture(scope="module")
def under_node(tmp_path_factory):
    """Run a script that imports a figure's module as "./module.mjs". It reads a job from standard
    input and writes the answer to standard output, both as JSON."""
    folder = tmp_path_factory.mktemp("module")

    def call(figure, script, job):
        (folder / "module.mjs").write_text(figure()._esm, encoding="utf-8")
        (folder / "run.mjs").write_text(script, encoding="utf-8")
        done = subprocess.run(
            [str(node.node()), "run.mjs"],
            cwd=folder,
            input=json.dumps(job),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return call


@pytest.fixture(scope="session")
def demos(tmp_path_factory):
    """The folder with the stand-alone pages."""
    folder = tmp_path_factory.mktemp("demos")
    write_demos(folder)
    return folder


@pytest.fixture
def opened(chrome, demos):
    """Open a demo page in a new context without network; fail on any console error."""
    contexts, problems = [], []

    def visit(
        width=1280, height=900, *, demo="field-explorer", figure=Explorer, view="", **options
    ):
        context = chrome.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        context.set_offline(True)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("request", lambda r: r.url.startswith("http") and problems.append(r.url))
        page.on("console", lambda m: m.type in ("error", "warning") and problems.append(m.text))
        page.on("pageerror", lambda e: problems.append(str(e)))
        page.goto((demos / f"{demo}.html").as_uri() + view)
        page.wait_for_selector('[data-mounted="1"]')
        return figure(page)

    yield visit
    for context in contexts:
        context.close()
    assert not problems


@pytest.fixture
def explorer(opened):
    """The field explorer in a window 1280 px wide."""
    return opened()


PHONE = {"width": 390, "height": 844, "has_touch": True, "is_mobile": True}


@contextmanager
def finger(page):
    """Touch events as a phone sends them."""
    session = page.context.new_cdp_session(page)

    def touch(kind, *point):
        points = [{"x": point[0], "y": point[1]}] if point else []
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    yield touch
    session.detach()
