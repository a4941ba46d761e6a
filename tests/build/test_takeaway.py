"""Notebooks that readers take away: any Jupyter shows their prose, and their code is the page's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import browser
import myst
import nbformat
import pages
import pytest
import takeaway
import yaml
from fingerprint import ROOT

from tests.jupyterlab import jupyterlab

BOOK = pages.Book()
CHAPTERS = sorted(BOOK.sources)
# What only Sphinx understands: roles, directives, options, targets, macros, definition lists.
RAW = [
    r"\{[\w:-]+\}`",
    r"^ *(?:> *)*`{3,}\{",
    r"^ *(?:> *)*:[a-z-]+:",
    r"^\(.*\)=$",
    r"^: ",
    r"\$\$ *\([\w-]+\)",
    *(re.escape(name) + r"(?![A-Za-z])" for name in BOOK.macros),
]


def prose(notebook: nbformat.NotebookNode) -> str:
    """All Markdown cells of a notebook, without code blocks."""
    text = "\n\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    return re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)


def downloaded(slug: str) -> nbformat.NotebookNode:
    """The file behind the download button of the built page."""
    return nbformat.read(browser.HTML / "_sources" / "book" / f"{slug}.ipynb", as_version=4)


def check(slug: str, notebook: nbformat.NotebookNode) -> None:
    """A valid notebook without raw MyST, whose code after the guard is that of the page."""
    nbformat.validate(notebook)
    text = prose(notebook)
    for pattern in RAW:
        found = re.search(pattern, text, re.M)
        assert not found, f"{pattern}: {text[max(0, found.start() - 60) : found.end() + 60]!r}"
    assert text.count("<details>") == text.count("</details>")
    code = [c.source for c in notebook.cells if c.cell_type == "code"]
    assert code[1:] == [c.source for c in BOOK.sources[slug].cells if c.cell_type == "code"]
    for link in re.findall(r"\]\(([\w-]+)\.ipynb\)", text):
        assert link in BOOK.sources


@pytest.mark.parametrize("slug", CHAPTERS)
def test_every_page_from_its_source(slug: str) -> None:
    """Protects: without the build too, nothing but names of values is left to replace."""
    check(slug, takeaway.notebook(BOOK, slug))


@pytest.mark.built
@pytest.mark.parametrize("slug", CHAPTERS)
def test_every_page_as_downloaded(slug: str) -> None:
    """Protects: numbers stand in the sentences; outputs are inside, and need no kernel."""
    notebook = downloaded(slug)
    check(slug, notebook)
    assert "‹" not in prose(notebook)
    shown = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    kinds = {kind for o in shown for kind in o.get("data", {})}
    assert not any("widget" in kind or "papermill" in kind for kind in kinds)
    assert (browser.HTML / "_sources" / "book" / f"{slug}.ipynb").stat().st_size < 2e6


@pytest.mark.built
def test_numbers_of_theorems_formulas_and_figures() -> None:
    """Protects: a notebook counts as Sphinx does, for every label of the book."""
    for name, label in BOOK.labels.items():
        page = (browser.HTML / "book" / f"{label.page}.html").read_text(encoding="utf-8")
        pattern = rf'id="{name}".*?"caption-number">(.*?) *</span>'
        if label.words.startswith("("):
            pattern = rf'id="equation-{name}".*?"Equation (.*?)"'
        found = re.search(pattern, page, re.S)
        if not name.startswith("a figure of"):
            assert found, f"{label.page}.html has no {name}"
            assert found[1] == label.words.strip("()"), name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("```{prf:theorem} A\n:label: theorem-1\nT\n```", "> **Theorem 4.1** (A)\n>\n> T"),
        ("{eq}`eq-dx2` and {prf:ref}`corollary-1`",
         "(4.3) and [Corollary 5.1](corollary-1.ipynb)"),
        ("{glue:text}`x:.2f` and {glue:text}`word`", "0.67 and 9e-16"),
        ("$$\na\\\\\nb\n$$ (eq-dx1)", r"$$a\\ b \tag{4.2}$$"),
        ("$\\pitheta(\\yw)$", r"${\pi_\theta}({y_w})$"),
        ("```{dropdown} A\n$1$\n```", "<details><summary>A</summary>\n\n$1$\n\n</details>"),
        ("rate\n: a *pace*", "- **rate**: a *pace*"),
        ("{doc}`coursework`",
         f"[Teaching with this book]({BOOK.repository}/blob/main/book/coursework.md)"),
        ("{cite:t}`Ren2025`", "[Ren and Sutherland (2025)](https://arxiv.org/abs/2407.10490)"),
    ],
)  # fmt: skip
def test_what_becomes_of_a_construct(text: str, expected: str) -> None:
    """Protects: each construct of MyST has a form that plain Markdown shows."""
    page = takeaway.Page(BOOK, "theorem-1", None)
    page.glued = {"x": {"text/plain": "0.6666"}, "word": {"text/plain": "'9e-16'"}}
    assert page.prose(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{abbr}`x`", "role abbr"),
        ("```{tab-set}\n```", "directive tab-set"),
        ("{doc}`nothing`", "nothing"),
        ("```{note}\nno end", "has no end"),
    ],
)
def test_an_unknown_construct_is_an_error(text: str, message: str) -> None:
    """Protects: what has no form stops the build with the page's name, and is not passed on."""
    book = pages.Book()
    book.sources["theorem-1"].cells[0].source = text
    with pytest.raises(ValueError, match=rf"book/theorem-1\.md: .*{message}"):
        takeaway.notebook(book, "theorem-1")


def test_a_value_that_no_cell_glues_is_an_error() -> None:
    """Protects: a notebook with outputs never has a hole in a sentence."""
    with pytest.raises(ValueError, match="no cell glues 'loss'"):
        takeaway.notebook(BOOK, "theorem-1", BOOK.sources["theorem-1"])


def test_parts_keep_every_line() -> None:
    """Protects: no text is lost between directives, in any chapter."""
    for slug in CHAPTERS:
        for cell in BOOK.sources[slug].cells:
            if cell.cell_type == "markdown":
                plain = [p for p in myst.parts(cell.source) if isinstance(p, str)]
                blocks = [p.body for p in myst.parts(cell.source) if not isinstance(p, str)]
                kept = "\n".join([*plain, *blocks]).split()
                assert not set(re.sub(r"(?m)^`{3,}.*|^:.*", "", cell.source).split()) - set(kept)


def test_without_the_package_the_first_cell_says_what_to_do(tmp_path: Path) -> None:
    """Protects: the guard names the missing module and a command that pip understands."""
    guard = takeaway.notebook(BOOK, "theorem-1").cells[1].source
    (tmp_path / "myst_nb.py").write_text("import a_module_that_is_not_there")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT / 'src'}"}
    done = subprocess.run(
        [sys.executable, "-c", guard], env=environment, text=True, capture_output=True
    )
    assert "a_module_that_is_not_there is missing" in done.stderr
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    (words,) = re.findall(r'%pip install "(.+)"', done.stderr)
    assert words == f"dpofield[notebook] @ git+{config['repository']['url']}@main"


def test_postbuild_makes_what_the_rocket_opens(tmp_path: Path) -> None:
    """Protects: the command of postBuild runs a chapter and fills in its numbers."""
    (line,) = re.findall(
        r"^python (tools/takeaway\.py .*)$", (ROOT / "postBuild").read_text(), re.M
    )
    assert line.split() == ["tools/takeaway.py", "--run", "notebooks"]
    command = [sys.executable, "tools/takeaway.py", "--run", tmp_path, "theorem-1"]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    notebook = nbformat.read(tmp_path / "theorem-1.ipynb", as_version=4)
    check("theorem-1", notebook)
    assert re.search(r"differ by \de-1\d of the value", prose(notebook))


@pytest.mark.built
def test_the_rocket_opens_these_notebooks() -> None:
    """Protects: launch button and postBuild agree on folder and name."""
    for slug in CHAPTERS:
        page = (browser.HTML / "book" / f"{slug}.html").read_text(encoding="utf-8")
        (address,) = re.findall(r"mybinder\.org[^\"]*urlpath=([^\"]*)", page)
        assert address == f"lab/tree/notebooks/{slug}.ipynb"


@pytest.mark.built
@pytest.mark.browser
def test_theorem_1_can_be_read_in_jupyterlab(chrome, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Protects: JupyterLab renders Theorem 1, the loss and both derivatives as formulas with their
    numbers, and folds solutions and auxiliary code."""
    with jupyterlab(tmp_path, downloaded("theorem-1")) as address:
        page = chrome.new_context(viewport={"width": 1280, "height": 12000}).new_page()
        page.goto(f"{address}/lab/tree/live.ipynb")
        theorem = page.locator("blockquote", has_text="Theorem 4.1")
        theorem.locator("mjx-container[display=true]").nth(1).wait_for(timeout=120_000)
        page.locator("mjx-container").nth(40).wait_for(state="attached", timeout=60_000)
        raw = "[...document.querySelectorAll('.jp-RenderedMarkdown')]"
        page.wait_for_function(f"() => !{raw}.some(x => /[$]/.test(x.innerText))")  # one by one
        cells = page.locator(".jp-RenderedMarkdown")
        text = "\n".join(cells.all_inner_texts())
        assert page.locator("mjx-merror, .jp-RenderedMarkdown [data-mml-node=merror]").count() == 0
        assert page.locator("[data-mjx-error]").count() == 0
        assert not re.search(r"\{[\w:-]+\}`|\\[a-zA-Z]+|\$", text), text
        assert re.search(r"differ by \de-1\d of the value", text)
        assert page.locator("details").count() >= 3
        assert page.locator("details[open]").count() == 0
        folded = page.locator(".jp-CodeCell", has_text="import mpmath")
        assert "import torch" not in folded.inner_text()  # the second line
