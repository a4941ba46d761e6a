"""The student notebook, made from a master by nbgrader: the same bytes every time."""

from __future__ import annotations

import copy
import json
import logging
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat

from coursework.master import HIDDEN, ROOT, Assignment, MasterError, Reading, Task

HANDOUTS = ROOT / "book" / "assignments"
OVERVIEW = HANDOUTS / "overview.md"  # included in the guide; not a page itself
KERNEL = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
MARKERS = re.compile(r"(BEGIN|END) (SOLUTION|HIDDEN TESTS|MARK SCHEME)|\{\{")


def with_grading_cells(assignment: Assignment) -> nbformat.NotebookNode:
    """The master as an nbgrader notebook. All metadata keys are set, since nbgrader needs them."""
    notebook = copy.deepcopy(assignment.notebook)
    points = {f"checks-{task.name}": task.points for task in assignment.tasks}
    points |= {reading.name: reading.points for reading in assignment.readings}
    for number, cell in enumerate(notebook.cells):
        (tag,) = cell.metadata.pop("tags", None) or [""]
        cell.metadata = nbformat.NotebookNode()
        cell["id"] = tag or f"text-{number:02}"
        if tag:
            role = tag.partition("-")[0]
            cell.metadata["nbgrader"] = {
                "grade": role in ("checks", "words", "open"),
                "grade_id": tag,
                "locked": role in ("setup", "checks"),
                "schema_version": 3,
                "solution": role in ("answer", "words", "open"),
                "task": False,
                **({"points": points[tag]} if tag in points else {}),
            }
        if cell.cell_type == "code":
            cell["execution_count"], cell["outputs"] = None, []
    notebook.metadata = nbformat.NotebookNode(
        **KERNEL, coursework={"assignment": assignment.name, "variant": assignment.variant}
    )
    notebook["nbformat"], notebook["nbformat_minor"] = 4, 5
    return notebook


def make(assignment: Assignment) -> nbformat.NotebookNode:
    """The student's version. Raises MasterError if a marker is left in it.

    nbgrader removes hidden tests and solutions, including mark schemes, locks the cells that
    students must not edit, and writes the checksums by which it recognises these cells later.
    """
    notebook = with_grading_cells(assignment)
    resources: dict[str, Any] = {}
    for preprocessor in _preprocessors():
        preprocessor.log.setLevel(logging.ERROR)
        try:
            notebook, resources = preprocessor.preprocess(notebook, resources)
        except RuntimeError as error:  # a marker without its partner
            raise MasterError(
                f"{assignment.name}: a marker is left in a cell without its partner ({error}); "
                "write both markers into the same cell"
            ) from error
    for cell in notebook.cells:
        found = MARKERS.search(cell.source)
        if found:
            raise MasterError(
                f"{assignment.name}: '{found[0]}' is left in cell {cell['id']} of the student's "
                "version; write each marker on its own line: '### BEGIN SOLUTION'"
            )
    return notebook


def _preprocessors() -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nbgrader's import warns about its dependencies
        from nbgrader import preprocessors as p
    names = (p.ClearSolutions, p.LockCells, p.ClearOutput, p.ClearHiddenTests, p.ComputeChecksums)
    return [one() for one in (*names, p.CheckCellMetadata)]


def text_of(notebook: nbformat.NotebookNode) -> str:
    """A notebook as the text of its file."""
    nbformat.validate(notebook)
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def write(assignment: Assignment, folder: Path = HANDOUTS) -> tuple[Path, bool]:
    """Write the student notebook; return its path and whether it changed."""
    path = folder / f"{assignment.name}.ipynb"
    return path, write_if_new(path, text_of(make(assignment)))


def write_if_new(path: Path, text: str) -> bool:
    """Write a file unless it has this content already; return whether it was written."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return True


def write_course(assignment: Assignment, course: Path) -> list[Path]:
    """Write ``source/`` and ``release/`` of an nbgrader course; return their paths.

    The source keeps the solutions, for nbgrader's formgrader. It has no hidden tests: nbgrader
    would run them in the student's own process, where a submission can change their results.
    """
    source = with_grading_cells(assignment)
    for cell in source.cells:
        cell.source = HIDDEN.sub("", cell.source).rstrip("\n")
    written = []
    for stage, notebook in (("source", source), ("release", make(assignment))):
        path = course / stage / assignment.name / f"{assignment.name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_of(notebook), encoding="utf-8")
        written.append(path)
    return written


def overview(assignments: Sequence[Assignment]) -> str:
    """The instructor's table of assignments and tasks, as Markdown for the guide to include."""
    lines = ["| assignment | task | points | minutes | difficulty |", "|---|---|---|---|---|"]
    for assignment in assignments:
        first = f"[{assignment.title}](assignments/{assignment.name}.ipynb)"
        parts: list[Task | Reading] = [*assignment.tasks, *assignment.readings]
        for part in parts:
            read = ", read by a person" if isinstance(part, Reading) else ""
            facts = f"{part.points} | {part.minutes} | {part.level}"
            lines.append(f"| {first} | {part.title}{read} | {facts} |")
            first = ""
    return "\n".join(lines) + "\n"
