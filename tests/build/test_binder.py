"""On Binder a chapter opens as a notebook, runs to its end, and fits into memory."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import secrets
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from fingerprint import ROOT
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

CHAPTER = "book/training-field.md"  # the heaviest: it trains a GPT-2
BUDGET = 1.2e9  # bytes, for server and kernel together
LIMIT = 2e9  # bytes, above which Binder kills the processes
RESERVED = 1.1e9  # bytes of address space that Arrow's allocator reserves and does not use
BIN = Path(sys.executable).parent


class MemoryWatch(threading.Thread):
    """Measures a process and its children ten times per second; kills them above ``LIMIT``.

    The sum is of proportional set sizes, which count a shared page once, as Binder's container
    does. A limit on address space would stop torch, which reserves far more than it uses, and a
    limit per process does not limit the sum. RLIMIT_DATA stops a single process that grows between
    two measurements.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.root = psutil.Process(pid)
        self.peak = 0.0
        self.killed = False
        self.stopped = threading.Event()

    def family(self) -> list[psutil.Process]:
        try:
            return [self.root, *self.root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def run(self) -> None:
        while not self.stopped.wait(0.1):
            total = 0.0
            for process in self.family():
                try:
                    memory = process.memory_full_info()
                except psutil.Error:
                    continue
                total += getattr(memory, "pss", memory.rss)
            self.peak = max(self.peak, total)
            if total > LIMIT:
                self.killed = True
                self.end()

    def end(self) -> None:
        for process in reversed(self.family()):
            with contextlib.suppress(psutil.Error):
                process.kill()


class Server:
    """A client of a Jupyter server on loopback."""

    def __init__(self, port: int, token: str) -> None:
        self.address = f"127.0.0.1:{port}"
        self.headers = {"Authorization": f"token {token}", "Content-Type": "application/json"}

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The JSON answer to GET, or to POST with a body."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{self.address}{path}", data, self.headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def ready(self) -> bool:
        try:
            self.ask("/api/status")
        except OSError:
            return False
        return True

    async def execute(self, kernel: str, cells: list[str]) -> None:
        """Run cells in order, as JupyterLab does; a failing cell fails the test."""
        request = HTTPRequest(
            f"ws://{self.address}/api/kernels/{kernel}/channels", headers=self.headers
        )
        socket_ = await websocket_connect(request, max_message_size=2**28)
        try:
            for source in cells:
                await asyncio.wait_for(self.execute_cell(socket_, source), 300)
        finally:
            socket_.close()

    async def execute_cell(self, socket_: WebSocketClientConnection, source: str) -> None:
        name = uuid.uuid4().hex
        header = {
            "msg_id": name,
            "msg_type": "execute_request",
            "session": name,
            "username": "reader",
            "version": "5.3",
            "date": "2026-01-01T00:00:00Z",
        }
        content = {"code": source, "allow_stdin": False, "stop_on_error": True}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
        await socket_.write_message(json.dumps({**message, "channel": "shell", "buffers": []}))
        while True:
            text = await socket_.read_message()
            assert text is not None, "the kernel's connection closed"
            if isinstance(text, bytes):
                continue  # has binary buffers, and a reply never has
            reply = json.loads(text)
            if reply["parent_header"].get("msg_id") != name:
                continue
            if reply["msg_type"] == "execute_reply":
                traceback = "\n".join(reply["content"].get("traceback", []))
                assert reply["content"]["status"] == "ok", f"{source}\n{traceback}"
                return


@pytest.fixture
def reader_environment(tmp_path: Path) -> dict[str, str]:
    """Environment variables of a reader whose Jupyter is configured by postBuild alone."""
    places = {f"JUPYTER_{kind}_DIR": str(tmp_path / kind) for kind in ("CONFIG", "DATA", "RUNTIME")}
    # Binder does not set the number of threads, and a reader's home folder there is empty.
    ours = {"OMP_NUM_THREADS", "MKL_NUM_THREADS", "MPLBACKEND", "PYTHONPATH"}
    clean = {k: v for k, v in os.environ.items() if k not in ours}
    environment = {**clean, **places, "HOME": str(tmp_path), "IPYTHONDIR": str(tmp_path / "ipy")}
    setup = (ROOT / "postBuild").read_text(encoding="utf-8").splitlines()
    (viewer,) = [line for line in setup if line.startswith("jupytext-config")]
    subprocess.run([BIN / viewer.split()[0], *viewer.split()[1:]], check=True, env=environment)
    return environment


@pytest.fixture
def server(
    reader_environment: dict[str, str], tmp_path: Path
) -> Iterator[tuple[Server, MemoryWatch]]:
    """JupyterLab as Binder starts it, under a memory watch."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.root_dir": ROOT,
        "ServerApp.open_browser": False,
        "ServerApp.allow_root": True,
        "IdentityProvider.token": token,
    }
    command = [BIN / "jupyter-lab", *(f"--{name}={value}" for name, value in options.items())]
    log = (tmp_path / "server.log").open("w")
    limit = (int(LIMIT + RESERVED), int(LIMIT + RESERVED))
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=reader_environment,
        stdout=log,
        stderr=subprocess.STDOUT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, limit),
    )
    watch = MemoryWatch(process.pid)
    watch.start()
    server = Server(port, token)
    try:
        end = time.monotonic() + 120
        while not server.ready():
            assert process.poll() is None, (tmp_path / "server.log").read_text()
            assert time.monotonic() < end, "the server did not start in two minutes"
            time.sleep(0.2)
        yield server, watch
    finally:
        watch.stopped.set()
        watch.end()
        process.wait(timeout=30)
        log.close()


def test_the_heaviest_chapter_runs_as_on_binder(server: tuple[Server, MemoryWatch]) -> None:
    """Protects: chapters open as notebooks; all cells run; 1.2 GB suffice for server and kernel."""
    ask, watch = server
    plugin = ask.ask("/lab/api/settings/@jupyterlab/docmanager-extension:plugin")
    viewers = plugin["schema"]["properties"]["defaultViewers"]["default"]
    assert viewers["markdown"] == "Jupytext Notebook"

    document = ask.ask(f"/api/contents/{CHAPTER}?type=notebook&content=1")
    assert document["type"] == "notebook"
    cells = [c["source"] for c in document["content"]["cells"] if c["cell_type"] == "code"]
    assert cells, "the chapter opened without a single code cell"

    kernel = document["content"]["metadata"]["kernelspec"]["name"]
    session = {"path": CHAPTER, "name": "", "type": "notebook", "kernel": {"name": kernel}}
    identity = ask.ask("/api/sessions", session)["kernel"]["id"]
    try:
        # in a new thread: after a browser test, this thread has Playwright's event loop
        with ThreadPoolExecutor(1) as thread:
            thread.submit(lambda: asyncio.run(ask.execute(identity, cells))).result()
    finally:
        assert not watch.killed, f"server and kernel took {watch.peak / 1e9:.2f} GB"
    print(f"peak memory of server and kernel: {watch.peak / 1e6:.0f} MB")
    assert 0 < watch.peak < BUDGET, f"server and kernel took {watch.peak / 1e9:.2f} GB"
