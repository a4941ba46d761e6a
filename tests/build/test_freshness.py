"""A proof, a numeric test and the page each detect a wrong sign in the formulas.

The tests use a temporary copy of the project with its caches, so that they detect a stale page.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fingerprint import ROOT

from tests.build.conftest import JUPYTER_BOOK

THEOREMS = "src/dpofield/formulas/theorems/_common.py"
SYMBOLIC = "tests/formulas/test_theorems.py::test_residual_is_exactly_zero[theorem-1]"
TOC = "format: jb-book\nroot: book/theorem-1\n"

# Name -> file, its text, the text with the wrong sign, the numeric test that must fail.
WRONG_SIGNS = {
    "loss": (
        "src/dpofield/formulas/losses/margin.py",
        "expr=-logsigmoid(",
        "expr=logsigmoid(",
        "tests/formulas/test_printers.py::test_numpy_loss_against_50_digits",
    ),
    "theorem 1": (
        THEOREMS,
        "DL_DX1 = -beta",
        "DL_DX1 = beta",
        "tests/formulas/test_theorems.py"
        "::test_theorem_1_against_numeric_derivatives_of_the_naive_loss",
    ),
}


class Copy:
    """A temporary copy of the project: files that git would commit, and the build's caches."""

    def __init__(self, root: Path) -> None:
        self.root = root
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", "-z"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, root / name)
        cache = ROOT / "_build" / ".jupyter_cache"
        if cache.exists():
            shutil.copytree(cache, root / "_build" / ".jupyter_cache")
        modules = ROOT / "tools" / "node_modules"
        if modules.exists():
            (root / "tools" / "node_modules").symlink_to(modules)
        (root / "_toc.yml").write_text(TOC)

    def run(self, *command: str | Path) -> tuple[int, str]:
        """Run a command in the copy, with the copy's own package."""
        done = subprocess.run(
            [*map(str, command)],
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": str(self.root / "src")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return done.returncode, done.stdout

    def replace(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text(encoding="utf-8")
        assert old in text, f"{name} no longer has {old!r}: update this test"
        (self.root / name).write_text(text.replace(old, new), encoding="utf-8")

    def test(self, *names: str) -> tuple[int, str]:
        """Run the named tests of the copy."""
        return self.run(sys.executable, "-m", "pytest", "-q", "-rf", *names)

    def build(self) -> str:
        """Build the page without ``make``; return the output.

        References to omitted chapters give warnings, so warnings are no errors here.
        """
        code, output = self.run(JUPYTER_BOOK, "build", ".")
        assert code == 0, output
        return output

    def page(self) -> str:
        return (self.root / "_build" / "html" / "book" / "theorem-1.html").read_text("utf-8")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """The copy, built once from unchanged sources."""
    copy = Copy(tmp_path_factory.mktemp("copy"))
    output = copy.build()
    assert "Executing notebook failed" not in output, output
    assert (copy.root / "_build" / "html" / "demos" / "loss-gallery.html").is_file()
    return copy


def test_the_copy_is_what_runs_and_is_right(copy: Copy) -> None:
    """Protects this module: the tests below use the copy's sources, which pass unchanged."""
    code, output = copy.run(sys.executable, "-c", "import dpofield; print(dpofield.__file__)")
    assert code == 0
    assert Path(output.strip()).is_relative_to(copy.root), "the installed package hides the copy"
    numeric = {test for *_, test in WRONG_SIGNS.values()}
    code, output = copy.test(SYMBOLIC, *numeric)
    assert code == 0, output


@pytest.mark.parametrize("what", WRONG_SIGNS)
def test_a_wrong_sign_is_caught_three_times(copy: Copy, what: str) -> None:
    """Protects: a wrong formula cannot pass, and three independent checks detect it."""
    name, right, wrong, numeric = WRONG_SIGNS[what]
    copy.replace(name, right, wrong)
    try:
        code, output = copy.test(SYMBOLIC, numeric)
        assert code == 1, output
        assert f"FAILED {SYMBOLIC}" in output, "the proof did not fail"
        assert f"FAILED {numeric}" in output, "the numeric test did not fail"
        output = copy.build()
        assert "Executing notebook failed" in output, "the page did not fail"
        assert "AssertionError" in copy.page()
        demos = copy.root / "_build" / "html" / "demos"
        assert demos.exists() == ("no demo pages" not in output), "an outdated demo is left"
    finally:
        copy.replace(name, wrong, right)
