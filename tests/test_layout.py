"""Modules that belong to a chapter have the chapter's slug as their name, in every folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "dpofield"
CONTENTS = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
SLUGS = {Path(c["file"]).name for part in CONTENTS["parts"] for c in part["chapters"]}

ROOMS = {
    "formulas/theorems": set(),
    "figures": {"style", "field", "notes", "intervals", "cover"},
    "experiments/findings": set(),
    "ledger/pages": set(),
    "ledger/checks": set(),
}
"""Folder -> the modules in it that are shared by several chapters."""


@pytest.mark.parametrize("room", ROOMS)
def test_every_file_is_named_by_its_chapter(room):
    """Every file has a chapter's slug (in Python with underscores for hyphens), or is shared."""
    files = [p for p in (PACKAGE / room).iterdir() if p.suffix in {".py", ".yml"}]
    names = {p.stem.replace("_", "-") for p in files if not p.stem.startswith("_")}
    shared = ROOMS[room]
    assert names - shared <= SLUGS
    assert shared <= names, "remove deleted modules from ROOMS"
