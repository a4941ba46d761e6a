"""All pages of the book for tools without Sphinx: titles, and the numbers that Sphinx prints."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import yaml
from fingerprint import ROOT
from myst import DISPLAY, parts
from myst_nb.core.read import is_myst_markdown_notebook, myst_nb_reader_plugin
from nbformat import NotebookNode


class Label(NamedTuple):
    """What a reference can name: the page, and the words that a page prints for it."""

    page: str
    words: str


class Book:
    """All pages: their sources, titles, numbers and labels."""

    def __init__(self, root: Path = ROOT) -> None:
        config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
        contents = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
        self.title, settings = config["title"], config["sphinx"]["config"]
        self.macros: dict[str, str] = settings.get("math_macros", {})
        self.base: str = settings.get("html_baseurl", "")
        self.repository, self.branch = (config["repository"][k] for k in ("url", "branch"))
        project = (root / "pyproject.toml").read_text(encoding="utf-8")
        (self.version,) = re.findall(r'^version = "(.+)"', project, re.M)
        self.references = _references(root / "book" / "references.bib")
        self.sources = dict[str, NotebookNode]()  # of the pages with code
        self.titles, self.labels = dict[str, str](), dict[str, Label]()
        self.numbers = dict[str, int]()
        chapters = [(contents["root"], False)]
        for part in contents.get("parts", []):  # a table of contents may have one page only
            chapters += [(c["file"], part.get("numbered", False)) for c in part["chapters"]]
        for file, numbered in chapters:
            path = root / f"{file}.md"
            if not path.is_file():
                continue  # an assignment is a notebook already
            slug, text = path.stem, path.read_text(encoding="utf-8")
            if numbered:
                self.numbers[slug] = len(self.numbers) + 1
            (self.titles[slug], *_) = re.findall(r"^# (.+)$", text, re.M)
            if is_myst_markdown_notebook(text):
                self.sources[slug] = myst_nb_reader_plugin(str(path))
                self._find_labels(slug)

    def _find_labels(self, slug: str) -> None:
        counts, chapter = Counter[str](), self.numbers.get(slug)

        def note(kind: str, label: str | None, form: str = "{} {}") -> None:
            counts[kind] += 1
            number = f"{chapter}.{counts[kind]}" if chapter else str(counts[kind])
            if label:
                self.labels[label] = Label(slug, form.format(kind, number))

        def read(text: str) -> None:
            for part in parts(text):
                if isinstance(part, str):
                    for found in DISPLAY.finditer(part):
                        if found[2]:
                            note("", found[2], "{}({})")
                    continue
                label = part.options.get("label")
                if part.name in ("math", "glue:math") and label:
                    note("", label, "{}({})")
                elif part.name.startswith("prf:"):
                    note(part.name.removeprefix("prf:").capitalize(), label)
                    read(part.body)
                elif part.name in ("exercise", "exercise-start"):
                    note("Exercise", label)
                elif part.name in ("admonition", "dropdown"):
                    read(part.body)

        for cell in self.sources[slug].cells:
            if cell.cell_type == "markdown":
                read(cell.source)
            elif figure := cell.metadata.get("mystnb", {}).get("figure"):
                note("Fig.", figure.get("name") or f"a figure of {slug}")

    def link(self, slug: str, words: str) -> str:
        """A link to a page: on the web if its address is known, else to the notebook beside."""
        if slug not in self.sources:
            return f"[{words}]({self.repository}/blob/{self.branch}/book/{slug}.md)"
        return f"[{words}]({f'{self.base}book/{slug}.html' if self.base else f'{slug}.ipynb'})"

    def package(self) -> str:
        """The words for pip that install the package with what notebooks need."""
        return f"dpofield[notebook] @ git+{self.repository}@{self.branch}"


def _references(path: Path) -> dict[str, dict[str, str]]:
    """Key of each entry -> its names, year and address, and the whole entry as Markdown."""
    entries = {}
    for found in re.finditer(r"^@\w+\{(\w+),\n(.*?)^\}", path.read_text("utf-8"), re.M | re.S):
        value = dict(re.findall(r"^ *(\w+) *= *\{(.*)\},?$", found[2], re.M))
        value = {name: re.sub(r"[{}]", "", text) for name, text in value.items()}
        people = [name.split(", ")[::-1] for name in value["author"].split(" and ")]
        last = [person[-1] for person in people]
        names = " and ".join(last) if len(last) < 3 else f"{last[0]} et al."
        address = f"https://arxiv.org/abs/{value['eprint']}" if "eprint" in value else (
            value.get("url") or f"https://doi.org/{value['doi']}" if "doi" in value else ""
        )  # fmt: skip
        everyone = ", ".join(" ".join(person) for person in people)
        whole = f"{everyone} ({value['year']}). *{value['title']}*. {address}"
        entries[found[1]] = {"names": names, "year": value["year"], "whole": whole,
                             "address": address or "conventions.ipynb"}  # fmt: skip
    return entries
