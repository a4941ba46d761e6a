"""A submission: the notebook that a student handed in, read without trust in its content."""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import dataclass, field
from typing import Any

from coursework.collect import Found, NotGradedError, find, metadata, read_notebook
from coursework.master import Assignment
from coursework.names import printable
from coursework.session import Cell

__all__ = ["Found", "NotGradedError", "Submission", "find", "read_notebook", "understand"]
SOLUTION = re.compile(r"^### BEGIN SOLUTION\n.*?^### END SOLUTION$", re.M | re.S)


@dataclass(frozen=True)
class Submission:
    """The parts of a notebook that are graded.

    `cells` run in this order. `answers` are the texts that a person reads, by question. `problems`
    has the reason, by task, if an answer cannot be graded. `doubts` has a reason, by task, why an
    answer that turns out wrong may be right: a person has to look. `notes` are for the instructor.
    `python` is the version of the notebook's Python if the grader's is older.
    """

    cells: list[Cell]
    answers: dict[str, str]
    problems: dict[str, str] = field(default_factory=dict)
    doubts: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    python: str = ""


@dataclass(frozen=True)
class _Read:
    """A cell of the notebook; `mark` is its id from nbgrader, `place` its name for a message."""

    place: str
    mark: str
    kind: str
    text: str
    id: str


def _text(cell: dict[str, Any]) -> str:
    source = cell.get("source") or ""
    text = "".join(map(str, source)) if isinstance(source, list) else str(source)
    # Half of an emoji has no UTF-8: two halves become one character, a lone one becomes U+FFFD.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _cells(notebook: dict[str, Any]) -> list[_Read]:
    found = []
    for number, cell in enumerate(notebook["cells"], 1):
        mark = str(metadata(cell, "nbgrader").get("grade_id") or "")
        name = printable(mark)[:40]
        kind = str(cell.get("cell_type"))[:9]
        found.append(_Read(name or f"cell {number}", mark, kind, _text(cell), str(cell.get("id"))))
    return found


def understand(notebook: dict[str, Any], assignment: Assignment) -> Submission:
    """Sort the cells of a notebook: those to run, those for a person to read, those missing.

    A cell is identified by the id that nbgrader wrote into its metadata, never by its position. The
    setup cell comes from the master; an edited one runs before it. The handout's checks are never
    run. All other code cells run in their order. Raises NotGradedError if no cell of the assignment
    is in the notebook.
    """
    cells = _cells(notebook)
    answers = {f"answer-{task.name}": task.name for task in assignment.tasks}
    questions = {reading.name for reading in assignment.readings}
    ours = answers.keys() | questions | {f"checks-{name}" for name in answers.values()} | {"setup"}
    # A person reads these, so a cell that has only its own id left is good enough.
    texts = {
        question: [c.text for c in cells if question in (c.mark, c.mark or c.id)]
        for question in sorted(questions)
    }
    if not any(texts.values()) and not any(cell.mark in answers for cell in cells):
        lost = any(cell.id in answers for cell in cells)
        raise NotGradedError(
            f"no cell of {assignment.name} is in it"
            + (" with the metadata by which the grader knows it" if lost else "")
            + "; hand in the notebook that was handed out, with your answers in its own cells"
        )
    problems, doubts = {}, {}
    for mark, task in answers.items():
        problem = _problem(mark, cells)
        moved = _moved(mark, [c for c in cells if c.mark not in questions], assignment, task)
        if problem:
            problems[task] = f"{problem}; {moved}" if moved else problem
        elif moved:
            doubts[task] = moved
    setup = assignment.cell("setup").source
    run = [
        Cell("setup as it was handed in", cell.text)
        for cell in cells
        if cell.mark == "setup" and cell.kind == "code" and _lines(cell.text) != _lines(setup)
    ]
    notes = ["the setup cell was edited; it ran before the one that was handed out"] if run else []
    run.append(Cell("setup", setup))
    for cell in cells:
        answered = answers.get(cell.mark)
        if cell.kind == "code" and answered not in problems and (answered or cell.mark not in ours):
            run.append(Cell(cell.place, cell.text, answered))
    notes += [f"{question} is not in the notebook" for question in texts if not texts[question]]
    made_for = metadata(notebook, "coursework").get("variant", "?")
    if made_for != assignment.variant:
        made = printable(str(made_for))[:9]
        notes.append(f"handed out as variant {made}, graded as {assignment.variant}")
    joined = {question: "\n\n".join(parts) for question, parts in texts.items()}
    return Submission(run, joined, problems, doubts, notes, _newer_python(notebook))


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]


def _problem(mark: str, cells: list[_Read]) -> str:
    """Why the cell of an answer cannot be graded, and what to do; empty if it can."""
    marked = [cell for cell in cells if cell.mark == mark]
    if len(marked) > 1 and len({cell.text for cell in marked}) > 1:
        return (
            f"{len(marked)} cells are marked {mark}; if one was split, join its parts in their "
            "order, and of two versions delete one"
        )
    if len(marked) > 1:
        return f"{len(marked)} cells are marked {mark} and have the same text; delete all but one"
    if not marked and any(cell.id == mark and not cell.mark for cell in cells):
        return (
            f"the cell {mark} has lost its metadata, by which the grader knows it; copy its text "
            "into this cell of a new notebook"
        )
    if not marked:
        return f"the cell {mark} is not in the notebook; it must be the cell that was handed out"
    if marked[0].kind != "code":
        kind = {"markdown": "a Markdown cell", "raw": "a raw cell"}.get(marked[0].kind, "no code")
        return f"the cell {mark} is {kind}, so its code does not run; turn it into a code cell"
    return ""


def _moved(mark: str, cells: list[_Read], assignment: Assignment, task: str) -> str:
    """Where the code of an answer is, if its own cell has none; empty if it is not elsewhere."""
    asked = assignment.cell("checks", task).source
    names = [name for name in _names(assignment, task) if f'"{name}"' in asked]
    own = "\n".join(cell.text for cell in cells if cell.mark == mark)
    if "raise NotImplementedError" not in own:
        names = [name for name in names if not _defines(own, name)]
    texts = [cell for cell in assignment.notebook.cells if not cell.metadata.get("tags")]
    given = [_lines(cell.source) for cell in texts]
    for cell in cells:
        if _lines(cell.text) in given:  # the text of the assignment, with its formulas
            continue
        here = [name for name in names if cell.mark != mark and _defines(cell.text, name)]
        if here:
            return f"{here[0]} is defined in {cell.place}; move this code into {mark}"
    return ""


def _names(assignment: Assignment, task: str) -> list[str]:
    """The names that an answer defines: functions, and what only the solution assigns."""
    reference = assignment.cell("answer", task).source
    stub, found = SOLUTION.sub("", reference), []
    for node in ast.parse(reference).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.append(node.name)
        elif isinstance(node, ast.Assign):
            names = [n.id for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name)]
            found += [name for name in names if not _defines(stub, name)]
    return found


def _defines(code: str, name: str) -> bool:
    word = re.escape(name)
    pattern = (
        rf"^(?:(?:async )?def|class) +{word}\b"
        rf"|^(?:\w+ *[,=] *)*{word} *(?:, *\w+ *)*(?::[^=\n]*)?=(?!=)"
    )
    return re.search(pattern, code, re.M) is not None


def _newer_python(notebook: dict[str, Any]) -> str:
    version = str(metadata(notebook, "language_info").get("version"))
    found = re.match(r"(\d{1,3})\.(\d{1,3})\b", version)
    newer = found is not None and (int(found[1]), int(found[2])) > sys.version_info[:2]
    return found[0] if found and newer else ""
