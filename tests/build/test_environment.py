"""The lists of dependencies agree: pyproject.toml, constraints.txt, environment.yml."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
from pathlib import Path

import yaml
from fingerprint import ROOT, declared_dependencies

# Name on the package index -> name on conda-forge, where they differ.
CONDA_NAMES = {"torch": "pytorch-cpu", "matplotlib": "matplotlib-base"}
# Only in environment.yml: Python itself, and pip, which installs the project.
CONDA_ONLY = {"python", "pip"}


def parts(requirement: str) -> tuple[str, str]:
    """Name, in one spelling, and version range of a requirement.

    >>> parts("PyYAML>=6.0")
    ('pyyaml', '>=6.0')
    """
    found = re.fullmatch(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?(.*)", requirement)
    assert found, requirement
    return re.sub(r"[._-]+", "-", found[1]).lower(), found[2].strip()


def conda_dependencies() -> tuple[dict[str, str], list[str]]:
    """The requirements in environment.yml for conda, by name, and for pip."""
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    conda = dict(parts(entry) for entry in listed if isinstance(entry, str))
    pip = [line for entry in listed if isinstance(entry, dict) for line in entry["pip"]]
    return conda, pip


def constraints() -> dict[str, str]:
    """Versions by name in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {name: version for name, version in pinned}


def test_conda_and_pip_name_the_same_dependencies() -> None:
    """Protects: Binder has exactly the requirements of the package and of notebooks."""
    declared = declared_dependencies()
    wanted = dict(parts(line) for line in [*declared[""], *declared["notebook"]])
    expected = {CONDA_NAMES.get(name, name): version for name, version in wanted.items()}
    conda, pip = conda_dependencies()
    assert {n: v for n, v in conda.items() if n not in CONDA_ONLY} == expected
    assert pip == ["--editable ."], "pip must install only the project"


def test_every_dependency_has_a_proven_version() -> None:
    """Protects: every requirement of pyproject.toml has a pinned version."""
    proven = constraints()
    for extra, requirements in declared_dependencies().items():
        for requirement in requirements:
            name, _ = parts(requirement)
            assert name == "dpofield" or name in proven, f"{name} ({extra or 'package'})"


def test_constraints_hold_here() -> None:
    """Protects: the tests run with the pinned versions."""
    for name, version in constraints().items():
        try:
            installed = importlib.metadata.version(name).split("+")[0]
        except importlib.metadata.PackageNotFoundError:
            continue  # needed by another extra or another Python
        assert installed == version, f"{name}: {installed} is installed, {version} is pinned"


def test_constraints_name_versions_only() -> None:
    """Protects: no host, path or build label gets into the list."""
    for name, version in constraints().items():
        assert re.fullmatch(r"[a-z0-9-]+", name), name
        assert re.fullmatch(r"[0-9][0-9a-z.]*", version), f"{name}=={version}"


def test_torch_is_pinned_alike() -> None:
    """Protects: the commands in the documentation name the pinned version of torch."""
    for name in ("README.md", "CONTRIBUTING.md", "book/coursework.md"):
        for version in re.findall(r"torch==([\d.]*\d)", (ROOT / name).read_text()):
            assert version == constraints()["torch"], name


def test_binder_opens_chapters_as_notebooks(tmp_path: Path) -> None:
    """Protects: postBuild is valid and calls only what the notebook extra installs."""
    script = (ROOT / "postBuild").read_text()
    assert subprocess.run(["bash", "-n", ROOT / "postBuild"]).returncode == 0
    assert "jupytext-config set-default-viewer markdown" in script
    assert "python -m dpofield.lab.checkpoint" in script
    assert "python tools/takeaway.py" in script
