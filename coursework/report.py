"""Reports for the instructor, for gradebooks, and for students.

| file | for whom | holds |
|---|---|---|
| `results.json` | instructor | every test of every submission, with private messages |
| `points.csv` | instructor | points per task, and those entered in `reading.csv` |
| `reading.csv`, `to_read.md` | instructor | answers for a person to read, and a column for points |
| `canvas.csv` | Canvas | the total, in the form of its gradebook import |
| `gradescope/STUDENT/results.json` | Gradescope | all points in the form of its autograder |
| `feedback/STUDENT.md` | student | points and kinds of tests, but no test |
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from coursework import tables
from coursework.grade import NOT_GRADED, TO_BE_READ, Outcome, Result, TaskResult
from coursework.master import Assignment
from coursework.names import file_names
from coursework.reading import COLUMNS, Read, new_rows, read_entries


def put(path: Path, data: str | bytes) -> None:
    """Write a file whole or not at all: a full disk leaves the old one as it was.

    What has no UTF-8, such as half of an emoji in an error message, becomes an escape.
    """
    draft = path.with_name(f".{path.name[:40]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        plain = data if isinstance(data, bytes) else data.encode("utf-8", "backslashreplace")
        draft.write_bytes(plain)
        os.replace(draft, path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise OSError(f"{path} cannot be written: {error.strerror}") from error


def save(results: Sequence[Result], seed: str, folder: Path) -> None:
    """Write results.json, from which every report can be made again."""
    content = {"seed": seed, "results": [dataclasses.asdict(result) for result in results]}
    text = json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True)
    put(folder / "results.json", text + "\n")


def check(folder: Path) -> None:
    """Raise OSError, with the remedy, if reports cannot be written into the folder."""
    try:
        for name in ("", "feedback", "gradescope"):
            (folder / name).mkdir(parents=True, exist_ok=True)
            put(folder / name / ".write", "")
            (folder / name / ".write").unlink()
    except OSError as error:
        raise OSError(f"{error}. Nothing is graded; choose another folder with --to.") from error


def load(folder: Path) -> list[Result]:
    """Results that `save` wrote. Raises FileNotFoundError where there are none.

    Raises ValueError for a file that `save` did not write.
    """
    text = (folder / "results.json").read_text(encoding="utf-8")
    try:
        return [_result(plain) for plain in json.loads(text)["results"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{folder}/results.json is damaged ({error}); move it away and grade again"
        ) from None


def _result(plain: dict[str, Any]) -> Result:
    tasks = tuple(
        TaskResult(**{**task, "outcomes": tuple(Outcome(**o) for o in task["outcomes"])})
        for task in plain["tasks"]
    )
    return Result(**{**plain, "tasks": tasks, "notes": tuple(plain["notes"])})


def number(value: float) -> str:
    """Points without a needless ``.0``.

    >>> number(3.0), number(2.5)
    ('3', '2.5')
    """
    return f"{value:g}"


def total(result: Result, read: Read) -> float:
    """Points of all tasks and of all answers that have been read."""
    return result.points + sum(p for (student, _), p in read.items() if student == result.student)


def points_table(results: Sequence[Result], assignment: Assignment, read: Read) -> str:
    """Points per task, one row per student; the cell of an answer not yet read is empty."""
    tasks = [task.name for task in assignment.tasks]
    questions = [reading.name for reading in assignment.readings]
    rows: list[list[Any]] = [["student", *tasks, *questions, "total", "status"]]
    rows[0] += ["reason", "notes"]
    most = [*(task.points for task in assignment.tasks), *(r.points for r in assignment.readings)]
    rows.append(["(most)", *most, sum(most), "", "", ""])
    for result in results:
        given = [read.get((result.student, question)) for question in questions]
        lost = [f"{t.task}: {t.reason}" for t in result.tasks if t.status == NOT_GRADED]
        rows.append(
            [
                result.student,
                *(task.points for task in result.tasks),
                *("" if points is None else number(points) for points in given),
                number(total(result, read)),
                result.status,
                result.reason or "; ".join(lost),
                "; ".join(note for note in result.notes if " raised " not in note),
            ]
        )
    return tables.text_of(rows)


def canvas_table(results: Sequence[Result], assignment: Assignment, read: Read) -> str:
    """The total in the form of Canvas's import; a student's name is used as the login.

    A student who is NOT GRADED has an empty cell, which leaves the grade in Canvas unchanged.
    """
    most = assignment.points + sum(reading.points for reading in assignment.readings)
    head = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", assignment.title]
    rows: list[list[Any]] = [head, ["    Points Possible", "", "", "", "", most]]
    for result in results:
        points = "" if result.status == NOT_GRADED else number(total(result, read))
        rows.append([result.student, "", "", result.student, "", points])
    return tables.text_of(rows)


def gradescope(result: Result, assignment: Assignment, read: Read) -> dict[str, Any]:
    """One submission in the form of a Gradescope autograder's results.json."""
    tests: list[dict[str, Any]] = [
        {
            "number": task.task,
            "name": task.title,
            "score": task.points,
            "max_score": task.most,
            "status": "passed" if task.points == task.most else "failed",
            "output": "\n".join(told(task)),
            "visibility": "after_published",
        }
        for task in result.tasks
    ]
    for reading in assignment.readings:
        points = read.get((result.student, reading.name))
        tests.append(
            {
                "number": reading.name,
                "name": reading.title,
                "score": points or 0,
                "max_score": reading.points,
                "output": TO_BE_READ if points is None else "read",
                "visibility": "after_published",
            }
        )
    return {
        "score": total(result, read),
        "output": result.reason,
        "visibility": "after_published",
        "stdout_visibility": "hidden",
        "tests": tests,
    }


def told(task: TaskResult) -> list[str]:
    """Lines on a task for the student: kinds of tests, results, errors of the student's code.

    >>> outcome = Outcome("name_of_a_test", "limits", 1, False, "", "0.1 instead of 0.2")
    >>> for line in told(TaskResult("win", "A judge", 0, 1, "graded", "", (outcome,))):
    ...     print(line)
    limits: not passed (1 point)
    The first must be passed before the rest of this task counts.
    """
    if task.status == NOT_GRADED and not task.outcomes:
        return [f"NOT GRADED: {task.reason}"]
    lines = [f"NOT GRADED: {task.reason}"] if task.status == NOT_GRADED else []
    for outcome in task.outcomes:
        verdict = "passed" if outcome.passed else "not passed"
        worth = f"({outcome.points} point{'s' * (outcome.points != 1)})"
        reason = f"; {outcome.told}" if outcome.told else ""
        lines.append(f"{outcome.kind}: {verdict} {worth}{reason}")
    if task.outcomes and not task.outcomes[0].passed:
        lines.append("The first must be passed before the rest of this task counts.")
    return lines


def feedback(result: Result, assignment: Assignment, read: Read) -> str:
    """The student's page, as Markdown."""
    most = assignment.points + sum(reading.points for reading in assignment.readings)
    lines = [f"# {assignment.title}: {result.student}", ""]
    if result.reason:
        lines += [f"NOT GRADED: {result.reason}.", ""]
    lines += [f"{number(total(result, read))} of {most} points.", ""]
    for task in result.tasks:
        lines += [f"## {task.title}: {task.points} of {task.most}", ""]
        lines += [f"- {line}" for line in told(task)] + [""]
    for reading in assignment.readings:
        points = read.get((result.student, reading.name))
        given = TO_BE_READ if points is None else f"{number(points)} of {reading.points}"
        lines += [f"## {reading.title}: {given}", ""]
    own = [note for note in result.notes if " raised " in note or " was stopped" in note]
    if own:
        lines += ["## What happened while your cells ran", "", *(f"- {note}" for note in own), ""]
    return "\n".join(lines)


def to_read(results: Sequence[Result], assignment: Assignment) -> str:
    """All answers that a person reads, question by question, each with its rubric."""
    lines = [f"# {assignment.title}: to be read", ""]
    for reading in assignment.readings:
        lines += [f"## {reading.title} ({reading.points} points)", "", reading.rubric, ""]
        for result in results:
            answer = result.readings.get(reading.name, "").strip()
            lines += [f"### {result.student}", "", _quoted(answer or "(nothing)"), ""]
    return "\n".join(lines)


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.splitlines())


def write(results: Sequence[Result], assignment: Assignment, folder: Path) -> list[str]:
    """Write every report; in reading.csv, only add rows. Return what the instructor should know.

    Raises ValueError for mistakes in reading.csv, and then writes nothing.
    """
    entries = read_entries(folder, assignment, [result.student for result in results])
    files: dict[str, str | bytes] = {
        "points.csv": points_table(results, assignment, entries.points),
        "canvas.csv": canvas_table(results, assignment, entries.points),
        "to_read.md": to_read(results, assignment),
    }
    own = file_names(result.student for result in results)
    for result in results:
        scores = gradescope(result, assignment, entries.points)
        text = json.dumps(scores, indent=1, ensure_ascii=False) + "\n"
        files[f"gradescope/{own[result.student]}/results.json"] = text
        page = feedback(result, assignment, entries.points)
        files[f"feedback/{own[result.student]}.md"] = page
    told = [*entries.unknown]
    missing = [pair for pair in to_be_read(results, assignment) if pair not in entries.lines]
    if entries.table is None:
        rows = [list(row.values()) for row in new_rows(missing)]
        files["reading.csv"] = tables.text_of([COLUMNS, *rows])
    elif missing:
        files["reading.csv"] = entries.table.with_rows(new_rows(missing))
        late = ", ".join(dict.fromkeys(student for student, _ in missing))
        told.append(f"reading.csv has new rows at its end, for {late}")
    for name, data in files.items():
        put(folder / name, data)
    return told


def to_be_read(results: Sequence[Result], assignment: Assignment) -> list[tuple[str, str]]:
    """Every student and question that a person reads, question by question."""
    return [(result.student, reading.name) for reading in assignment.readings for result in results]
