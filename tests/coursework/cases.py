"""Submissions for the tests: the reference, and notebooks with other answers."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import nbformat
import yaml

from coursework import handout, master
from coursework.master import ROOT, Assignment
from coursework.submission import Submission, understand

WRONG = ROOT / "coursework" / "wrong"
NAMES = list(master.masters())


@dataclass(frozen=True)
class Wrong:
    """A plausible wrong answer to one task, and the hidden tests that notice it."""

    task: str
    name: str
    fails: list[str]
    edit: dict[str, str] = field(default_factory=dict)
    code: str = ""

    def apply(self, reference: str) -> str:
        """The wrong answer's code; an edit that changes nothing is a mistake in the data."""
        if self.code:
            return self.code
        for old, new in self.edit.items():
            assert reference.count(old) == 1, f"{self.name}: {old!r} must be in the reference once"
            reference = reference.replace(old, new)
        return reference


@cache
def wrong_answers(name: str) -> list[Wrong]:
    """Wrong answers of an assignment, as coursework/wrong/NAME.yml lists them."""
    text = (WRONG / f"{name}.yml").read_text(encoding="utf-8")
    # BaseLoader reads every value as text, where YAML would turn a key `off` into False.
    return [Wrong(**entry) for entry in yaml.load(text, Loader=yaml.BaseLoader)]


@cache
def assignment(name: str, variant: int = 0) -> Assignment:
    """A master, read once."""
    return master.load(name, variant)


def reference(about: Assignment) -> nbformat.NotebookNode:
    """The notebook with the reference answers, as a student would hand it in."""
    return handout.with_grading_cells(about)


def cell(notebook: Any, mark: str) -> Any:
    """The cell of a notebook that has this id."""
    (found,) = [c for c in notebook["cells"] if c.get("id") == mark]
    return found


def with_code(about: Assignment, task: str, code: str) -> nbformat.NotebookNode:
    """The reference notebook with other code in the answer to one task."""
    notebook = copy.deepcopy(reference(about))
    cell(notebook, f"answer-{task}")["source"] = code
    return notebook


def with_answers(about: Assignment, wrong: list[Wrong]) -> Submission:
    """The reference with these wrong answers in their tasks, ready to be graded."""
    notebook = copy.deepcopy(reference(about))
    for one in wrong:
        right = about.cell("answer", one.task).source
        cell(notebook, f"answer-{one.task}")["source"] = one.apply(right)
    return understand(notebook, about)
