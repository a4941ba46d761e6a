"""The stand-alone page: one self-contained file, with the same state and loader as the book."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from dpofield.widgets.demo import DEMOS, LOADER, demo_page, write_demos


@pytest.mark.parametrize("name", DEMOS)
def test_one_file_with_everything_inside(name, tmp_path):
    """The file refers to no other file; its loader is the book's; its state is complete."""
    (path,) = [p for p in write_demos(tmp_path / "new" / "demos") if p.stem == name]
    page = path.read_text(encoding="utf-8")
    assert LOADER.read_text(encoding="utf-8") in page
    # the namespace of SVG is an address that is never loaded
    addresses = set(re.findall(r"https?://[^\s\"'<>\\]+", page)) - {"http://www.w3.org/2000/svg"}
    assert not addresses
    assert not re.search(r"(?:src|href)=\"(?!data:,)", page)
    scripts = re.findall(r'<script type="application/vnd[^"]*">(.*?)</script>', page, re.DOTALL)
    view, state = (json.loads(s) for s in scripts)
    figure = state["state"][view["model_id"]]["state"]
    assert figure["_esm"] == DEMOS[name]()._esm
    assert f"--wide:{figure['_height']}px;--narrow:{figure['_height_narrow']}px" in page


def test_without_a_checkout_it_says_so(tmp_path):
    """The error names the file and the remedy, and nothing is written."""
    out = tmp_path / "out"
    with pytest.raises(FileNotFoundError, match=r"loader\.js is not in .* name the file"):
        write_demos(out, loader=tmp_path / "loader.js")
    assert not out.exists()


def test_text_cannot_end_a_script(tmp_path):
    """A "</script>" in the loader stays inside its element."""
    loader = tmp_path / "loader.js"
    loader.write_text('const s = "</script><b>";', encoding="utf-8")
    page = demo_page("field-explorer", Path(loader))
    assert "</script><b>" not in page
