"""A submission: the notebook that a student handed in, read without trust in its content."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coursework.master import Assignment
from coursework.session import Cell

LARGEST = 20 * 2**20  # bytes of a notebook; outputs with figures stay far below


class NotGradedError(Exception):
    """This submission, or this task, cannot be graded; the message says why and what to do."""


@dataclass(frozen=True)
class Submission:
    """The parts of a notebook that are graded.

    `cells` run in this order. `answers` are the texts that a person reads, by question. `problems`
    has the reason, by task, if an answer cannot be graded. `notes` are for the instructor.
    """

    cells: list[Cell]
    answers: dict[str, str]
    problems: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Found:
    """Where a student's notebook is, or why there is none to grade."""

    student: str
    path: Path | None
    reason: str = ""


def read_notebook(path: Path) -> dict[str, Any]:
    """A notebook as plain data. Raises NotGradedError for any other file."""
    if path.is_symlink() or not path.is_file():
        raise NotGradedError(f"{path.name} is not a regular file; hand in the notebook itself")
    if path.stat().st_size > LARGEST:
        raise NotGradedError(f"{path.name} is larger than {LARGEST >> 20} MiB; clear its outputs")
    try:
        notebook = json.loads(path.read_bytes())
        if not all(isinstance(cell, dict) for cell in notebook["cells"]):
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise NotGradedError(f"{path.name} is not a notebook; save it again as .ipynb") from None
    found: dict[str, Any] = notebook
    return found


def _text(cell: dict[str, Any]) -> str:
    source = cell.get("source", "")
    return "".join(map(str, source)) if isinstance(source, list) else str(source)


def _metadata(holder: dict[str, Any], key: str) -> dict[str, Any]:
    metadata = holder.get("metadata")
    found = metadata.get(key) if isinstance(metadata, dict) else None
    return found if isinstance(found, dict) else {}


def understand(notebook: dict[str, Any], assignment: Assignment) -> Submission:
    """Sort the cells of a notebook: those to run, those for a person to read, those missing.

    A cell is identified by the id that nbgrader wrote into its metadata, never by its position. The
    setup cell comes from the master, and the handout's checks are never run. All other code cells
    run in their order. Raises NotGradedError if no cell of the assignment is in the notebook.
    """
    answers = {f"answer-{task.name}": task.name for task in assignment.tasks}
    questions = {reading.name for reading in assignment.readings}
    ours = answers.keys() | questions | {f"checks-{name}" for name in answers.values()} | {"setup"}
    cells = [Cell("setup", assignment.cell("setup").source)]
    texts: dict[str, list[str]] = {}
    count: dict[str, int] = dict.fromkeys(answers, 0)
    for number, cell in enumerate(notebook["cells"], 1):
        mark = str(_metadata(cell, "nbgrader").get("grade_id", ""))
        is_code, text = cell.get("cell_type") == "code", _text(cell)
        if mark in questions:
            texts.setdefault(mark, []).append(text)
        elif mark in answers:
            count[mark] += 1
            if is_code:
                cells.append(Cell(mark, text, answers[mark]))
        elif is_code and mark not in ours:
            cells.append(Cell(f"cell {number}", text))
    if not any(count.values()) and not texts:
        raise NotGradedError(
            f"no cell of {assignment.name} is in it; hand in the notebook that was handed out, "
            "with your answers in its own cells"
        )
    problems = {answers[mark]: _problem(mark, n) for mark, n in count.items() if n != 1}
    made_for = _metadata(notebook, "coursework").get("variant", "?")
    notes = []
    if made_for != assignment.variant:
        notes.append(f"handed out as variant {str(made_for)[:9]}, graded as {assignment.variant}")
    return Submission(
        [cell for cell in cells if cell.task not in problems],
        {question: "\n\n".join(texts.get(question, [])) for question in sorted(questions)},
        problems,
        notes,
    )


def _problem(mark: str, count: int) -> str:
    if count == 0:
        return f"the cell {mark} is not in the notebook; it must be the cell that was handed out"
    return f"{count} cells are marked {mark}; delete all but one"


def find(folder: Path, assignment: Assignment) -> list[Found]:
    """One entry per student: ``STUDENT.ipynb``, or a folder STUDENT that has the notebook in it.

    The second form is that of nbgrader (``submitted/STUDENT/ASSIGNMENT/NAME.ipynb``). The name of
    the file does not matter, since a notebook's metadata name its assignment.
    """
    found: dict[str, Found] = {}
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir() and not entry.is_symlink():
            one = _within(entry, assignment)
        elif entry.suffix == ".ipynb":
            one = Found(entry.stem, entry)
        else:
            continue
        if one.student in found:
            name = one.student
            one = Found(name, None, f"a folder {name} and a file {name}.ipynb; keep one")
        found[one.student] = one
    return list(found.values())


def _within(folder: Path, assignment: Assignment) -> Found:
    notebooks = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        notebooks += [Path(place, name) for name in sorted(files) if name.endswith(".ipynb")]
    mine = [path for path in notebooks if _says(path) == assignment.name]
    # A notebook without metadata is taken if there is no other candidate.
    candidates = mine or [path for path in notebooks if _says(path) is None]
    if len(candidates) == 1:
        return Found(folder.name, candidates[0])
    names = ", ".join(str(path.relative_to(folder)) for path in candidates)
    reason = f"{len(candidates)} notebooks ({names}); keep one" if names else "no notebook"
    return Found(folder.name, None, f"{reason} of {assignment.name} in the folder")


def _says(path: Path) -> str | None:
    try:
        says = _metadata(read_notebook(path), "coursework").get("assignment")
    except NotGradedError:
        return None
    return None if says is None else str(says)
