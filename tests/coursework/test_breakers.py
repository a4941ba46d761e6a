"""A cheat gains no points, and code that breaks its process costs points in its own task only."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml

from coursework import handout, master, report, session
from coursework.grade import GRADED, NOT_GRADED, Result, grade, grade_found
from coursework.session import has_namespaces
from coursework.submission import Found, find, understand
from tests.coursework import cases

NAME = "01-bradley-terry-to-dpo"
ENTRIES = yaml.safe_load((cases.WRONG / "cheats.yml").read_text(encoding="utf-8"))
CHEATS = {entry["name"]: entry["code"] for entry in ENTRIES["cheats"]}
BREAKERS = {entry["name"]: (entry["code"], entry["status"]) for entry in ENTRIES["breakers"]}
READER = "reads the answers in the grader's files"
# These would harm the machine that runs the tests if it has no jail.
NEED_JAIL = {READER, "forges the report", "uses the network", "kills every process that it sees"}
needs_jail = "this platform cannot shut a process in; the grader says so"
MARK = Path("/tmp/coursework-cheat")  # two of the cheats try to create this file

WRONG = {
    "win": "win_probability = lambda first, second: np.zeros(40)",
    "gap": "most_likely_gap = lambda k, m: np.zeros(30)",
    "optimum": "optimal_policy = lambda reward, reference, beta: np.ones(5)",
    "loss": "L = dL_du = sp.Symbol('u')",
}


def code_cell(code: str) -> dict[str, Any]:
    """A cell that a student has added."""
    return {"cell_type": "code", "source": code, "metadata": {}, "outputs": []}


def put(notebook: Any, patience: float = 60.0) -> Result:
    """Grade with a short time limit, but with patience, since the machine may be busy."""
    about = cases.assignment(NAME)
    limits = dataclasses.replace(about.limits, seconds=1.0, patience=patience, memory_mb=1024)
    return grade(understand(notebook, about), about, "student", limits=limits)


def with_cheat(code: str) -> nbformat.NotebookNode:
    """A notebook of wrong answers with a cheat's cell at its end."""
    notebook = copy.deepcopy(handout.make(cases.assignment(NAME)))
    for task, wrong in WRONG.items():
        cases.cell(notebook, f"answer-{task}")["source"] = wrong
    notebook["cells"].append(code_cell(code))
    return notebook


@pytest.mark.parametrize("name", CHEATS, ids=lambda name: name.replace(" ", "_"))
def test_cheat_gains_nothing(name: str) -> None:
    """Protects: no name that student code rebinds and no text that it prints changes a grade."""
    if name in NEED_JAIL and not has_namespaces():
        pytest.skip(needs_jail)
    MARK.unlink(missing_ok=True)
    result = put(with_cheat(CHEATS[name]))
    assert [task.points for task in result.tasks] == [0, 0, 0, 0]
    assert not MARK.exists()
    # Feedback has no message of student code, which could contain hidden input.
    about = cases.assignment(NAME)
    assert "Seen" not in report.feedback(result, about, {})


def test_only_the_jail_keeps_the_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects: the cheat that reads the masters works without the jail, which stops it."""
    monkeypatch.setattr(session, "has_namespaces", lambda: False)
    code = CHEATS[READER].replace('"/"', repr(str(master.ROOT / "coursework")))
    win, *others = put(with_cheat(code)).tasks
    assert win.points == win.most
    assert [task.points for task in others] == [0, 0, 0]


@pytest.mark.parametrize("name", BREAKERS, ids=lambda name: name.replace(" ", "_"))
def test_breaker_loses_its_own_task_only(name: str) -> None:
    """Protects: code that breaks the process in one task costs no points in the others."""
    code, status = BREAKERS[name]
    if name in NEED_JAIL and not has_namespaces():
        pytest.skip(needs_jail)
    about = cases.assignment(NAME)
    result = put(cases.with_code(about, "win", code), patience=3.0 if name == "sleeps" else 60.0)
    win, *others = result.tasks
    assert (win.points, win.status) == (0, status)
    assert [task.points for task in others] == [task.points for task in about.tasks[1:]]
    if status == NOT_GRADED:
        assert "stopped" in win.reason or "took longer" in win.reason or "ended" in win.reason


def test_extra_cell_that_hangs_costs_nothing() -> None:
    """Protects: an extra cell that hangs is left out, and the other cells still run."""
    notebook = copy.deepcopy(cases.reference(cases.assignment(NAME)))
    notebook["cells"].insert(1, code_cell("while True: pass"))
    notebook["cells"].insert(1, code_cell("%matplotlib inline\n!ls\nprint(undefined)"))
    result = put(notebook)
    assert result.points == cases.assignment(NAME).points
    assert any("took longer" in note for note in result.notes)


def test_deadly_answers_in_every_task_come_to_an_end() -> None:
    """Protects: grading ends for a submission that ends its process again and again."""
    notebook = copy.deepcopy(cases.reference(cases.assignment(NAME)))
    for task, name in (("win", "win_probability"), ("gap", "most_likely_gap")):
        code = f"import os\ndef {name}(*a): os._exit(1)"
        cases.cell(notebook, f"answer-{task}")["source"] = code
    for _ in range(8):
        notebook["cells"].append(code_cell("import os; os._exit(1)"))
    result = put(notebook)
    assert result.points == 0
    assert all(task.status == NOT_GRADED for task in result.tasks)


def drop(notebook: Any) -> None:
    notebook["cells"] = [c for c in notebook["cells"] if c["id"] != "answer-win"]


def duplicate(notebook: Any) -> None:
    notebook["cells"].append(copy.deepcopy(cases.cell(notebook, "answer-win")))


def unmark(notebook: Any) -> None:
    cases.cell(notebook, "answer-win")["metadata"] = {}


@pytest.mark.parametrize(
    ("change", "reason"),
    [(drop, "not in the notebook"), (duplicate, "2 cells"), (unmark, "not")],
)
def test_missing_or_doubled_cell(change: Callable[[Any], None], reason: str) -> None:
    """Protects: that task is NOT GRADED with the reason and the remedy; the others count."""
    about = cases.assignment(NAME)
    notebook = copy.deepcopy(cases.reference(about))
    change(notebook)
    win, *others = put(notebook).tasks
    assert (win.points, win.status) == (0, NOT_GRADED)
    assert reason in win.reason
    assert sum(task.points for task in others) == about.points - win.most


def test_edited_checks_and_setup_do_not_matter() -> None:
    """Protects: the setup comes from the master, and the handout's checks are not run."""
    about = cases.assignment(NAME)
    notebook = copy.deepcopy(cases.reference(about))
    cases.cell(notebook, "setup")["source"] = "import os; os._exit(0)"
    cases.cell(notebook, "checks-win")["source"] = "while True: pass"
    notebook["cells"].reverse()  # the setup still runs first
    assert put(notebook).points == about.points


HARMLESS_JUNK = {
    "not JSON": b"hello",
    "not text": bytes(range(256)) * 10,
    "nothing": b"",
    "a list": b"[]",
    "cells of another kind": b'{"cells": [1, 2]}',
    "nested without end": b'{"cells": ' + b"[" * 100_000,
    "another notebook": b'{"cells": [{"cell_type": "code", "source": "1"}]}',
    "strange metadata": json.dumps(
        {"cells": [{"cell_type": 3, "source": {"a": 1}, "metadata": [1]}], "metadata": 7}
    ).encode(),
}


@pytest.mark.parametrize("kind", HARMLESS_JUNK)
def test_junk_is_not_graded_with_a_reason(kind: str, tmp_path: Path) -> None:
    """Protects: every file that is handed in has a result, never a traceback."""
    path = tmp_path / "student.ipynb"
    path.write_bytes(HARMLESS_JUNK[kind])
    result = grade_found(Found("student", path), cases.assignment(NAME))
    assert (result.status, result.points) == (NOT_GRADED, 0)
    assert "notebook" in result.reason


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """Protects: a submission cannot be a link to a file of the grader."""
    about = cases.assignment(NAME)
    real = tmp_path / "real"
    real.write_text(handout.text_of(cases.reference(about)), encoding="utf-8")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "student.ipynb").symlink_to(real)
    (found,) = find(tmp_path / "in", about)
    assert grade_found(found, about).status == NOT_GRADED


def test_names_of_files_do_not_matter(tmp_path: Path) -> None:
    """Protects: a renamed notebook is found in any subfolder; of two, none is chosen."""
    about = cases.assignment(NAME)
    text = handout.text_of(handout.make(about))
    for path in ("anna/homework (1).ipynb", "ben/a/b/c.ipynb", "cleo/x.ipynb", "cleo/y.ipynb"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    other = json.loads(text)
    other["metadata"]["coursework"]["assignment"] = "another"
    (tmp_path / "ben" / "other.ipynb").write_text(json.dumps(other), encoding="utf-8")
    (tmp_path / "dora").mkdir()
    (tmp_path / "anna-2").mkdir()
    (tmp_path / "anna-2.ipynb").write_text(text, encoding="utf-8")
    found = {one.student: one for one in find(tmp_path, about)}
    assert found["anna"].path == tmp_path / "anna" / "homework (1).ipynb"
    assert found["ben"].path == tmp_path / "ben" / "a" / "b" / "c.ipynb"
    assert "keep one" in found["cleo"].reason
    assert "keep one" in found["anna-2"].reason
    assert "no notebook" in found["dora"].reason
    assert grade_found(found["cleo"], about).status == NOT_GRADED


def test_reference_passes_under_the_short_limits_too() -> None:
    """Protects: answers fail in the tests above for being wrong, not because of a short limit."""
    about = cases.assignment(NAME)
    result = put(cases.reference(about))
    assert (result.points, result.status) == (about.points, GRADED)
