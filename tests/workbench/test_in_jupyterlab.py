"""The workbench in JupyterLab with a live kernel: its buttons work during training."""

from __future__ import annotations

import browser as tools
import pytest

from tests.jupyterlab import Notebook, jupyterlab
from tests.workbench.conftest import SHAPE

pytestmark = pytest.mark.browser

AT = "Number(document.querySelector('.dpf-workbench [data-field=step]')?.value ?? -1)"
OURS = """(found) => found.flatMap(({ id, nodes }) => nodes.map((node) => [id, node]))
  .filter(([, node]) => document.querySelector(node)?.closest(".dpf-workbench"))"""
LOW = """(root) => [...root.querySelectorAll("input, select, button")]
  .map((e) => [e.outerHTML, e.getBoundingClientRect()])
  .filter(([, r]) => r.width > 0 && r.height < 43.9).map(([text]) => text)"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Address of a JupyterLab with a workbench of tiny models in a notebook."""
    home = tmp_path_factory.mktemp("lab")
    given = SHAPE | {"layers": 4, "width": 64, "pairs": 32, "steps": 2000}  # 20 s, if left alone
    cells = (
        "from dpofield.workbench import workbench\nfrom dpofield.experiments.config import Config\n"
        f"shown = workbench(Config(**{given}), root={str(home / 'models')!r})\nshown",
        "print('kept', [int(run.step[-1]) for run in shown.finished], shown.live.player.record)",
    )
    with jupyterlab(home, cells) as address:
        yield address


def test_train_watch_stop_compare(chrome, lab):
    """The picture follows the records during training. Stop ends the first run early, the second
    run reaches its end, and both are shown side by side. Every control has a name and 44 px,
    axe-core finds nothing, and in a narrow window nothing is wider than its place."""
    context = chrome.new_context(viewport={"width": 1280, "height": 2000})
    page = context.new_page()
    notebook = Notebook(page, lab)
    notebook.run(0)
    workbench = page.locator(".dpf-workbench")
    workbench.wait_for()
    train, stop = (
        workbench.get_by_role("button", name=name, exact=True) for name in ("Train", "Stop")
    )
    assert "recorded run" in workbench.locator("[role=status]").inner_text()
    for name in ("SFT level", "Pairs", "Pairs in all", "Optimizer", "Learning rate", "Steps"):
        assert workbench.get_by_label(name, exact=True).count() == 1, name
    for name in ("Seed", "Loss", "beta", "beta, to slide", "Run A", "Run B", "The code"):
        assert workbench.get_by_label(name, exact=True).count() == 1, name
    assert workbench.evaluate(LOW) == []

    # keys act on the focused control, not on the notebook
    for name, key in (("SFT level", "ArrowUp"), ("beta, to slide", "PageUp")):
        workbench.get_by_label(name, exact=True).focus()
        page.keyboard.press(key)
    code = workbench.get_by_label("The code").filter(has_text="sft_steps=0,")
    code.filter(has_not_text="'beta': 0.1}").wait_for()
    workbench.get_by_label("SFT level", exact=True).select_option(label="2 steps")

    train.click()
    page.wait_for_function(f"() => {AT} >= 100")  # a recorded run of the book has 80 steps
    assert (train.is_disabled(), stop.is_disabled()) == (True, False)
    seen = page.evaluate(AT)
    page.wait_for_function(f"(seen) => {AT} > seen", arg=seen)
    # after a step back the view stays there while records come; a reader can return to the newest
    slider = workbench.get_by_role("slider", name="step", exact=True)
    slider.press("Home")
    page.wait_for_timeout(1000)
    assert page.evaluate(AT) == 0
    slider.press("End")
    page.wait_for_function(f"(seen) => {AT} > seen", arg=page.evaluate(AT))
    stop.click()
    workbench.locator("[role=status]", has_text="Stopped dpo beta=").wait_for()
    last = page.evaluate(AT)
    assert seen < last < 2000
    assert not train.is_disabled()

    workbench.get_by_label("Steps", exact=True).fill("6")
    page.keyboard.press("Tab")  # leaving the field applies its number
    workbench.get_by_label("Loss", exact=True).select_option(label="IPO")
    workbench.get_by_label("The code").filter(has_text="loss='ipo'").wait_for()
    assert "steps=6," in workbench.get_by_label("The code").inner_text()
    train.click()
    workbench.locator("[role=status]", has_text="Done").wait_for()
    workbench.locator("table", has_text="dispreferred moved more").wait_for()
    assert workbench.locator("table td", has_text="6").count()
    page.wait_for_function(f"() => {AT} === 6")
    assert page.evaluate(OURS, tools.axe(page)) == []
    page.wait_for_timeout(600)  # a view saves its changes after a pause
    notebook.run(1)
    said = notebook.cells.nth(1).locator(".jp-OutputArea-output")
    said.filter(has_text=f"kept [{last}, 6] 6").wait_for()

    page.set_viewport_size({"width": 500, "height": 2000})
    page.keyboard.press("Escape")
    page.keyboard.press("Control+b")  # the sidebar
    page.wait_for_timeout(500)
    assert workbench.evaluate("(root) => root.scrollWidth <= root.clientWidth")
    assert workbench.evaluate(LOW) == []
    context.close()
