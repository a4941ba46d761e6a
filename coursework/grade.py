"""Grading of one submission by its hidden tests.

A grade depends only on the submission, the master, the variant and the course's seed, so grading
again gives the same result.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

from coursework.judge import HiddenTest, WrongError
from coursework.master import Assignment, Task
from coursework.names import printable
from coursework.session import DiedError, Limits, Student, StudentError
from coursework.submission import Found, NotGradedError, Submission, read_notebook, understand

WIDEST = 40  # characters of a name in the table; a longer one moves its row to the right
MOST_DEATHS = 6  # per submission; after these its other tasks are NOT GRADED
GRADED, NOT_GRADED, TO_BE_READ = "graded", "NOT GRADED", "to be read"


@dataclass(frozen=True)
class Outcome:
    """The result of one hidden test. `told` is for the student, `private` for the instructor."""

    test: str
    kind: str
    points: int
    passed: bool
    told: str = ""
    private: str = ""


@dataclass(frozen=True)
class TaskResult:
    """Points of a task. `status` is one of `GRADED`, `NOT_GRADED`."""

    task: str
    title: str
    points: int
    most: int
    status: str
    reason: str = ""
    outcomes: tuple[Outcome, ...] = ()


@dataclass(frozen=True)
class Result:
    """A graded submission; `readings` are the answers that a person has to read.

    `key` is a hash of all that the grade depends on, by which `folder` knows it again.
    """

    student: str
    assignment: str
    variant: int
    status: str
    reason: str = ""
    tasks: tuple[TaskResult, ...] = ()
    readings: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    key: str = ""

    @property
    def points(self) -> int:
        """Points of all tasks."""
        return sum(task.points for task in self.tasks)


def put(test: HiddenTest, student: Student, seed: str) -> Outcome:
    """Run one hidden test. Raises DiedError if the student's process ends during it."""
    told = private = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an answer may well divide by zero
            test.function(student, test.rng(seed))
    except WrongError as error:
        private = str(error)
    except StudentError as error:
        told = f"your code raised {error.kind}"
        private = error.told()
    except DiedError:
        raise
    except Exception as error:  # an answer of a kind that the test did not expect
        private = f"{type(error).__name__}: {error}"
    else:
        return Outcome(test.name, test.kind, test.points, True)
    return Outcome(test.name, test.kind, test.points, False, told, private)


def grade_task(task: Task, student: Student, seed: str, *, every: bool = False) -> TaskResult:
    """Run a task's tests. If the first one fails, the task gets no points and the rest is skipped.

    With `every` no test is skipped; the project's own tests use it.
    """
    outcomes: list[Outcome] = []
    reason = ""
    for test in task.tests:
        if len(student.deaths) >= MOST_DEATHS:
            raise NotGradedError("the process of this notebook had to be stopped too often")
        try:
            outcomes.append(put(test, student, seed))
        except DiedError as error:
            told = f"your code was stopped: {error}"
            outcomes.append(Outcome(test.name, test.kind, test.points, False, told))
            if not outcomes[0].passed:
                reason = str(error)
        if not outcomes[0].passed and not every:
            break
    cell = student.fatal.get(f"answer-{task.name}")
    if cell:
        reason = f"the cell answer-{task.name} was stopped: {cell}"
    points = sum(o.points for o in outcomes if o.passed) if outcomes[0].passed else 0
    status = NOT_GRADED if reason else GRADED
    return TaskResult(task.name, task.title, points, task.points, status, reason, tuple(outcomes))


def not_graded(task: Task, reason: str) -> TaskResult:
    """A task without points, and why."""
    return TaskResult(task.name, task.title, 0, task.points, NOT_GRADED, reason)


def grade(
    submission: Submission,
    assignment: Assignment,
    name: str = "",
    *,
    seed: str = "",
    limits: Limits | None = None,
    every: bool = False,
) -> Result:
    """Grade one submission. A failure in one task does not affect the other tasks."""
    tasks = []
    with Student(submission.cells, limits or assignment.limits) as student:
        for task in assignment.tasks:
            problem = submission.problems.get(task.name)
            if problem:
                tasks.append(not_graded(task, problem))
                continue
            try:
                full_seed = f"{seed}/{assignment.name}/{assignment.variant}"
                result = grade_task(task, student, full_seed, every=every)
                tasks.append(_looked_at(result, submission, student))
            except (NotGradedError, DiedError) as error:
                tasks.append(not_graded(task, str(error)))
        notes = [f"{cell} was stopped: {how}" for cell, how in student.fatal.items()]
        notes += [f"{cell} raised {error.told()}" for cell, error in student.errors.items()]
        notes += [f"not run in {cell}: {lines}" for cell, lines in student.left_out.items()]
    return Result(
        name,
        assignment.name,
        assignment.variant,
        GRADED,
        "",
        tuple(tasks),
        submission.answers,
        (*submission.notes, *notes),
    )


def _looked_at(result: TaskResult, submission: Submission, student: Student) -> TaskResult:
    """The result, but NOT GRADED if a wrong answer may be right in the student's own notebook."""
    if result.status == NOT_GRADED or result.outcomes[0].passed:
        return result
    cell = f"answer-{result.task}"
    error = student.errors.get(cell)
    extra = sorted(name for name in student.unread if not name.startswith("answer-"))
    if result.task in submission.doubts:
        reason = submission.doubts[result.task]
    elif cell in student.unread or extra:
        name = cell if cell in student.unread else extra[0]
        reason = f"{name} has IPython's syntax in a form that the grader cannot read; remove it"
    elif cell in student.left_out:
        reason = f"the grader does not run {student.left_out[cell]} in {cell}; remove it"
    elif error is not None and error.kind == "SyntaxError" and submission.python:
        reason = f"{cell} may need Python {submission.python}, and the grader's is older"
    else:
        return result
    return dataclasses.replace(result, status=NOT_GRADED, reason=reason)


def grade_found(found: Found, assignment: Assignment, seed: str = "") -> Result:
    """Grade a student's notebook. Raises nothing: a failure to grade is a result too."""
    try:
        if found.path is None:
            raise NotGradedError(found.reason)
        submission = understand(read_notebook(found.path), assignment)
        result = grade(submission, assignment, found.student, seed=seed)
        return dataclasses.replace(result, notes=(*found.notes, *result.notes))
    except NotGradedError as error:
        reason = str(error)
    except Exception as error:  # one broken submission never stops the rest
        reason = printable(f"the grader failed: {type(error).__name__}: {error}")
    tasks = tuple(not_graded(task, reason) for task in assignment.tasks)
    result = Result(found.student, assignment.name, assignment.variant, NOT_GRADED, reason, tasks)
    return dataclasses.replace(result, notes=found.notes)


def table(results: Sequence[Result], assignment: Assignment) -> str:
    """A text table of points per student and task, with a reason for all that was not graded."""
    width = max([len("student"), *(min(len(r.student), WIDEST) for r in results)])
    head = [f"{'student':<{width}}", *(f"{t.name:>9}" for t in assignment.tasks), "    total"]
    rows = ["".join(head)]
    for result in results:
        cells = [
            f"{'NG' if t.status == NOT_GRADED else t.points:>6}/{t.most:<2}" for t in result.tasks
        ]
        rows.append(
            f"{result.student:<{width}}{''.join(cells)}{result.points:>6}/{assignment.points}"
        )
    for result in results:
        if result.status == NOT_GRADED:
            rows.append(f"{result.student}: NOT GRADED: {result.reason}")
            continue
        for task in result.tasks:
            if task.status == NOT_GRADED:
                rows.append(f"{result.student}, {task.task}: NOT GRADED: {task.reason}")
    rows += [f"{r.student}: {note}" for r in results for note in r.notes if " raised " not in note]
    graded = [r for r in results if r.status == GRADED]
    if graded:
        mean = sum(r.points for r in graded) / len(graded)
        rows.append(f"{len(graded)} of {len(results)} graded, mean {mean:.1f}/{assignment.points}")
    questions = ", ".join(f"{r.name} ({r.points})" for r in assignment.readings)
    rows.append(f"To be read by a person, points not included: {questions}")
    return "\n".join(rows)
