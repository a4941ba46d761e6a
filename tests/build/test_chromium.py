"""Finding and installing a Chromium: the order of the attempts, and the final message."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import chromium
import pytest


class Machine:
    """A simulated machine: its programs, the programs it can install, and the attempts."""

    def __init__(self) -> None:
        self.programs: dict[str, str] = {}
        self.working: set[str] = set()
        self.downloaded = ""
        self.offers: dict[str, str] = {}  # pattern of a command -> the program it installs
        self.tried: list[str] = []

    def attempt(self, reason: str, *command: str, timeout: int) -> bool:
        step = " ".join(command)
        self.tried.append(step)
        for pattern, program in self.offers.items():
            if re.search(pattern, step):
                self.programs[Path(program).name] = program
                self.working.add(program)
                return True
        return False


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with only apt-get, used as root."""
    pretended = Machine()
    pretended.programs["apt-get"] = "/bin/apt-get"
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: pretended.programs.get(name))
    monkeypatch.setattr(chromium, "starts", lambda path: path in pretended.working)
    monkeypatch.setattr(chromium, "playwright_path", lambda: pretended.downloaded)
    monkeypatch.setattr(chromium, "attempt", pretended.attempt)
    monkeypatch.setattr(chromium.os, "geteuid", lambda: 0)
    return pretended


def test_what_is_on_the_path_is_taken(machine: Machine) -> None:
    """Protects: if a browser exists, nothing is installed."""
    machine.programs["google-chrome"] = "/opt/google-chrome"
    machine.working.add("/opt/google-chrome")
    assert chromium.ensure() == "/opt/google-chrome"
    assert machine.tried == []


def test_a_stub_is_passed_over(machine: Machine) -> None:
    """Protects: a program of the right name that does not start (Ubuntu has one) is not used."""
    machine.programs["chromium-browser"] = "/usr/bin/chromium-browser"
    with pytest.raises(chromium.NoChromiumError):
        chromium.find()


def test_playwright_comes_before_the_system(machine: Machine) -> None:
    """Protects: the installation that does not need root is tried first."""
    machine.offers = {"apt-get install": "/usr/bin/chromium"}
    assert chromium.ensure() == "/usr/bin/chromium"
    assert "playwright install chromium" in machine.tried[0]
    assert "apt-get install" in machine.tried[1]
    assert len(machine.tried) == 2


def test_an_older_system_gets_the_whole_browser(machine: Machine) -> None:
    """Protects: where there is no package of the shell, the tests still get a browser."""
    machine.offers = {"apt-get install -y --no-install-recommends chromium$": "/usr/bin/chromium"}
    assert chromium.ensure() == "/usr/bin/chromium"


def test_the_shell_is_preferred_except_for_what_readers_see(machine: Machine) -> None:
    """Protects: tests take the lighter browser; measurements take the browser of the readers."""
    for name in ("chromium", "chromium-headless-shell"):
        machine.programs[name] = f"/usr/bin/{name}"
        machine.working.add(f"/usr/bin/{name}")
    assert chromium.find() == "/usr/bin/chromium-headless-shell"
    assert chromium.find(whole=True) == "/usr/bin/chromium"


def test_in_vain(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Protects: after every attempt has failed, the message names a remedy."""
    with pytest.raises(chromium.NoChromiumError, match="apt install chromium"):
        chromium.ensure()
    assert sum("apt-get update" in step for step in machine.tried) == 1
    machine.tried.clear()
    monkeypatch.setattr(chromium.os, "geteuid", lambda: 1000)
    with pytest.raises(chromium.NoChromiumError):
        chromium.ensure()
    assert not any("apt-get" in step for step in machine.tried)
    assert "not root" in capsys.readouterr().out


def test_a_named_browser_is_not_replaced(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects: a wrong CHROMIUM is an error that names it, not a reason to install another."""
    monkeypatch.setenv("CHROMIUM", "/opt/mine")
    with pytest.raises(chromium.NoChromiumError, match="CHROMIUM=/opt/mine"):
        chromium.ensure()
    assert machine.tried == []
    machine.working.add("/opt/mine")
    assert chromium.ensure() == "/opt/mine"


def test_the_one_that_is_found_here_runs() -> None:
    """Protects: ``starts`` itself, with the browser of the other tests and with other programs."""
    assert chromium.starts(chromium.find())
    assert not chromium.starts("/no/such/program")
    assert not chromium.starts(shutil.which("false") or "")
