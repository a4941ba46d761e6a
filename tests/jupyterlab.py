"""A local JupyterLab server with one notebook, for tests with a live kernel."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

import nbformat

from dpofield.workbench import PAGE

PATIENCE = 120_000  # ms; a kernel starts slowly on a busy machine


@contextmanager
def jupyterlab(home, cells, **more):
    """Yield the address of a JupyterLab without user settings, with one notebook `live.ipynb`.

    `home` is an empty folder; `cells` are sources of code cells, or a whole notebook; `more` are
    additional settings of the server.
    """
    book = cells
    if not isinstance(cells, nbformat.NotebookNode):
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        # Without a kernel name, JupyterLab opens a dialog to select one.
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
        **more,
    }
    command = [sys.executable, "-m", "jupyter", "lab", *(f"--{k}={v}" for k, v in settings.items())]
    folders = ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR")
    own = {name: str(home / "own" / name.lower()) for name in (*folders, "IPYTHONDIR")}
    own["JUPYTERLAB_WORKSPACES_DIR"] = str(home / "own" / "workspaces")
    # Without PAGE, kernels behave as in a live notebook and not as in the build of a page.
    outer = {name: value for name, value in os.environ.items() if name != PAGE}
    with (home / "log.txt").open("w") as log:
        server = subprocess.Popen(command, env={**outer, **own}, stdout=log, stderr=log)
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


class Notebook:
    """The notebook in a browser page, after its kernel has started."""

    def __init__(self, page, address):
        self.page = page
        page.set_default_timeout(PATIENCE)
        page.goto(f"{address}/lab/tree/live.ipynb")
        self.cells = page.locator(".jp-Notebook .jp-CodeCell")
        page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()

    def run(self, number):
        """Run a cell, and wait until the kernel has received it."""
        # JupyterLab ignores the key until the cell is active, so the key may need repeating.
        prompt = self.cells.nth(number).locator(".jp-InputPrompt")
        before = prompt.inner_text()
        for _ in range(20):
            self.cells.nth(number).locator(".jp-InputArea-editor").click()
            self.page.wait_for_timeout(500)
            self.page.keyboard.press("Control+Enter")
            self.page.wait_for_timeout(500)
            if prompt.inner_text() != before:
                return
