"""Submissions in a folder: whose they are, which file is graded, and all that is passed over.

A notebook is recognised by its content, since browsers, learning platforms and Windows change
suffixes. Nothing is passed over in silence: a student whose notebook is not certain is NOT GRADED
with the remedy, and other files are notes of that student.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coursework.master import Assignment
from coursework.names import printable

LARGEST = 20 * 2**20  # bytes of a notebook; outputs with figures stay far below
ARCHIVES = (".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".xz")
JUNK = ("__macosx", "thumbs.db", "desktop.ini")
LISTED = 6  # names in one sentence


class NotGradedError(Exception):
    """This submission, or this task, cannot be graded; the message says why and what to do."""


@dataclass(frozen=True)
class Found:
    """Where a student's notebook is, or why there is none to grade.

    `student` is printable. `variant` and `assignment` are what the notebook was handed out as, None
    if it does not say. `digest` is a hash of the file.
    """

    student: str
    path: Path | None
    reason: str = ""
    notes: tuple[str, ...] = ()
    variant: int | None = None
    digest: str = ""
    assignment: str | None = None


def read_notebook(path: Path) -> dict[str, Any]:
    """A notebook as plain data. Raises NotGradedError for any other file."""
    return _parsed(path)[0]


def _parsed(path: Path) -> tuple[dict[str, Any], str]:
    name = printable(path.name)
    if path.is_symlink() or not path.is_file():
        raise NotGradedError(f"{name} is not a regular file; hand in the notebook itself")
    if path.suffix.casefold() in ARCHIVES:
        raise NotGradedError(f"{name} is an archive, and not a notebook; unpack it")
    try:
        if path.stat().st_size > LARGEST:
            raise NotGradedError(f"{name} is larger than {LARGEST >> 20} MiB; clear its outputs")
        data = path.read_bytes()
    except OSError as error:
        raise NotGradedError(f"{name} cannot be read: {error.strerror}") from None
    try:
        notebook = json.loads(data)
        if not all(isinstance(cell, dict) for cell in notebook["cells"]):
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise NotGradedError(f"{name} is not a notebook; save it again as .ipynb") from None
    return notebook, hashlib.sha256(data).hexdigest()


def metadata(holder: dict[str, Any], key: str) -> dict[str, Any]:
    """A dictionary in the metadata of a notebook or a cell; empty if there is none."""
    found = holder.get("metadata")
    value = found.get(key) if isinstance(found, dict) else None
    return value if isinstance(value, dict) else {}


def is_junk(name: str) -> bool:
    """Whether a file or folder is one that systems make by themselves."""
    return name.startswith((".", "~$")) or name.casefold() in JUNK


def passed_over(folder: Path) -> list[str]:
    """Names in a folder of submissions that belong to nobody."""
    return sorted(printable(entry.name) for entry in folder.iterdir() if is_junk(entry.name))


def find(folder: Path, assignment: Assignment) -> list[Found]:
    """One entry per student: ``STUDENT.ipynb``, or a folder STUDENT that has the notebook in it.

    The second form is that of nbgrader (``submitted/STUDENT/ASSIGNMENT/NAME.ipynb``). The name of
    the file does not matter, since a notebook's metadata name its assignment.
    """
    entries: dict[str, list[Path]] = {}
    for entry in sorted(folder.iterdir(), key=lambda path: os.fsencode(path.name)):
        if not is_junk(entry.name):
            entries.setdefault(_student(entry), []).append(entry)
    return [_choose(student, entries[student], assignment) for student in sorted(entries)]


def _student(entry: Path) -> str:
    if entry.is_dir():
        return printable(entry.name)
    at = entry.name.casefold().find(".ipynb")  # carl.ipynb.txt is Carl's
    return printable(entry.name[:at] if at > 0 else entry.stem)


def _choose(student: str, entries: Sequence[Path], assignment: Assignment) -> Found:
    handed = [one for entry in entries for one in _handed(entry)]
    notebooks = [one for one in handed if one.path]
    mine = [one for one in notebooks if one.assignment == assignment.name]
    # A notebook without metadata is taken if there is no other candidate.
    mine = mine or [one for one in notebooks if one.assignment is None]
    reason = ""
    if not mine:
        reason = f"no notebook of {assignment.name} in the folder"
        told = [f"{one.student} is a notebook of {one.assignment}" for one in notebooks]
        told = told or [one.reason for one in handed]
        if not entries[0].is_dir() and not notebooks:
            reason = told[0]
        elif told:
            reason += f": {_listed(told)}"
    elif len(entries) > 1 and any(entry.is_dir() for entry in entries):
        names = _listed([printable(entry.name) for entry in entries])
        reason = f"a folder {student} and a file of that name ({names}); keep one"
    elif len(mine) > 1:
        names = _listed([one.student for one in mine])
        reason = f"{len(mine)} notebooks ({names}); keep one"
    if reason:
        return Found(student, None, reason)
    others = [one.student for one in handed if not one.path]
    notes = [f"passed over: {_listed(others)}"] if others else []
    if not mine[0].student.casefold().endswith(".ipynb"):
        notes.append(f"the notebook is {mine[0].student}")
    return dataclasses.replace(mine[0], student=student, notes=tuple(notes))


def _handed(entry: Path) -> list[Found]:
    """What an entry holds, each file under its own name."""
    if not entry.is_dir() or entry.is_symlink():
        return [_look(entry, printable(entry.name))]
    found = []
    for place, folders, files in os.walk(entry):
        folders[:] = sorted(name for name in folders if not is_junk(name))
        links = [name for name in folders if Path(place, name).is_symlink()]
        paths = [Path(place, name) for name in sorted([*files, *links]) if not is_junk(name)]
        found += [_look(path, printable(str(path.relative_to(entry)))) for path in paths]
    return found


def _look(path: Path, label: str) -> Found:
    if path.is_dir():
        return Found(label, None, f"{label} is a link to a folder; put the folder itself there")
    try:
        notebook, digest = _parsed(path)
    except NotGradedError as error:
        return Found(label, None, str(error))
    about = metadata(notebook, "coursework")
    name, variant = about.get("assignment"), about.get("variant")
    said = None if name is None else printable(str(name))[:60]
    return Found(label, path, "", (), variant if type(variant) is int else None, digest, said)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
