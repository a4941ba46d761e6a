"""``reading.csv``: the points that a person gives to answers in words.

The instructor edits this file, often with a spreadsheet, so it is read with every change that a
spreadsheet makes, and never overwritten: students who came later get rows at its end.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from coursework import tables
from coursework.master import Assignment

COLUMNS = ("student", "question", "points")
POINTS = re.compile(r"\d+([.,]\d*)?|[.,]\d+")
LISTED = 8  # students named in one sentence
Read = dict[tuple[str, str], float]  # points that a person gave, by student and question


@dataclass(frozen=True)
class Entries:
    """The content of reading.csv.

    `points` are those entered, and `lines` has the line of each row by student and question.
    `unknown` says which rows without points match nobody. `table` is None if there is no file.
    """

    points: Read
    lines: dict[tuple[str, str], int]
    unknown: list[str]
    table: tables.Table | None


def new_rows(pairs: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    """Rows without points for pairs of student and question."""
    cells = [(tables.kept(student), question, "") for student, question in pairs]
    return [dict(zip(COLUMNS, row, strict=True)) for row in cells]


def read_entries(
    folder: Path, assignment: Assignment, students: Sequence[str] | None = None
) -> Entries:
    """Read the file; without `students`, every name in it is taken as it is.

    Raises ValueError that names all mistakes with their lines: points that are no number or out of
    range, and points for a student or a question that does not exist or is not certain.
    """
    path = folder / "reading.csv"
    points: Read = {}
    lines: dict[tuple[str, str], int] = {}
    unknown: list[str] = []
    if not path.exists():
        return Entries(points, lines, unknown, None)
    table = tables.read(path, COLUMNS)
    most = {reading.name: reading.points for reading in assignment.readings}
    meant = (lambda cell: [cell]) if students is None else tables.matcher(students)
    mistakes: list[str] = []
    for number, row in table.rows:
        at, entry = f"reading.csv, line {number}", row["points"].strip().lstrip("'")
        found, question = meant(row["student"]), row["question"].strip().casefold()
        if len(found) != 1:
            problem = f"{at}: {_problem(row['student'], found)}"
            (mistakes if entry or found else unknown).append(problem)
            continue
        student, asked = found[0], (found[0], question)
        if question not in most:
            known = ", ".join(most)
            mistakes.append(f"{at}: no question {row['question']!r} of {student}; there is {known}")
        elif asked in lines:
            mistakes.append(
                f"{at}: a second row for {student} and {question}, after line {lines[asked]}; "
                "delete one"
            )
        elif entry:
            given = float(entry.replace(",", ".")) if POINTS.fullmatch(entry) else -1.0
            if not 0 <= given <= most[question]:
                mistakes.append(
                    f"{at}: {entry!r} for {student}, {question}; give 0 to {most[question]}"
                )
            points[asked] = given
        lines[asked] = lines.get(asked, number)
    if mistakes:
        raise ValueError("\n".join(mistakes))
    return Entries(points, lines, unknown, table)


def _problem(cell: str, found: Sequence[str]) -> str:
    if found:
        return f"{cell!r} may be {' or '.join(found)}; write the name as in points.csv"
    return (
        f"no student is called {cell!r}; write the name as in points.csv (a spreadsheet may have "
        "changed it), or delete the row"
    )


def unread(entries: Entries, wanted: Sequence[tuple[str, str]]) -> str:
    """A sentence on the answers that have no points yet; empty if all have been read."""
    left = [pair for pair in wanted if pair not in entries.points]
    if not left:
        return ""
    lines = [entries.lines.get(pair, "?") for pair in left]
    named = [f"{s} {q} (line {line})" for (s, q), line in zip(left, lines, strict=True)]
    more = f" and {len(left) - LISTED} more" if len(left) > LISTED else ""
    told = ", ".join(named[:LISTED]) + more
    return f"{len(left)} of {len(wanted)} answers have no points yet: {told}"
