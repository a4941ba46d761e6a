"""Serve the built book on this machine only: ``make serve``, then Ctrl-C to stop."""

from __future__ import annotations

import argparse
import os
import sys
import webbrowser
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

from fingerprint import ROOT, why_not_current

SITE = ROOT / "_build" / "html"


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files without a line for each."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def has_display() -> bool:
    """Whether a window can be opened here (a text browser in the terminal is not wanted)."""
    return sys.platform == "darwin" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))


def main() -> None:
    """Serve until interrupted; opens the browser when there is one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    port = parser.parse_args().port
    if not (SITE / "index.html").exists():
        raise SystemExit("Nothing is built yet: run make book first.")
    reason = why_not_current()
    if reason:
        print(f"Note: {reason}; make book brings it up to date.")
    handler = partial(QuietHandler, directory=str(SITE))
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        raise SystemExit(
            f"Port {port} cannot be used ({error.strerror}); choose another: "
            f"make serve PORT={port + 1}"
        ) from None
    address = f"http://127.0.0.1:{port}/"
    print(f"The book is at {address} (Ctrl-C stops it).", flush=True)
    if has_display():
        webbrowser.open(address)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    main()
