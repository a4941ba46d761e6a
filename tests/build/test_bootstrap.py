"""Setting up: what is said when something is missing, and that nothing is done twice."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import bootstrap
import pytest
from fingerprint import ROOT

OLD_PYTHON = """\
import runpy, sys
sys.version_info = (3, 9, 0, "final", 0)
del sys.argv[0]
if sys.argv[0] == "-c":
    exec(sys.argv[1])
else:
    runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the set-up reads; the bootstrap module takes it for the project."""
    (tmp_path / "tools").mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "tools/bootstrap.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    venv = tmp_path / ".venv"
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    monkeypatch.setattr(bootstrap, "VENV", venv)
    monkeypatch.setattr(bootstrap, "VENV_PYTHON", venv / "bin" / "python")
    monkeypatch.setattr(bootstrap, "STAMP", venv / "stamp.json")
    return tmp_path


@pytest.fixture
def pip(project: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Calls of pip, noted instead of made; the environment itself counts as there."""
    calls: list[tuple[str, ...]] = []
    monkeypatch.setattr(bootstrap, "pip_install", lambda *words: calls.append(words))
    monkeypatch.setattr(bootstrap, "environment_version", lambda: sys.version_info[:2])
    (project / ".venv").mkdir()
    return calls


def make(folder: Path, *arguments: str, **environment: str) -> str:
    """Run make in ``folder``, which must fail; returns what it said."""
    program = shutil.which("make")
    assert program
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "PYTHON"))}
    done = subprocess.run(
        [program, *arguments], cwd=folder, env=clean | environment, text=True, capture_output=True
    )
    assert done.returncode != 0
    return done.stdout + done.stderr


def test_no_python_is_said(project: Path, tmp_path: Path) -> None:
    """Protects: a machine without Python gets a sentence, not a shell's error."""
    bare = tmp_path / "bin"
    bare.mkdir()
    shell = shutil.which("sh")
    assert shell
    (bare / "sh").symlink_to(shell)
    assert "Python 3.11 or newer is needed" in make(project, "book", PATH=str(bare))
    assert "'no-such-python' was not found" in make(project, "book", "PYTHON=no-such-python")


def test_an_old_python_is_said(project: Path, tmp_path: Path) -> None:
    """Protects: the version check, which has to run on the very version that it refuses."""
    (tmp_path / "old.py").write_text(OLD_PYTHON)
    old = tmp_path / "python3.9"
    old.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{tmp_path / "old.py"}" "$@"\n')
    old.chmod(0o755)
    said = make(project, "book", f"PYTHON={old}")
    assert "Python 3.11 or newer is needed" in said
    assert "3.9" in said
    assert not (project / ".venv").exists()


def test_everything_missing_is_said_at_once(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects: one list of what is missing, each with its remedy, not one thing at a time."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(bootstrap.importlib.util, "find_spec", lambda name: None)
    problems = " ".join(bootstrap.missing())
    assert "apt install git" in problems
    assert "apt install python3-venv" in problems


def test_torch_comes_first_then_the_rest_once(project: Path, pip: list[tuple[str, ...]]) -> None:
    """Protects: the order that allows a CPU build of torch, and that a repeat does nothing."""
    bootstrap.prepare("book", "torch==2.13.0", chosen=False)
    assert pip == [
        ("torch==2.13.0",),
        ("--editable", ".[book]", "--constraint", "constraints.txt"),
    ]
    bootstrap.prepare("book", "torch==2.13.0", chosen=False)
    assert len(pip) == 2


def test_the_test_extra_serves_the_book(project: Path, pip: list[tuple[str, ...]]) -> None:
    """Protects: `make book` after `make test` installs nothing."""
    bootstrap.prepare("test", "torch==2.13.0", chosen=False)
    bootstrap.prepare("book", "torch==2.13.0", chosen=False)
    assert len(pip) == 2


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_other_versions_are_installed(project: Path, pip: list[tuple[str, ...]], name: str) -> None:
    """Protects: the stamp is of the lists' content, not of their times."""
    bootstrap.prepare("book", "torch==2.13.0", chosen=False)
    (project / name).touch()
    bootstrap.prepare("book", "torch==2.13.0", chosen=False)
    assert len(pip) == 2
    (project / name).write_text((project / name).read_text() + "# changed\n")
    bootstrap.prepare("book", "torch==2.13.0", chosen=False)
    assert len(pip) == 4


def test_another_spelling_of_torch(project: Path, pip: list[tuple[str, ...]]) -> None:
    """Protects: TORCH may hold several words for pip."""
    bootstrap.prepare("book", "torch==2.13.0+cpu --extra-index-url 'a b'", chosen=False)
    assert pip[0] == ("torch==2.13.0+cpu", "--extra-index-url", "a b")


def test_an_interrupted_installation_is_taken_up_again(
    project: Path, pip: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects: the stamp of an older state does not outlive a new installation that broke off."""
    bootstrap.prepare("book", "torch==2.13.0", chosen=False)
    with monkeypatch.context() as context:

        def interrupted(*_: str) -> None:
            raise KeyboardInterrupt

        context.setattr(bootstrap, "pip_install", interrupted)
        with pytest.raises(KeyboardInterrupt):
            bootstrap.prepare("test", "torch==2.13.0", chosen=False)
    bootstrap.prepare("book", "torch==2.13.0", chosen=False)
    assert len(pip) == 4
