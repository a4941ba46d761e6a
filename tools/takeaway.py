"""Chapters as notebooks whose prose every Jupyter can show: ``python tools/takeaway.py FOLDER``.

The chapters are MyST Markdown. JupyterLab, Colab and VS Code know neither its directives and roles
nor the macros of the book, so this module writes them out: theorems with their numbers, glued
values, references as links. Code cells stay as they are. Needs the extra "notebook" only.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import nbformat
from fingerprint import ROOT, kernel_environment, write_whole
from myst import DISPLAY, ROLE, Directive, expand, parts
from nbclient import NotebookClient
from nbformat import NotebookNode
from pages import Book

# For these tags the page does not show the code, or the output.
NO_CODE = {"hide-input", "hide-cell", "remove-input", "remove-cell"}
NO_OUTPUT = {"hide-output", "hide-cell", "remove-output", "remove-cell"}
KEPT_TYPES = ("text/", "image/")
GUARD = """\
# Not in the page: says what to do if the notebook is opened where the package is missing.
try:
    import dpofield, myst_nb, pandas, pyarrow
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        f"{{missing.name}} is missing. Run this line in a cell, then restart the kernel:\\n"
        '%pip install "{package}"'
    ) from None"""


def notebook(book: Book, slug: str, executed: NotebookNode | None = None) -> NotebookNode:
    """The notebook of a page, with the outputs and the glued values of `executed`.

    Without `executed`, names stand for the values. Raises `ValueError` naming the page and the text
    that cannot be written out.
    """
    try:
        return Page(book, slug, executed).notebook()
    except (KeyError, ValueError) as error:
        raise ValueError(f"book/{slug}.md: {error}") from error


class Page:
    """One page on its way to a notebook."""

    def __init__(self, book: Book, slug: str, executed: NotebookNode | None) -> None:
        self.book, self.slug = book, slug
        self.cells = (executed or book.sources[slug]).cells
        self.executed = executed is not None
        self.glued = dict(_glued(self.cells))
        self.solution = ""  # the summary of the solution that is being read

    def notebook(self) -> NotebookNode:
        """The whole notebook."""
        cells = [nbformat.v4.new_markdown_cell(self.opening()),
                 nbformat.v4.new_code_cell(GUARD.format(package=self.book.package()))]  # fmt: skip
        for cell in self.cells:
            if cell.cell_type == "markdown":
                if text := self.prose(cell.source):
                    cells.append(nbformat.v4.new_markdown_cell(text))
                continue
            cells.append(self.code(cell))
            if figure := cell.metadata.get("mystnb", {}).get("figure"):
                number = self.book.labels[figure.get("name") or f"a figure of {self.slug}"].words
                caption = self.inline(" ".join(figure["caption"].split()))
                cells.append(nbformat.v4.new_markdown_cell(f"*{number}.* {caption}"))
        for place, cell in enumerate(cells):
            cell.id = f"{self.slug}-{place}"
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        book = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
        nbformat.validate(book)
        return book

    def opening(self) -> str:
        """Where the notebook comes from, and how to run it."""
        book, number = self.book, self.book.numbers.get(self.slug)
        page = f"chapter {number}" if number else f"the page “{book.titles[self.slug]}”"
        lacking = "" if self.executed else (
            " Its cells were not run when this file was written, so ‹names› stand for the numbers "
            "that they compute."
        )  # fmt: skip
        return (
            f"> This notebook is {page} of [{book.title}]({book.base or book.repository}), version "
            f"{book.version}. Its cells need Python 3.11 or newer and the package of the book: "
            f'`pip install "{book.package()}"`, or `pip install -e ".[notebook]"` in a clone. '
            "Solutions and auxiliary code are folded. JupyterLab shows the figures after a run, or "
            f"if you trust the notebook.{lacking}"
        )

    def code(self, cell: NotebookNode) -> NotebookNode:
        """A code cell with the same source; what the page hides is folded."""
        tags = set(cell.metadata.get("tags", []))
        made = nbformat.v4.new_code_cell(cell.source)
        if tags & NO_CODE or self.solution:
            made.metadata.update(jupyter={"source_hidden": True}, cellView="form")
        if tags & NO_OUTPUT or self.solution:
            made.metadata.setdefault("jupyter", {})["outputs_hidden"] = True
        if not tags & {"remove-output", "remove-cell"}:
            made.outputs = [x for output in cell.outputs for x in _portable(output)]
            made.execution_count = cell.execution_count if made.outputs else None
        return made

    def prose(self, text: str) -> str:
        """A Markdown cell, written out; text of a solution is folded."""
        done, held = list[str](), list[str]()

        def close() -> None:
            body = "\n".join(held).strip()
            held.clear()
            if body and self.solution:
                done.append(details(self.solution, body))
                self.solution = f"{self.solution.removesuffix(' (continued)')} (continued)"
            elif body:
                done.append(body)

        for part in parts(text):
            if isinstance(part, Directive) and part.name.startswith("solution-"):
                close()
                self.solution = ""
                if part.name == "solution-start":
                    self.solution = f"Solution to {self.book.labels[part.argument].words}"
            else:
                held.append(self.block(part))
        if self.solution and not "".join(held).strip() and "continued" not in self.solution:
            held.append("The cells below are the solution.")
        close()
        return "\n\n".join(done)

    def block(self, part: str | Directive) -> str:
        """A text, or a directive that is not a solution."""
        if isinstance(part, str):
            return self.text(part)
        name, title = part.name, self.inline(part.argument)
        words = ""
        if label := part.options.get("label"):
            words = self.book.labels[label].words
        if name in ("", "code-block"):
            return f"```{part.argument}\n{part.body}\n```"
        if name == "math":
            return self.display(part.body, words)
        if name == "glue:math":
            return self.display(self.formula(part.argument), words)
        if name in ("exercise-start", "exercise-end"):
            return f"**{words}** ({title})\n" if words else ""
        if name == "bibliography":
            cited = self.book.references.values()
            return "\n".join(f"- {entry['whole']}" for entry in cited)
        body = "\n".join(self.block(inner) for inner in parts(part.body)).strip()
        if name == "dropdown" or part.options.get("class") == "dropdown":
            return details(part.argument, body)
        if name == "admonition":
            return quote(f"**{title}**", body)
        if name == "exercise" or name.startswith("prf:"):
            if not words:
                raise ValueError(f"give a label to the {name} “{title}”")
            return quote(f"**{words}**" + (f" ({title})" if title else ""), body)
        raise ValueError(f"no form in a notebook is known for the directive {name}")

    def text(self, text: str) -> str:
        """Prose without directives."""
        text = DISPLAY.sub(
            lambda m: self.display(m[1], self.book.labels[m[2]].words if m[2] else ""), text
        )
        text = re.sub(r"^(\S.*)\n: +", r"- **\1**: ", text, flags=re.M)  # definition lists
        return self.inline(text)

    def inline(self, text: str) -> str:
        """Roles and macros of a text, written out."""
        return expand(ROLE.sub(self.role, text), self.book.macros)

    def role(self, found: re.Match[str]) -> str:
        """One role as plain Markdown."""
        name, target = found[1], found[2]
        if name == "glue:text":
            return self.value(target)
        if name == "doc":
            return self.book.link(target, self.book.titles[target])
        if name in ("eq", "numref", "prf:ref", "ref"):
            label = self.book.labels[target]
            return label.words if label.page == self.slug else self.book.link(*label)
        if name in ("cite:t", "cite:p"):
            entry = self.book.references[target]
            words = "{} ({})" if name == "cite:t" else "({}, {})"
            return f"[{words.format(entry['names'], entry['year'])}]({entry['address']})"
        raise ValueError(f"no form in a notebook is known for the role {name}")

    def value(self, target: str) -> str:
        """A glued value as the page prints it; `target` may end in a format, as in `gap:.2f`."""
        key, _, form = target.partition(":")
        if key not in self.glued:
            return self._missing(key)
        text = str(self.glued[key]["text/plain"])
        try:
            value = ast.literal_eval(text)
        except (SyntaxError, ValueError):
            return text
        return f"{value:{form}}"

    def formula(self, key: str) -> str:
        """A glued formula without its delimiters."""
        if key not in self.glued:
            return rf"\text{{{self._missing(key).replace('_', ' ')}}}"
        return (
            str(self.glued[key]["text/latex"]).strip().strip("$").replace(r"\displaystyle", "", 1)
        )

    def _missing(self, key: str) -> str:
        if self.executed:
            raise ValueError(f"no cell glues {key!r}")
        return f"‹{key}›"

    def display(self, tex: str, number: str) -> str:
        """A displayed formula on one line, which also holds in a quotation."""
        tag = rf" \tag{{{number.strip('()')}}}" if number else ""
        return f"$${expand(' '.join(tex.split()), self.book.macros)}{tag}$$"


def quote(title: str, body: str) -> str:
    """A block of its own.

    >>> quote("**T**", "a")
    '> **T**\\n>\\n> a\\n'
    """
    return "\n".join(f"> {line}".rstrip() for line in f"{title}\n\n{body}".split("\n")) + "\n"


def details(summary: str, body: str) -> str:
    """A block that is folded at first."""
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>\n"


def _glued(cells: Iterable[NotebookNode]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Names and values that MyST-NB's `glue` stored in the outputs."""
    for cell in cells:
        for output in cell.get("outputs", []):
            scrap = output.get("metadata", {}).get("scrapbook")
            if scrap:
                prefix = scrap["mime_prefix"]
                yield scrap["name"], {k.removeprefix(prefix): v for k, v in output.data.items()}


def _portable(output: NotebookNode) -> Iterable[NotebookNode]:
    """The output, if it shows without a kernel: no widgets, no glued values, no warnings."""
    if output.output_type == "stream":
        if output.name == "stdout":
            yield output
    elif "data" in output and "scrapbook" not in output.metadata:
        kept = {kind: data for kind, data in output.data.items() if kind.startswith(KEPT_TYPES)}
        widget = any("widget" in kind for kind in output.data)
        if kept and not widget:
            yield NotebookNode({**output, "data": NotebookNode(kept)})


def run(cells: NotebookNode, folder: Path) -> str:
    """Run the cells in a kernel in `folder`; return why that failed, else an empty text."""
    try:
        NotebookClient(cells, timeout=300, resources={"metadata": {"path": folder}}).execute()
    except Exception as error:  # the other chapters, and this one without numbers, still follow
        return (str(error).strip() or repr(error)).splitlines()[-1]
    return ""


def main() -> None:
    """Write the notebooks of all pages, or of the named ones, into a folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("pages", nargs="*", help="slugs of pages; all pages if there are none")
    parser.add_argument("--run", action="store_true", help="run the cells, for numbers and outputs")
    options = parser.parse_args()
    os.environ.update(kernel_environment())
    book = Book()
    for slug in options.pages or book.sources:
        executed, failure = None, ""
        if options.run:
            executed = book.sources[slug]
            failure = run(executed, ROOT / "book")
            executed = None if failure else executed
        target = options.folder / f"{slug}.ipynb"
        write_whole(target, nbformat.writes(notebook(book, slug, executed)) + "\n")
        print(f"{target}" + (f" without numbers: {failure}" if failure else ""), flush=True)


if __name__ == "__main__":
    main()
