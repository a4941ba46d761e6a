"""The execution cache: only complete records with the right fingerprint are found."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from chapters import Cache, Chapter


def chapter(code: str = "1") -> Chapter:
    """A chapter of one cell, executed."""
    cells = [nbformat.v4.new_code_cell(code, execution_count=1)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    return Chapter("page", Path("page.md"), notebook, {"execution_seconds": 2.0})


def keep(folder: Path, code: str, fingerprint: str) -> Path:
    """Fill the cache in ``folder`` with one chapter; returns the file of its outputs."""
    cache = Cache(folder)
    cache.keep(chapter(code))
    cache.mark(chapter(code), fingerprint)
    return max(folder.rglob("base.ipynb"), key=lambda path: path.stat().st_mtime_ns)


def test_a_record_is_found_under_its_own_fingerprint_only(tmp_path: Path) -> None:
    """Protects: a stale record is removed, so that Jupyter Book cannot find it."""
    keep(tmp_path, "1", "a")
    found = chapter()
    assert Cache(tmp_path).find(found, "a")
    assert found.data == {"execution_seconds": 2.0}
    assert not Cache(tmp_path).find(chapter(), "b")
    assert not Cache(tmp_path).find(chapter(), "a")
    assert Cache(tmp_path).store.list_cache_records() == []


def test_the_records_of_others_stay(tmp_path: Path) -> None:
    """Protects: removing a stale record keeps the others, so undoing an edit needs no execution."""
    keep(tmp_path, "1", "a")
    keep(tmp_path, "2", "a")
    assert not Cache(tmp_path).find(chapter("2"), "b")
    assert Cache(tmp_path).find(chapter("1"), "a")


@pytest.mark.parametrize("damage", ["unmarked", "half written", "gone", "no tables"])
def test_what_is_not_whole_is_not_found(tmp_path: Path, damage: str) -> None:
    """Protects: incomplete records, which jupyter-cache leaves if it is killed before the outputs.

    Records from a build without this project's extension have no mark either.
    """
    outputs = keep(tmp_path, "1", "a")
    mark = outputs.with_name("FINGERPRINT")
    if damage == "no tables":
        (tmp_path / "global.db").write_bytes(b"")
    else:
        mark.unlink()
    if damage == "half written":
        outputs.write_text(outputs.read_text()[:20])
    if damage == "gone":
        outputs.unlink()
        outputs.parent.rmdir()
    assert not Cache(tmp_path).find(chapter(), "a")
    keep(tmp_path, "1", "a")
    assert Cache(tmp_path).find(chapter(), "a")


def test_executed_again_is_unmarked(tmp_path: Path) -> None:
    """Protects: outputs that replace others do not inherit their fingerprint."""
    keep(tmp_path, "1", "a")
    Cache(tmp_path).keep(chapter())
    assert not Cache(tmp_path).find(chapter(), "a")


def test_clearing_a_wrong_path_costs_nothing(tmp_path: Path) -> None:
    """Protects: clearing a folder that is not a cache removes no other files."""
    (tmp_path / "thesis.md").write_text("years of work")
    (tmp_path / "src").mkdir()
    Cache(tmp_path).clear()
    assert (tmp_path / "thesis.md").read_text() == "years of work"
    assert (tmp_path / "src").is_dir()
