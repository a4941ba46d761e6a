"""The widget loader as the only script of a page, opened from file://."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ext import widgets

ROOT = Path(__file__).resolve().parents[2]
LOADER = ROOT / "tools" / "assets" / "loader.js"

ESM = """
globalThis.imported = (globalThis.imported ?? 0) + 1;
export default () => ({
  initialize({ model }) { model.set("started", (model.get("started") ?? 0) + 1); },
  render({ model, el }) {
    const log = (el.log = []);
    el.model = model;
    model.on("change:beta", (_, value) => log.push(["change:beta", value]));
    model.on("change", () => log.push(["change"]));
    model.once("change:beta", () => log.push(["once"]));
    el.textContent = `beta ${model.get("beta")}`;
  },
});
"""


def page(
    folder: Path, models: dict[str, dict[str, Any]], *, views: list[str], between: str = ""
) -> str:
    """A page as MyST-NB and the extension write it; returns its address."""
    state = {key: {"state": value} for key, value in models.items()}
    boxes = between.join(
        widgets.box(
            '<script type="application/vnd.jupyter.widget-view+json">'
            + json.dumps({"model_id": view})
            + "</script>",
            models.get(view, {}),
            view,
        )
        for view in views
    )
    text = (
        f"<!doctype html><title>t</title><style>.dpofield-widget{{min-height:var(--wide)}}</style>"
        f'<script defer src="{LOADER.as_uri()}"></script>{boxes}'
        f'<script type="{widgets.STATE}">{json.dumps({"state": state})}</script>'
    )
    (folder / "page.html").write_text(text, "utf8")
    return (folder / "page.html").as_uri()


def mounted(page: Any, value: str = "1") -> Any:
    """The first box, after it is mounted."""
    box = page.locator(f'.dpofield-widget[data-mounted="{value}"]').first
    box.wait_for(timeout=10_000)
    return box


def test_loader_is_small() -> None:
    """The loader has at most 4 KB; it replaces the widget manager, which has 916 KB."""
    assert LOADER.stat().st_size <= 4096


@pytest.mark.browser
def test_model_events(visit: Any, tmp_path: Path) -> None:
    """Listeners are called once per change, in order; `once` only once; not for an equal value."""
    seen = visit(page(tmp_path, {"m": {"_esm": ESM, "beta": 1.0}}, views=["m"]))
    mounted(seen.page)
    log = seen.page.evaluate(
        """() => {
          const el = document.querySelector(".dpofield-widget > div");
          el.model.set("beta", 2); el.model.set("beta", 2); el.model.save_changes();
          el.model.send({}); el.model.set({ beta: 3 }); el.model.off("change:beta");
          el.model.set("beta", 4);
          return el.log;
        }"""
    )
    assert log == [
        ["change:beta", 2], ["once"], ["change"], ["change:beta", 3], ["change"], ["change"],
    ]  # fmt: skip
    assert not seen.errors


@pytest.mark.browser
def test_one_import_one_model(visit: Any, tmp_path: Path) -> None:
    """Two figures of one source import it once; two views of one model share its state."""
    models = {"a": {"_esm": ESM, "beta": 1, "_css": "b{}"}, "b": {"_esm": ESM, "_css": "b{}"}}
    seen = visit(page(tmp_path, models, views=["a", "a", "b"]))
    seen.page.wait_for_function("document.querySelectorAll('[data-mounted=\"1\"]').length === 3")
    assert seen.page.evaluate("globalThis.imported") == 1
    assert seen.page.evaluate("document.head.querySelectorAll('style').length") == 2
    starts = """[...document.querySelectorAll(".dpofield-widget > div")]
      .map((el) => el.model.get("started"))"""
    assert seen.page.evaluate(starts) == [1, 1, 1]


@pytest.mark.browser
def test_far_widgets_wait_and_print_brings_them(visit: Any, tmp_path: Path) -> None:
    """A figure far below is not started until it is near or the page is printed; nothing jumps."""
    models = {"a": {"_esm": ESM, "_height": 300}, "b": {"_esm": ESM, "_height": 310}}
    gap = '<div style="height:4000px"></div>'
    seen = visit(page(tmp_path, models, views=["a", "b"], between=gap))
    mounted(seen.page)
    last = seen.page.locator(".dpofield-widget").nth(1)
    assert last.get_attribute("data-mounted") is None
    assert last.bounding_box()["height"] == 310
    seen.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    seen.page.wait_for_function("document.querySelectorAll('[data-mounted=\"1\"]').length === 2")
    assert last.bounding_box()["height"] == 310


@pytest.mark.browser
def test_binary_traits(visit: Any, tmp_path: Path) -> None:
    """A trait of bytes arrives as a DataView, as it does from a kernel."""
    esm = "export default { render({model, el}) { el.textContent = model.get('x').getInt16(0) } }"
    address = page(tmp_path, {"m": {"_esm": esm}}, views=["m"])
    path = tmp_path / "page.html"
    buffers = '"buffers": [{"path": ["x"], "encoding": "base64", "data": "AQI="}], "state"'
    text = path.read_text("utf8").replace('{"m": {"state"', '{"m": {' + buffers)
    path.write_text(text, "utf8")
    assert mounted(visit(address).page).locator("div").inner_text() == "258"


@pytest.mark.browser
@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"_esm": "export default { render() { throw new Error('broken') } }"}, "broken"),
        ({"_esm": "this is no module"}, "could not start"),
        ({"_model_name": "IntSliderModel"}, "not an anywidget"),
    ],
)
def test_errors_are_shown(visit: Any, tmp_path: Path, model: dict[str, Any], words: str) -> None:
    """The error of a figure that cannot start appears in its box and on the console."""
    seen = visit(page(tmp_path, {"m": model}, views=["m"]))
    box = mounted(seen.page, "error")
    assert words in box.inner_text()
    assert box.locator('[role="alert"]').count() == 1
    assert seen.errors


def test_box_reserves_the_height() -> None:
    """The height of the box comes from the widget's traits; without scripts it has a sentence."""
    box = widgets.box("<script></script>", {"_height": 500, "_height_narrow": 640}, "x")
    assert "--wide:500px;--narrow:640px" in box
    assert "<noscript>" in box
