"""Write the versions installed in .venv to constraints.txt: ``make constraints``."""

from __future__ import annotations

import importlib.metadata

from fingerprint import ROOT, write_whole

HEADER = """\
# Every version that the book was built and tested with, written by `make constraints`.
# Holds for all extras of pyproject.toml. To renew: see "Renew the versions" in CONTRIBUTING.md.
"""
# The project itself, and packages that every environment has.
LEFT_OUT = {"dpofield", "pip", "setuptools", "wheel"}


def installed() -> list[str]:
    """Lines ``name==version`` for the installed packages, without build labels such as ``+cpu``.

    A label requires one build; a version without it allows every build.
    """
    versions = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"].lower().replace("_", "-")
        versions[name] = distribution.version.split("+")[0]
    return [f"{name}=={versions[name]}" for name in sorted(versions) if name not in LEFT_OUT]


if __name__ == "__main__":
    lines = installed()
    write_whole(ROOT / "constraints.txt", HEADER + "\n".join(lines) + "\n")
    print(f"constraints.txt: {len(lines)} versions")
