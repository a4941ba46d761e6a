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

import csv
import dataclasses
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from coursework.grade import NOT_GRADED, TO_BE_READ, Outcome, Result, TaskResult
from coursework.master import Assignment

Read = dict[tuple[str, str], float]  # points that a person gave, by student and question


def save(results: Sequence[Result], seed: str, folder: Path) -> None:
    """Write results.json, from which every report can be made again."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"seed": seed, "results": [dataclasses.asdict(result) for result in results]}
    text = json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True)
    (folder / "results.json").write_text(text + "\n", encoding="utf-8")


def load(folder: Path) -> list[Result]:
    """Results that `save` wrote. Raises FileNotFoundError where there are none."""
    content = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return [_result(plain) for plain in content["results"]]


def _result(plain: dict[str, Any]) -> Result:
    tasks = tuple(
        TaskResult(**{**task, "outcomes": tuple(Outcome(**o) for o in task["outcomes"])})
        for task in plain["tasks"]
    )
    return Result(**{**plain, "tasks": tasks, "notes": tuple(plain["notes"])})


def read_points(folder: Path, assignment: Assignment) -> Read:
    """Points that a person has entered into reading.csv; none if there is no such file.

    Raises ValueError, with the line, for points outside the question's range.
    """
    path = folder / "reading.csv"
    most = {reading.name: reading.points for reading in assignment.readings}
    points: Read = {}
    if not path.exists():
        return points
    with path.open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), 2):
            entry = (row.get("points") or "").strip()
            if not entry:
                continue
            student, question = row["student"], row["question"]
            try:
                value = float(entry)
                if not 0 <= value <= most[question]:
                    raise ValueError
            except (KeyError, ValueError):
                limit = most.get(question, "?")
                raise ValueError(
                    f"reading.csv, line {number}: {entry!r} for {question}; give 0 to {limit}"
                ) from None
            points[student, question] = value
    return points


def _table(rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([[_harmless(c) for c in row] for row in rows])
    return text.getvalue()


def _harmless(cell: Any) -> Any:
    """A cell that no spreadsheet reads as a formula, since students choose their file names."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@") else cell


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
    rows: list[list[Any]] = [["student", *tasks, *questions, "total", "status", "reason"]]
    most = [*(task.points for task in assignment.tasks), *(r.points for r in assignment.readings)]
    rows.append(["(most)", *most, sum(most), "", ""])
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
            ]
        )
    return _table(rows)


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
    return _table(rows)


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


def write(results: Sequence[Result], assignment: Assignment, folder: Path) -> None:
    """Write every report into a folder that holds results.json; reading.csv is never overwritten.

    Raises ValueError for a mistake in reading.csv.
    """
    read = read_points(folder, assignment)
    files = {
        "points.csv": points_table(results, assignment, read),
        "canvas.csv": canvas_table(results, assignment, read),
        "to_read.md": to_read(results, assignment),
    }
    for result in results:
        scores = json.dumps(gradescope(result, assignment, read), indent=1, ensure_ascii=False)
        files[f"gradescope/{result.student}/results.json"] = scores + "\n"
        files[f"feedback/{result.student}.md"] = feedback(result, assignment, read)
    if not (folder / "reading.csv").exists():
        rows = [
            [result.student, reading.name, ""]
            for reading in assignment.readings
            for result in results
        ]
        files["reading.csv"] = _table([["student", "question", "points"], *rows])
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
