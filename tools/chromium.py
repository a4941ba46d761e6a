"""Find or install a Chromium for the browser tests: ``python tools/chromium.py``.

Tries in this order, and reports each attempt: the variable CHROMIUM, the PATH, Playwright's own
download (made now if it is missing), and as root on Debian or Ubuntu the system's package.
`playwright install --with-deps` alone is not enough: a machine may reach only mirrors of package
indexes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

# Chromium without windows: the same pages, for a third of the processor time.
SHELLS = ("chromium-headless-shell", "chrome-headless-shell")
MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
WHOLE = (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", MAC,
)  # fmt: skip
HELP = (
    "No Chromium could be found or installed. Install one with the system's package manager "
    "(Debian, Ubuntu: apt install chromium), or name it: CHROMIUM=/path/to/chromium make test"
)


class NoChromiumError(RuntimeError):
    """There is no Chromium that starts; the message names a remedy."""


def starts(path: str) -> bool:
    """Whether the program at ``path`` starts: some are stubs, some lack a library."""
    try:
        done = subprocess.run([path, "--version"], capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def playwright_path() -> str:
    """Path at which Playwright installs its Chromium; empty without Playwright."""
    # In a separate process: Playwright's synchronous interface rejects a running event loop.
    code = "from playwright.sync_api import sync_playwright as s\nwith s() as p: print(p.chromium"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}.executable_path)"], capture_output=True, text=True
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def find(whole: bool = False) -> str:
    """Path of a Chromium that starts; with `whole`, preferably of the browser that readers use.

    Raises NoChromiumError, with a remedy, if no Chromium starts or CHROMIUM names a wrong program.
    """
    named = os.environ.get("CHROMIUM", "")
    if named:
        if starts(named):
            return named
        raise NoChromiumError(f"CHROMIUM={named} does not start. Correct or unset the variable.")
    for name in (*WHOLE, *SHELLS) if whole else (*SHELLS, *WHOLE):
        path = shutil.which(name)
        if path and starts(path):
            return path
    path = playwright_path()
    if path and Path(path).exists() and starts(path):
        return path
    raise NoChromiumError(HELP)


def attempt(reason: str, *command: str, timeout: int) -> bool:
    """Run one installation step and show its output; return whether it worked."""
    print(f"Chromium: {reason}: {' '.join(command)}", flush=True)
    # A short timeout, for a machine that cannot reach the download.
    environment = {**os.environ, "PLAYWRIGHT_DOWNLOAD_CONNECTION_TIMEOUT": "15000"}
    try:
        worked = subprocess.run(command, timeout=timeout, env=environment).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        worked = False
    print(f"Chromium: that {'worked' if worked else 'did not work'}.", flush=True)
    return worked


def ensure() -> str:
    """Path of a Chromium that starts, installed now if necessary.

    Raises NoChromiumError if every attempt fails.
    """
    try:
        return find()
    except NoChromiumError:
        if os.environ.get("CHROMIUM"):
            raise
    playwright = [sys.executable, "-m", "playwright", "install", "chromium"]
    if attempt("none on the PATH, so install with Playwright", *playwright, timeout=600):
        try:
            return find()
        except NoChromiumError:
            print("Chromium: it was downloaded but does not start; it lacks a library.")
    if os.geteuid() == 0 and shutil.which("apt-get"):
        install = ["apt-get", "install", "-y", "--no-install-recommends"]
        if not attempt("root, so install with the system", *install, SHELLS[0], timeout=900):
            attempt("update the package list", "apt-get", "update", timeout=300)
            for package in (SHELLS[0], "chromium"):  # older systems do not have the first
                if attempt("try again", *install, package, timeout=900):
                    break
    else:
        print("Chromium: not root on Debian or Ubuntu, so the system's package is not installed.")
    return find()


if __name__ == "__main__":
    try:
        print(f"Chromium: {ensure()}")
    except NoChromiumError as error:
        raise SystemExit(str(error)) from None
