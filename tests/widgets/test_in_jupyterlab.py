"""The field explorer in JupyterLab with a live kernel: traits are synchronized both ways."""

from __future__ import annotations

import pytest

from tests.jupyterlab import Notebook, jupyterlab
from tests.widgets.conftest import Explorer

pytestmark = pytest.mark.browser
CELLS = (
    "from dpofield.widgets import FieldExplorer\nexplorer = FieldExplorer()\nexplorer",
    "print('kernel has', explorer.beta, explorer.chart, explorer.a, explorer.b)",
    "explorer.beta = 1.5\nexplorer.a, explorer.b = -1, 2",
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Address of a new JupyterLab with these cells in a notebook."""
    with jupyterlab(tmp_path_factory.mktemp("lab"), CELLS) as address:
        yield address


def test_traits_follow_both_ways(chrome, lab):
    """The kernel gets the reader's changes, and the page shows the kernel's. The address belongs to
    JupyterLab, so there is no button for a link."""
    context = chrome.new_context(viewport={"width": 1280, "height": 1400})
    page = context.new_page()
    notebook = Notebook(page, lab)

    def spoken(words):
        explorer.live.filter(has_text=words).wait_for(state="attached")

    notebook.run(0)
    page.locator(".dpf").wait_for()
    explorer = Explorer(page, ".jp-OutputArea")
    explorer.agrees("ratio", 0.1, 1, 1)
    # JupyterLab's style sheet floats `dt` and `dd`
    term, value = explorer.root.locator("dt").nth(3), explorer.root.locator("dd").nth(3)
    left, right = term.bounding_box(), value.bounding_box()
    assert left["x"] + left["width"] <= right["x"]
    # two numbers by Enter, without leaving the field
    for beta in ("0.6", "0.5"):
        explorer.type("beta", beta)
        spoken(f"beta {beta}")
    # keys act on the focused control: JupyterLab selects no cell and adds none
    explorer.slider.press("ArrowUp")
    assert explorer.beta() > 0.5
    explorer.handle.press("b")
    assert notebook.cells.count() == len(CELLS)
    explorer.type("beta", "0.7")
    explorer.radio("log-ratio").check()
    explorer.type("a", "0.5")
    spoken("beta 0.7")
    explorer.handle.press("ArrowUp")
    spoken("v 0.08")
    before = page.url
    notebook.run(1)
    said = notebook.cells.nth(1).locator(".jp-OutputArea-output")
    said.filter(has_text="kernel has 0.7 log-ratio 0.5 0.08").wait_for()
    notebook.run(2)
    page.wait_for_function("() => document.querySelector('[data-field=b]').value === '2'")
    explorer.agrees("log-ratio", 1.5, -1, 2)
    assert page.url == before
    assert explorer.root.get_by_role("button", name="Copy link").count() == 0
    assert explorer.root.get_by_role("button", name="Save SVG").count() == 1
    context.close()
