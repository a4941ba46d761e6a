"""Find a Chromium for the browser tests, or get one: ``python tools/chromium.py``.

Tried in this order, each attempt reported: the variable CHROMIUM, the PATH, Playwright's own
download (made now if it is not there), and as root on Debian or Ubuntu the system's package.
`playwright install --with-deps` alone would not do: its download is out of reach where a machine
sees only mirrors of package indexes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
HELP = (
    "No Chromium could be found or installed. Install one by the system's own means "
    "(Debian, Ubuntu: apt install chromium), or name it: CHROMIUM=/path/to/chromium make test"
)


class NoChromiumError(RuntimeError):
    """There is no Chromium that starts; the text says what to do."""


def starts(path: str) -> bool:
    """Whether the program at ``path`` runs at all: some are stubs, some lack a library."""
    try:
        done = subprocess.run([path, "--version"], capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def playwright_path() -> str:
    """Where Playwright keeps its Chromium, or would; empty without Playwright."""
    # In a process of its own: Playwright's synchronous interface refuses a running event loop.
    ask = "from playwright.sync_api import sync_playwright as s\nwith s() as p: print(p.chromium"
    done = subprocess.run(
        [sys.executable, "-c", f"{ask}.executable_path)"], capture_output=True, text=True
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def find() -> str:
    """Path of a Chromium that starts.

    Raises NoChromiumError, which says what to do, if there is none or CHROMIUM names a wrong one.
    """
    named = os.environ.get("CHROMIUM", "")
    if named:
        if starts(named):
            return named
        raise NoChromiumError(f"CHROMIUM={named} does not start. Correct or unset the variable.")
    for name in (*NAMES, MAC):
        path = shutil.which(name)
        if path and starts(path):
            return path
    path = playwright_path()
    if path and Path(path).exists() and starts(path):
        return path
    raise NoChromiumError(HELP)


def attempt(reason: str, *command: str, timeout: int) -> bool:
    """Run one installation step with its output shown; return whether it worked."""
    print(f"Chromium: {reason}: {' '.join(command)}", flush=True)
    # Short waits, for a machine that does not reach the download at all.
    environment = {**os.environ, "PLAYWRIGHT_DOWNLOAD_CONNECTION_TIMEOUT": "15000"}
    try:
        worked = subprocess.run(command, timeout=timeout, env=environment).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        worked = False
    print(f"Chromium: that {'worked' if worked else 'did not work'}.", flush=True)
    return worked


def ensure() -> str:
    """Path of a Chromium that starts, installed now if there was none.

    Raises NoChromiumError after every attempt has failed.
    """
    try:
        return find()
    except NoChromiumError:
        if os.environ.get("CHROMIUM"):
            raise
    playwright = [sys.executable, "-m", "playwright", "install", "chromium"]
    if attempt("none on the PATH, so by Playwright", *playwright, timeout=600):
        try:
            return find()
        except NoChromiumError:
            print("Chromium: it was downloaded but does not start; a library is missing.")
    if os.geteuid() == 0 and shutil.which("apt-get"):
        packages = ["apt-get", "install", "-y", "--no-install-recommends", "chromium"]
        if not attempt("as root, so by the system", *packages, timeout=900):
            attempt("perhaps the package list is old", "apt-get", "update", timeout=300)
            attempt("once more", *packages, timeout=900)
    else:
        print("Chromium: not root on Debian or Ubuntu, so the system's package is left alone.")
    return find()


if __name__ == "__main__":
    try:
        print(f"Chromium: {ensure()}")
    except NoChromiumError as error:
        raise SystemExit(str(error)) from None
