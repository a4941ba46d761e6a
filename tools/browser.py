"""For the audit and the browser tests: the site on loopback, a Chromium, axe."""

from __future__ import annotations

import gzip
import mimetypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import chromium
import node

ROOT = Path(__file__).resolve().parent.parent
HTML = ROOT / "_build" / "html"
# No network requests of its own; no sandbox, because a container often runs as root.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
COMPRESSED = {".html", ".css", ".js", ".svg", ".json", ".txt", ".md"}


@cache
def _file(path: Path) -> tuple[bytes, str, bool]:
    data, packed = path.read_bytes(), path.suffix in COMPRESSED
    kind = "font/woff2" if path.suffix == ".woff2" else mimetypes.guess_type(path.name)[0]
    return gzip.compress(data) if packed else data, kind or "application/octet-stream", packed


@contextmanager
def serve(root: Path = HTML) -> Iterator[str]:
    """Serve a folder on loopback, compressed as on a web host; yield its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = (root / unquote(urlsplit(self.path).path).lstrip("/")).resolve()
            if path.is_dir():
                path /= "index.html"
            if not path.is_relative_to(root.resolve()) or not path.is_file():
                self.send_error(404)
                return
            data, kind, packed = _file(path)
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Cache-Control", "max-age=31536000")
            if packed:
                self.send_header("Content-Encoding", "gzip")
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    _file.cache_clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium driven by Playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        chrome = play.chromium.launch(executable_path=chromium.find(), args=FLAGS)
        try:
            yield chrome
        finally:
            chrome.close()


def pages(root: Path = HTML) -> list[str]:
    """Every page of the built site, relative to its root, in a stable order."""
    return sorted(str(path.relative_to(root).as_posix()) for path in root.rglob("*.html"))


def axe(page: Any) -> list[dict[str, Any]]:
    """Violations that axe-core finds in an open page: id, impact, selectors.

    All rules run, including best practices.
    """
    if page.evaluate("typeof axe") == "undefined":
        source = node.node_modules(dev=True) / "axe-core" / "axe.min.js"
        page.evaluate(source.read_text("utf8"))
    found: list[dict[str, Any]] = page.evaluate(
        """async () => (await axe.run()).violations.map((rule) => ({
          id: rule.id,
          impact: rule.impact,
          nodes: rule.nodes.map((n) => n.target.join(" ")),
        }))"""
    )
    return found
