"""`make serve` serves the built site on this machine only."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from fingerprint import ROOT


@pytest.fixture
def command(tmp_path: Path) -> list[str | Path]:
    """`make serve` in a folder with a built page, on a free port."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "fingerprint.py").write_text("why_not_current = lambda: 'it is old'")
    (tmp_path / "_build" / "html").mkdir(parents=True)
    (tmp_path / "_build" / "html" / "index.html").write_text("a page")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    make = shutil.which("make")
    assert make
    return [make, "-C", tmp_path, "serve", f"RUN={sys.executable} -u", f"PORT={port}"]


def start(command: list[str | Path]) -> subprocess.Popen[str]:
    """Start a command in a new process group, as a terminal does."""
    return subprocess.Popen(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, process_group=0
    )


def test_serve_shows_the_site(command: list[str | Path]) -> None:
    """Protects: the site is served on loopback at PORT, messages report an old site and a port in
    use, and Ctrl-C ends the server."""
    port = str(command[-1]).removeprefix("PORT=")
    server = start(command)
    try:
        for _ in range(300):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as page:
                    assert page.read() == b"a page"
                break
            except OSError:
                time.sleep(0.1)
        else:
            pytest.fail("nothing is served")
        second = start(command)
        words, _ = second.communicate(timeout=60)
        assert second.returncode
        assert f"If port {port} is taken" in words
        os.killpg(server.pid, signal.SIGINT)  # Ctrl-C reaches the whole group
        words, _ = server.communicate(timeout=60)
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
    assert "it is old" in words
    assert f"http://127.0.0.1:{port}/" in words


def test_nothing_to_serve_is_said(command: list[str | Path], tmp_path: Path) -> None:
    """Protects: without a built site, the message names the command to run."""
    (tmp_path / "_build" / "html" / "index.html").unlink()
    server = start(command)
    words, _ = server.communicate(timeout=60)
    assert server.returncode
    assert "run make book first" in words
