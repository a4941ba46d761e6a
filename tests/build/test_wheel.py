"""The installed package works outside a checkout, and the remedies that it names work there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from fingerprint import ROOT

from dpofield.experiments.plans import PLANS

SOURCES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "LICENSE-TEXT",
           "_toc.yml", "tools/assets", "results", "src")  # fmt: skip
OFFLINE = ["--quiet", "--no-deps", "--no-index"]


class Installed:
    """A site with the package, an empty folder to work in, and an empty cache of the user."""

    def __init__(self, home: Path, site: Path) -> None:
        self.home, self.site = home, site
        self.here = home / "an empty folder"
        self.here.mkdir()

    def python(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run Python as a reader does, with no trace of the checkout."""
        environment = {**os.environ, "PYTHONPATH": str(self.site), "HOME": str(self.home),
                       "XDG_CACHE_HOME": str(self.home / "cache"), **variables}  # fmt: skip
        return subprocess.run(
            [sys.executable, *words], cwd=self.here, env=environment, text=True, capture_output=True
        )

    def says(self, *words: str, **variables: str) -> str:
        """What a program prints; it must succeed."""
        done = self.python(*words, **variables)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The package, built without a network as an sdist, then as a wheel, and installed."""
    home = tmp_path_factory.mktemp("a home")
    tree = home / "tree"
    tree.mkdir()
    for name in SOURCES:
        (tree / name).parent.mkdir(exist_ok=True)
        skip = shutil.ignore_patterns("__pycache__", "*.egg-info")
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(
            ROOT / name, tree / name, **({"ignore": skip} if (ROOT / name).is_dir() else {})
        )
    build = "from setuptools.build_meta import build_sdist; build_sdist('..')"
    subprocess.run([sys.executable, "-c", build], cwd=tree, check=True, capture_output=True)
    (sdist,) = home.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(home, filter="data")
    pip, unpacked = [sys.executable, "-m", "pip"], sdist.with_name(sdist.name[: -len(".tar.gz")])
    wheel = [*pip, "wheel", *OFFLINE, "--no-build-isolation", "-w", home, unpacked]
    subprocess.run(wheel, check=True, capture_output=True)
    (file,) = home.glob("*.whl")
    site = home / "lib" / "site"
    install = [*pip, "install", *OFFLINE, "--no-compile", "--target", site, file]
    subprocess.run(install, check=True, capture_output=True)
    shutil.rmtree(tree)
    shutil.rmtree(unpacked)
    for path in [site, *site.rglob("*")]:
        path.chmod(path.stat().st_mode & ~0o222)
    return Installed(home, site)


def test_what_the_wheel_contains(installed: Installed) -> None:
    """Protects: recorded tables, the ledger in the book's order, and demo pages; the hash of the
    code is that of the checkout; nothing is written beside the package or into the folder."""
    before = sorted(installed.site.rglob("*"))
    code = f"""
import dpofield, sys
from dpofield import ledger
from dpofield.experiments import recorded
from dpofield.experiments.provenance import code_hash
assert dpofield.__file__.startswith({str(installed.site)!r})
for plan in {list(PLANS)}:
    print(plan, len(recorded(plan)))
print(ledger.load()[0].id, code_hash())
"""
    from dpofield.experiments import plan
    from dpofield.experiments.provenance import code_hash

    lines = installed.says("-B", "-c", code).splitlines()
    assert lines[:-1] == [f"{name} {len(plan(name))}" for name in PLANS]
    assert lines[-1] == f"bradley-terry {code_hash()}"
    pages = installed.says("-B", "-m", "dpofield.widgets.demo", "my pages").split()
    assert "field-explorer.html" in " ".join(pages)
    assert [path.name for path in installed.here.iterdir()] == ["my pages"]
    assert sorted(installed.site.rglob("*")) == before


def test_the_remedy_of_a_missing_table_works(installed: Installed) -> None:
    """Protects: the command that `recorded` names makes the table where `recorded` reads it, also
    for a program in another folder."""
    read = "from dpofield.experiments import recorded; print(len(recorded('smoke')))"
    refused = installed.python("-B", "-c", read)
    assert refused.returncode == 1
    remedy = "python -m dpofield.experiments run smoke"
    assert refused.stderr.strip().endswith(f"make it with: {remedy}")
    installed.says("-B", *remedy.split()[1:], "--workers=1")
    installed.here /= "another folder"
    installed.here.mkdir()
    older = "from dpofield.experiments.recorded import recorded; print(len(recorded('smoke')))"
    assert installed.says("-B", "-c", read) == installed.says("-B", "-c", older)


@pytest.mark.parametrize(
    "module",
    [
        "dpofield.experiments",
        "dpofield.lab.check",
        "dpofield.lab.checkpoint",
        "dpofield.widgets.demo",
    ],
)
def test_help_outside_a_checkout(installed: Installed, module: str) -> None:
    """Protects: `--help` explains each command and does nothing else."""
    before = sorted(installed.home.glob("*"))
    said = installed.says("-B", "-m", module, "--help")
    assert said.startswith(f"usage: python -m {module}")
    assert sorted(installed.home.glob("*")) == before


def test_a_home_that_cannot_be_written(installed: Installed) -> None:
    """Protects: the error comes before the first run, and names the folder and the remedy."""
    (installed.home / "file").touch()
    words = ("-B", "-m", "dpofield.experiments", "run", "smoke", "--workers=1")
    done = installed.python(*words, XDG_CACHE_HOME=str(installed.home / "file"))
    assert done.returncode == 1
    assert "no file can be written there" in done.stderr
    assert "XDG_CACHE_HOME" in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_libraries_are_named(installed: Installed) -> None:
    """Protects: without the experiments extra, both ways to a table say what to install."""
    (installed.home / "bare").mkdir()
    (installed.home / "bare" / "pyarrow.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'pyarrow'\", name='pyarrow')"
    )
    path = os.pathsep.join([str(installed.home / "bare"), str(installed.site)])
    for words in (
        ("-c", "from dpofield.experiments import recorded"),
        ("-m", "dpofield.experiments", "estimate", "smoke"),
    ):
        done = installed.python("-B", *words, PYTHONPATH=path)
        assert done.returncode == 1
        assert "install it with: pip install joblib pandas pyarrow" in done.stderr
