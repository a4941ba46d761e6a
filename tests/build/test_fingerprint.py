"""What a chapter's output depends on, and caches that are believed for one such state only."""

from __future__ import annotations

import importlib.metadata
import shutil
from pathlib import Path

import fingerprint as fp
import nbformat
import pytest
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn

PYPROJECT = '[project]\ndependencies = ["numpy>={}"]\n[project.optional-dependencies]\nbook = []\n'
FILES = {
    "pyproject.toml": PYPROJECT.format("2.0"),
    "constraints.txt": "numpy==2.0\n",
    "_config.yml": "title: T\n",
    "_toc.yml": "root: book/index\n",
    "src/dpofield/formula.py": "SIGN = 1\n",
    "src/dpofield/widgets/figure.js": "// figure\n",
    "results/sweep.json": "{}\n",
    "book/data.csv": "1\n",
    "book/page.md": "# Page\n",
    "book/references.bib": "@misc{a}\n",
    "book/assets/picture.svg": "<svg/>\n",
    "tools/ext/theme.py": "# theme\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The files of a small project."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [
        "constraints.txt",
        "src/dpofield/formula.py",
        "src/dpofield/widgets/figure.js",
        "results/sweep.json",
        "book/data.csv",
    ],
)
def test_what_outputs_depend_on(tree: Path, name: str) -> None:
    """Protects: each kind of source counts by content, and counts by name."""
    before = fp.execution_fingerprint(tree)
    (tree / name).write_text("other\n")
    edited = fp.execution_fingerprint(tree)
    (tree / name).rename((tree / name).with_name("renamed.txt"))
    renamed = fp.execution_fingerprint(tree)
    assert len({before, edited, renamed}) == 3


def test_declared_and_installed_versions_count(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects: another version of a dependency, asked for or really there, is another state."""
    before = fp.execution_fingerprint(tree)
    (tree / "pyproject.toml").write_text(PYPROJECT.format("2.1"))
    assert fp.execution_fingerprint(tree) != before
    (tree / "pyproject.toml").write_text(FILES["pyproject.toml"])
    assert fp.execution_fingerprint(tree) == before
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "99")
    assert fp.execution_fingerprint(tree) != before


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("book/page.md", "pages"),
        ("book/references.bib", "pages"),
        ("book/assets/picture.svg", "pages"),
        ("tools/ext/theme.py", "site"),
        ("_config.yml", "site"),
        ("_toc.yml", "site"),
    ],
)
def test_what_needs_no_execution(tree: Path, name: str, part: str) -> None:
    """Protects: an edit of text or tools makes the site old, and leaves the outputs alone."""
    before = fp.state(tree)
    (tree / name).write_text("other\n")
    after = fp.state(tree)
    assert {key for key in after if after[key] != before[key]} == {part}


def test_no_page_reads_what_is_written_about_the_site() -> None:
    """Protects: the one file under results/ that is not hashed is input to nothing."""
    for folder in ("book", "src"):
        for path in fp.files_under(fp.ROOT / folder):
            for name in fp.WRITTEN_ABOUT_THE_SITE:
                assert Path(name).name.encode() not in path.read_bytes(), path


def fill(cache: Path) -> Path:
    """Put one executed notebook into a jupyter-cache; returns its file."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", execution_count=1)])
    get_cache(cache).cache_notebook_bundle(CacheBundleIn(notebook, "page.md", data={}))
    return next(cache.rglob("base.ipynb"))


def records(cache: Path) -> int:
    """How many notebooks the cache believes to have."""
    return len(get_cache(cache).list_cache_records())


def test_a_cache_is_kept_for_its_own_fingerprint_only(tmp_path: Path) -> None:
    """Protects: the whole point."""
    assert fp.claim(tmp_path, "a")
    fill(tmp_path)
    assert not fp.claim(tmp_path, "a")
    assert records(tmp_path) == 1
    assert fp.claim(tmp_path, "b")
    assert records(tmp_path) == 0


def test_a_cache_of_unknown_origin_is_not_believed(tmp_path: Path) -> None:
    """Protects: a cache that was filled without this extension, or disowned by it."""
    fill(tmp_path)
    assert fp.claim(tmp_path, "a")
    fill(tmp_path)
    fp.disown(tmp_path)
    assert fp.claim(tmp_path, "a")
    assert records(tmp_path) == 0


def test_an_interrupted_claim_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects: whenever emptying stops half-way, going back to the old sources empties again."""
    fp.claim(tmp_path, "a")
    fill(tmp_path)

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(shutil, "rmtree", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fp.claim(tmp_path, "b")
    assert fp.claim(tmp_path, "a")
    assert records(tmp_path) == 0


@pytest.mark.parametrize("damage", ["missing", "torn", "no tables"])
def test_a_damaged_cache_is_emptied(tmp_path: Path, damage: str) -> None:
    """Protects: jupyter-cache records a notebook before it writes it, so a kill can tear it."""
    fp.claim(tmp_path, "a")
    notebook = fill(tmp_path)
    if damage == "missing":
        notebook.unlink()
    elif damage == "torn":
        notebook.write_text(notebook.read_text()[:20])
    else:
        (tmp_path / "global.db").write_bytes(b"")
    assert fp.claim(tmp_path, "a")
    fill(tmp_path)
    assert not fp.claim(tmp_path, "a")


def test_a_wrong_path_costs_nothing(tmp_path: Path) -> None:
    """Protects: emptying a folder that is no cache at all removes nobody's files."""
    (tmp_path / "thesis.md").write_text("years of work")
    (tmp_path / "src").mkdir()
    assert fp.claim(tmp_path, "a")
    assert (tmp_path / "thesis.md").read_text() == "years of work"
    assert (tmp_path / "src").is_dir()
