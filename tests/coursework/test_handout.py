"""Student notebooks have no secrets in them, and are the same bytes every time."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import sys
import tarfile
from functools import cache
from pathlib import Path

import nbformat
import pytest
import yaml

from coursework import handout, master
from coursework.master import HIDDEN, ROOT, MasterError
from tests.coursework import cases

MARKER = re.compile(r"(BEGIN|END) (SOLUTION|HIDDEN|MARK)|MARK SCHEME|@hidden\(")
LONG = 32  # characters; shorter lines may be in a chapter by chance
SOLUTION = re.compile(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", re.S)


@cache
def secrets(name: str, variant: int = 0) -> frozenset[str]:
    """Lines of an assignment's solutions and hidden tests that its handout does not have."""
    about = cases.assignment(name, variant)
    lines = set()
    for cell in about.notebook.cells:
        for block in (*SOLUTION.findall(cell.source), *HIDDEN.findall(cell.source)):
            lines |= {line.strip() for line in block.split("\n")}
    public = handout.text_of(handout.make(about))
    return frozenset(
        line for line in lines if len(line) >= LONG and json.dumps(line)[1:-1] not in public
    )


def leaks(text: str, *, variants: range = range(2)) -> list[str]:
    """Markers and secret lines in a text."""
    known = [line for name in cases.NAMES for v in variants for line in secrets(name, v)]
    return [found[0] for found in MARKER.finditer(text)] + [line for line in known if line in text]


@pytest.mark.parametrize("name", cases.NAMES)
def test_there_is_something_to_keep_secret(name: str) -> None:
    """Protects: the canary tests below look for lines that exist."""
    about = cases.assignment(name)
    assert len(secrets(name)) > 3 * len(about.tasks)
    assert len(leaks(handout.text_of(cases.reference(about)))) > 10


@pytest.mark.parametrize("name", cases.NAMES)
def test_handout_is_made_anew_byte_for_byte(name: str) -> None:
    """Protects: the committed notebook is the one that the master gives on every machine."""
    text = handout.text_of(handout.make(master.load(name)))
    assert text == handout.text_of(handout.make(master.load(name)))
    committed = handout.HANDOUTS / f"{name}.ipynb"
    assert committed.read_text(encoding="utf-8") == text, "run: python -m coursework build"


def test_guide_lists_what_there_is() -> None:
    """Protects: the table of the instructor's guide is up to date, and no other file is there."""
    everything = [cases.assignment(name) for name in cases.NAMES]
    assert handout.OVERVIEW.read_text(encoding="utf-8") == handout.overview(everything)
    expected = {f"{name}.ipynb" for name in cases.NAMES} | {handout.OVERVIEW.name}
    assert {path.name for path in handout.HANDOUTS.iterdir() if path.name[0] != "."} == expected


def test_every_handout_is_a_page() -> None:
    """Protects: an assignment that has a master is in the table of contents."""
    parts = yaml.safe_load((ROOT / "_toc.yml").read_text())["parts"]
    files = [chapter["file"] for part in parts for chapter in part["chapters"]]
    assert [f for f in files if f.startswith("book/assignments/")] == [
        f"book/assignments/{name}" for name in cases.NAMES
    ]


@pytest.mark.parametrize("variant", range(4))
@pytest.mark.parametrize("name", cases.NAMES)
def test_handout_holds_no_secret(name: str, variant: int) -> None:
    """Protects: no solution, hidden test or marker is in what students get, in any variant."""
    notebook = handout.make(cases.assignment(name, variant))
    for cell in notebook.cells:
        assert not leaks(cell.source, variants=range(4)), cell["id"]
        assert not cell.get("outputs")


@pytest.mark.parametrize("name", cases.NAMES)
def test_handout_says_what_a_student_needs(name: str) -> None:
    """Protects: a handout has goals, chapters, points, time, tolerance, question, open task."""
    about = cases.assignment(name)
    text = "\n".join(cell.source for cell in handout.make(about).cells)
    for words in ("**You will be able to**", "**Read first:**", "**How it is graded.**"):
        assert words in text
    assert "relative error of" in text
    assert text.count(" minutes · ") == len(about.tasks) + len(about.readings)
    assert text.count("# YOUR CODE HERE") == len(about.tasks)
    assert any(r.name.startswith("words-") for r in about.readings)
    assert any(r.name.startswith("open-") for r in about.readings)
    assert all(r.rubric.count("- 1 point") == r.points for r in about.readings)
    for target in re.findall(r"\]\(\.\./([\w-]+\.md)\)", text):
        assert (ROOT / "book" / target).is_file()


@pytest.mark.parametrize("name", cases.NAMES)
def test_public_checks_pass_with_the_reference_and_not_without(name: str) -> None:
    """Protects: public checks pass with right answers, and fail without answers."""
    about = cases.assignment(name)
    solved = [c.source for c in handout.make(about).cells]
    for place, cell in enumerate(cases.reference(about).cells):
        if cell["id"].startswith("answer-"):
            solved[place] = cell.source
    code = [s for s, c in zip(solved, about.notebook.cells, strict=True) if c.cell_type == "code"]
    assert run("\n\n".join(code)) == ""
    unsolved = [c.source for c in handout.make(about).cells if c.cell_type == "code"]
    assert "NotImplementedError" in run("\n\n".join(unsolved))


def run(code: str) -> str:
    """Run a program as a student would; return its error output."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.stderr


def test_variants_differ_in_every_task() -> None:
    """Protects: the answers to every task differ between variants."""
    for name in cases.NAMES:
        for variant in range(3):
            one, other = cases.assignment(name, variant), cases.assignment(name, variant + 1)
            for task in one.tasks:
                sources = [a.cell("answer", task.name).source for a in (one, other)]
                assert sources[0] != sources[1], (name, variant, task.name)


def test_nbgrader_takes_the_notebooks(tmp_path: Path) -> None:
    """Protects: a course that uses nbgrader can release them: metadata, locks, checksums."""
    from nbgrader.preprocessors import CheckCellMetadata
    from nbgrader.utils import compute_checksum

    for name in cases.NAMES:
        source, release = handout.write_course(cases.assignment(name), tmp_path)
        for path in (source, release):
            CheckCellMetadata().preprocess(nbformat.read(path, as_version=4), {})
        text = release.read_text(encoding="utf-8")
        assert not leaks(text)
        assert "HIDDEN TESTS" not in source.read_text(encoding="utf-8")
        for cell in nbformat.reads(text, as_version=4).cells:
            about = cell.metadata.get("nbgrader")
            if about and about["locked"]:
                assert about["checksum"] == compute_checksum(cell)
                assert cell.metadata.editable is False


def test_source_package_has_no_coursework(tmp_path: Path) -> None:
    """Protects: the source package contains neither masters nor the grader."""
    tree = tmp_path / "tree"
    for name in ("src", "coursework", "tests"):
        junk = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, tree / name, ignore=junk)
    for name in ("pyproject.toml", "README.md", "LICENSE", "LICENSE-TEXT"):
        shutil.copy(ROOT / name, tree / name)
    build = "from setuptools import build_meta; build_meta.build_sdist('out')"
    subprocess.run([sys.executable, "-c", build], cwd=tree, check=True, capture_output=True)
    (package,) = (tree / "out").glob("*.tar.gz")
    with tarfile.open(package) as archive:
        for member in archive.getmembers():
            assert "coursework" not in member.name
            file = archive.extractfile(member)
            text = file.read().decode("utf-8", "replace") if file else ""
            assert not leaks(text), member.name


@pytest.mark.built
def test_site_holds_no_secret() -> None:
    """Protects: no solution, hidden test or marker is in a page, its source, or a search index."""
    site = ROOT / "_build" / "html"
    pages = [p for p in site.rglob("*") if p.suffix in (".html", ".ipynb", ".md", ".js", ".txt")]
    assert any(p.stem == cases.NAMES[0] for p in pages)
    for path in pages:
        text = path.read_text(encoding="utf-8", errors="replace")
        if path.suffix == ".html":
            text = html.unescape(re.sub(r"<[^>]*>", "", text))
        assert not leaks(text), path


BROKEN = {
    "no block": ("---\na: 1\n---\n", "'coursework'"),
    "no cell": ("---\ncoursework: {title: T, tasks: {a: {}}, readings: {}}\n---\n", "answer-a"),
    "two tags": (
        "---\ncoursework: {title: T, tasks: {}, readings: {}}\n---\n"
        "```{code-cell}\n:tags: [setup, answer-a]\n1\n```\n",
        "may have one of",
    ),
    "unknown parameter": (
        "---\ncoursework: {title: T, tasks: {}, readings: {}}\n---\n\n{{nothing}}\n",
        "{{nothing}} is no parameter",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_mistakes_in_a_master_name_place_and_remedy(kind: str) -> None:
    """Protects: an error in a master names the master and the mistake."""
    text, words = BROKEN[kind]
    with pytest.raises(MasterError, match=re.escape(words)) as caught:
        master.parse(text, "09-demo", 0)
    assert "09-demo" in str(caught.value)


def test_unknown_names_and_variants() -> None:
    """Protects: a mistyped name or variant gives a one-sentence error."""
    with pytest.raises(MasterError, match="there are 01-"):
        master.load("nothing")
    with pytest.raises(MasterError, match="numbered from 0"):
        master.load(cases.NAMES[0], -1)


@pytest.mark.parametrize(
    ("marker", "words"),
    [("### END MARK SCHEME", "is left in cell"), ("### BEGIN HIDDEN TESTS", "is left in a cell")],
)
def test_a_marker_that_is_left_over_is_noticed(marker: str, words: str) -> None:
    """Protects: a marker without its partner, which nbgrader leaves in, never reaches a student."""
    about = cases.assignment(cases.NAMES[0])
    text = master.masters()[about.name].read_text(encoding="utf-8")
    text = text.replace("## Task 1.", f"{marker}\n\n## Task 1.", 1)
    with pytest.raises(MasterError, match=words):
        handout.make(master.parse(text, about.name, 0))


def test_binder_installs_no_grader() -> None:
    """Protects: nbgrader, which brings server extensions, stays out of the readers' environment."""
    assert "nbgrader" not in (ROOT / "environment.yml").read_text()
    assert "nbgrader" not in (ROOT / "postBuild").read_text()
