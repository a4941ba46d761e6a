"""Hidden tests pass right answers, and each wrong answer fails in its own task only.

Every assignment that has a master is tested here, by its wrong answers in `coursework/wrong`.
"""

from __future__ import annotations

import ast
from typing import Any

import numpy as np
import pytest
from nbformat import NotebookNode

from coursework import handout, session
from coursework.grade import GRADED, Result, grade
from coursework.judge import JUDGEMENTS, HiddenTest
from coursework.master import HIDDEN, Assignment
from coursework.sandbox.wire import FormulaText
from coursework.session import Student
from coursework.submission import understand
from tests.coursework import cases

VARIANTS = range(4)
TASKS = [(name, task.name) for name in cases.NAMES for task in cases.assignment(name).tasks]


def graded(notebook: NotebookNode, about: Assignment) -> Result:
    """The result of all hidden tests, including those after a failed first test."""
    return grade(understand(notebook, about), about, every=True)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", cases.NAMES)
def test_reference_gets_full_marks(name: str, variant: int) -> None:
    """Protects: the reference answers pass all hidden tests."""
    about = cases.assignment(name, variant)
    result = graded(cases.reference(about), about)
    assert {t.task: t.points for t in result.tasks} == {t.name: t.points for t in about.tasks}
    assert all(t.status == GRADED for t in result.tasks)


@pytest.mark.parametrize("name", cases.NAMES)
def test_unsolved_gets_nothing(name: str) -> None:
    """Protects: the notebook as it was handed out gets no points."""
    about = cases.assignment(name)
    assert graded(handout.make(about), about).points == 0


@pytest.mark.parametrize(("old", "new"), [(0, 1), (1, 2), (2, 0)])
@pytest.mark.parametrize("name", cases.NAMES)
def test_last_years_answers_do_not_score(name: str, old: int, new: int) -> None:
    """Protects: answers to one variant get no points in any task of another."""
    about = cases.assignment(name, new)
    result = graded(cases.reference(cases.assignment(name, old)), about)
    assert {t.task: t.points for t in result.tasks} == dict.fromkeys(
        (t.name for t in about.tasks), 0
    )


def rounds(name: str) -> list[list[cases.Wrong]]:
    """Groups that hold each wrong answer once; in each group, one task in turn stays right."""
    tasks = [task.name for task in cases.assignment(name).tasks]
    left = {task: [w for w in cases.wrong_answers(name) if w.task == task] for task in tasks}
    found = []
    while any(left.values()):
        right = tasks[len(found) % len(tasks)]
        found.append([left[task].pop() for task in tasks if task != right and left[task]])
    return [wrong for wrong in found if wrong]


ROUNDS = [(name, wrong) for name in cases.NAMES for wrong in rounds(name)]


@pytest.mark.parametrize("name", cases.NAMES)
def test_every_wrong_answer_is_in_a_round(name: str) -> None:
    """Protects: the test below grades every wrong answer exactly once."""
    listed = [wrong.name for of, wrongs in ROUNDS if of == name for wrong in wrongs]
    assert sorted(listed) == sorted(wrong.name for wrong in cases.wrong_answers(name))


@pytest.mark.parametrize(("name", "wrong"), ROUNDS, ids=[f"{name[:2]}" for name, _ in ROUNDS])
def test_wrong_answer_loses_in_its_task_only(name: str, wrong: list[cases.Wrong]) -> None:
    """Protects: a wrong answer fails exactly the listed tests, and other tasks keep all points.

    Wrong answers to different tasks are handed in together, since grading a notebook is slow.
    """
    about = cases.assignment(name)
    result = grade(cases.with_answers(about, wrong), about, every=True)
    found = {task.task: {o.test for o in task.outcomes if not o.passed} for task in result.tasks}
    expected = {task.name: set[str]() for task in about.tasks}
    assert found == expected | {w.task: set(w.fails) for w in wrong}
    for task, outcome in zip(about.tasks, result.tasks, strict=True):
        assert (outcome.points == task.points) == (task.name not in {w.task for w in wrong})


@pytest.mark.parametrize(("name", "task"), TASKS)
def test_task_has_enough_wrong_answers(name: str, task: str) -> None:
    """Protects: every task has at least four plausible wrong answers."""
    names = [wrong.name for wrong in cases.wrong_answers(name) if wrong.task == task]
    assert len(set(names)) == len(names) >= 4


@pytest.mark.parametrize(("name", "task"), TASKS)
def test_no_hidden_test_can_be_removed(name: str, task: str) -> None:
    """Protects: for each hidden test there is a wrong answer that fails in this test only.

    If the test were removed, or passed every answer, this answer would get full marks, and
    `test_wrong_answer_loses_in_its_task_only` would fail.
    """
    (found,) = [t for t in cases.assignment(name).tasks if t.name == task]
    wrong = [w for w in cases.wrong_answers(name) if w.task == task]
    alone = {w.fails[0] for w in wrong if len(w.fails) == 1}
    assert {test.name for test in found.tests} == alone
    assert {test for w in wrong for test in w.fails} == alone


def judgements(about: Assignment, task: str) -> dict[str, list[str]]:
    """The functions of `judge` that each hidden test of a task calls."""
    (code,) = HIDDEN.findall(about.cell("checks", task).source)
    found = {}
    for function in ast.parse(code).body:
        if isinstance(function, ast.FunctionDef) and function.decorator_list:
            calls = [n.func for n in ast.walk(function) if isinstance(n, ast.Call)]
            words = [c.id for c in calls if isinstance(c, ast.Name) and c.id in JUDGEMENTS]
            found[function.name] = words
    return found


@pytest.mark.parametrize(("name", "task"), TASKS)
def test_hidden_test_judges_once(name: str, task: str) -> None:
    """Protects: a hidden test makes one judgement; the loss of a second one would go unnoticed."""
    about = cases.assignment(name)
    (found,) = [t for t in about.tasks if t.name == task]
    words = judgements(about, task)
    assert set(words) == {test.name for test in found.tests}
    assert {test: len(used) for test, used in words.items()} == dict.fromkeys(words, 1)


class Shaken(Student):
    """A student who gives right answers with a small relative error."""

    shaken = False

    def __init__(self, cells: list[session.Cell], limits: session.Limits) -> None:
        super().__init__(cells, limits)
        self.noise = np.random.default_rng(0)

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        return {key: self.shake(value) for key, value in super()._ask(question).items()}

    def shake(self, value: Any) -> Any:
        """The same kind of value with relative errors of about 1e-5; more in low precision."""
        if isinstance(value, (list, tuple)):
            return type(value)(self.shake(item) for item in value)
        if isinstance(value, dict):
            return {key: self.shake(item) for key, item in value.items()}
        if isinstance(value, FormulaText):
            self.shaken = True
            return FormulaText(f"Mul(Float('1.00001'), {value.text})")
        if type(value).__module__ == "torch" and value.is_floating_point():
            size = {"torch.float64": 1e-5, "torch.float32": 1e-3}.get(str(value.dtype), 0.2)
            factor = type(value)(self.off(value.shape, size)).double()
            self.shaken |= bool((value.isfinite() & (value != 0)).any())
            shaken = (value.detach().double() * factor).to(value.dtype)
            return shaken.requires_grad_(value.requires_grad)
        if isinstance(value, float) or getattr(getattr(value, "dtype", None), "kind", "") == "f":
            self.shaken |= bool((np.isfinite(value) & (np.asarray(value) != 0)).any())
            shaken = np.asarray(value) * self.off(np.shape(value), 1e-5)
            return float(shaken) if isinstance(value, float) else shaken
        return value

    def off(self, shape: Any, size: float) -> Any:
        """Factors near 1, at least `size` away from it."""
        signs = self.noise.choice([-1, 1], tuple(shape))
        return 1 + size * signs * self.noise.uniform(1, 3, tuple(shape))


def notices(test: HiddenTest, student: Student) -> bool:
    """Whether the student fails a hidden test."""
    from coursework.grade import put

    return not put(test, student, "").passed


@pytest.mark.parametrize("name", cases.NAMES)
def test_no_tolerance_can_be_widened(name: str) -> None:
    """Protects: a hidden test that compares numbers fails for an error of 1e-5 (float64)."""
    about = cases.assignment(name)
    cells = understand(cases.reference(about), about).cells
    with Shaken(cells, about.limits) as student:
        for task in about.tasks:
            words = judgements(about, task.name)
            for test in task.tests:
                student.shaken = False
                noticed = notices(test, student)
                if student.shaken and words[test.name][0] in ("close", "means"):
                    assert noticed, f"{test.name} passes an error of 1e-5"
