"""The field explorer in JupyterLab with a live kernel: its traits follow both ways."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import pytest

from tests.widgets.conftest import Explorer

pytestmark = pytest.mark.browser
CELLS = (
    "from dpofield.widgets import FieldExplorer\nexplorer = FieldExplorer()\nexplorer",
    "print('kernel has', explorer.beta, explorer.chart, explorer.a, explorer.b)",
    "explorer.beta = 1.5\nexplorer.a, explorer.b = -1, 2",
)
PATIENCE = 120_000  # ms, for a kernel that starts on a busy machine


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Address of a JupyterLab of our own, on loopback, with one notebook and no settings."""
    home = tmp_path_factory.mktemp("lab")
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    # without a name JupyterLab would ask for the kernel
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(book, home / "live.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.root_dir": home,
        "ServerApp.open_browser": False,
        "ServerApp.allow_root": True,
        "IdentityProvider.token": "",
        "LabApp.news_url": "",
    }
    command = [sys.executable, "-m", "jupyter", "lab", *(f"--{k}={v}" for k, v in settings.items())]
    folders = ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR")
    own = {name: str(home / "own" / name.lower()) for name in (*folders, "IPYTHONDIR")}
    own["JUPYTERLAB_WORKSPACES_DIR"] = str(home / "own" / "workspaces")
    with (home / "log.txt").open("w") as log:
        server = subprocess.Popen(command, env={**os.environ, **own}, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            assert server.poll() is None, (home / "log.txt").read_text()
            try:
                urllib.request.urlopen(f"{address}/api", timeout=5).close()
                break
            except OSError:
                time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait(60)


def test_traits_follow_both_ways(chrome, lab):
    """What a hand moves, the kernel has; what the kernel sets, the page shows. The address is
    JupyterLab's, and no link is offered."""
    context = chrome.new_context(viewport={"width": 1280, "height": 1400})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(f"{lab}/lab/tree/live.ipynb")
    cells = page.locator(".jp-Notebook .jp-CodeCell")

    def run(number):
        # a key that comes before the cell is the active one is lost
        prompt = cells.nth(number).locator(".jp-InputPrompt")
        before = prompt.inner_text()
        for _ in range(20):
            cells.nth(number).locator(".jp-InputArea-editor").click()
            page.wait_for_timeout(500)
            page.keyboard.press("Control+Enter")
            page.wait_for_timeout(500)
            if prompt.inner_text() != before:
                return

    def spoken(words):
        explorer.live.filter(has_text=words).wait_for(state="attached")

    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()
    run(0)
    page.locator(".dpf").wait_for()
    explorer = Explorer(page, ".jp-OutputArea")
    explorer.agrees("ratio", 0.1, 1, 1)
    # JupyterLab floats the parts of a list of terms
    term, value = explorer.root.locator("dt").nth(3), explorer.root.locator("dd").nth(3)
    left, right = term.bounding_box(), value.bounding_box()
    assert left["x"] + left["width"] <= right["x"]
    explorer.type("beta", "0.7")
    explorer.radio("log-ratio").check()
    explorer.type("a", "0.5")
    spoken("beta 0.7")
    explorer.handle.press("ArrowUp")
    spoken("v 0.08")
    before = page.url
    run(1)
    said = cells.nth(1).locator(".jp-OutputArea-output")
    said.filter(has_text="kernel has 0.7 log-ratio 0.5 0.08").wait_for()
    run(2)
    page.wait_for_function("() => document.querySelector('[data-field=b]').value === '2'")
    explorer.agrees("log-ratio", 1.5, -1, 2)
    assert page.url == before
    assert explorer.root.get_by_role("button", name="Copy link").count() == 0
    assert explorer.root.get_by_role("button", name="Save SVG").count() == 1
    context.close()
