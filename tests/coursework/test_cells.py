"""Right answers keep their points in the forms that Jupyter gives them, or a person has to look."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from coursework import handout
from coursework.grade import GRADED, NOT_GRADED, Result, grade
from coursework.sandbox import magics
from coursework.submission import Submission, understand
from tests.coursework import cases

ABOUT = cases.assignment("01-bradley-terry-to-dpo")
FULL = {task.name: task.points for task in ABOUT.tasks}


def notebook(about: Any = ABOUT) -> Any:
    """The notebook with right answers, as plain data."""
    return json.loads(handout.text_of(cases.reference(about)))


def read(change: Callable[[Any], None]) -> Submission:
    """A right notebook after a change."""
    found = notebook()
    change(found)
    return understand(found, ABOUT)


def graded(change: Callable[[Any], None]) -> Result:
    """The grade of a right notebook after a change."""
    return grade(read(change), ABOUT)


def edit(task: str, function: Callable[[str], str]) -> Callable[[Any], None]:
    """A change of the text of an answer."""

    def change(found: Any) -> None:
        cell = cases.cell(found, f"answer-{task}")
        cell["source"] = function("".join(cell["source"]))

    return change


# Each must define `x` as 1, as it does in IPython.
DEFINES = {
    "plain": "x = 1",
    "help": "import os\nx = 1\nos.getcwd?\n?os.getcwd\nos.getcwd??",
    "line magics": "%matplotlib inline\nx = 1\n%timeit -n 1 x + 1",
    "a magic in a block": "if True:\n    %config a = 1\n    x = 1",
    "a timed statement": "%time x = 1",
    "a timed value": "x = %time 2 - 1",
    "a timed cell": "%%time\nx = 1",
    "a captured cell": "%%capture out\nx = 1\nprint(out)",
    "two cell magics": "%%time\n%%capture\nx = 1",
    "a comment above": "# timed\n%%time\nx = 1",
    "the shell": "!ls\nx = 1\n!!ls\nif x:\n    !ls {x}",
    "the shell's output": "files = !ls\nx = 1 + len([f for f in files])",
    "a timing as a value": "t = %timeit -o 1 + 1\nprint(f'{t.average:.3f}', t.all_runs[:2])\nx = 1",
    "await": "import asyncio\nawait asyncio.sleep(0)\nx = 1",
    "async with": "import asyncio\nasync with asyncio.Lock():\n    x = 1",
    "await in a timed cell": "%%time\nimport asyncio\nawait asyncio.sleep(0)\nx = 1",
    "semicolons": "x = 1;",
    "a call without brackets": "/print 1\nx = 1",
    "prompts": ">>> x = 0\n>>> for i in range(1):\n...     x += 1\n",
    "an indented cell": "    y = 0\n    x = y + 1",
    "lines like magics in a text": 's = """\n%a\n!b\nc?\n"""\nx = int(s == "\\n%a\\n!b\\nc?\\n")',
    "a remainder on its own line": "x = (3\n% 2)",
    "the shell object": "get_ipython().run_line_magic('config', 'a')\nget_ipython().a.b()\nx = 1",
}


@pytest.mark.parametrize("kind", DEFINES)
def test_ipython_syntax_keeps_the_answer(kind: str) -> None:
    """Protects: a cell that IPython understands defines what it defines there."""
    names: dict[str, Any] = {}
    names["get_ipython"] = shell = magics.Shell(names)
    # In a thread of its own, because browser tests leave an event loop running in this one.
    with ThreadPoolExecutor(1) as alone:
        alone.submit(shell.run_cell, DEFINES[kind], "cell").result()
    assert names["x"] == 1


def test_nothing_but_python_is_executed(tmp_path: Any) -> None:
    """Protects: shell lines, scripts and files do not run; the grader says which."""
    names: dict[str, Any] = {}
    names["get_ipython"] = shell = magics.Shell(names)
    mark = tmp_path / "mark"
    for code in ("!touch", "x = !touch", "%%bash\ntouch", "%sx touch", "%%writefile"):
        assert len(shell.run_cell(f"{code} {mark}\n", "cell")) == 1
    assert not mark.exists()


UNREAD = {
    "f(x)?;": True,
    "!ls\ndef f(:": True,
    "x = y? + 1\n%matplotlib": True,
    "def f(x)\n    return x": False,
    "print 3": False,
}


@pytest.mark.parametrize("code", UNREAD)
def test_an_error_of_the_notebook_is_told_from_one_of_python(code: str) -> None:
    """Protects: only a cell with IPython's syntax in it is for a person to look at."""
    with pytest.raises(SyntaxError) as caught:
        magics.code_of(code, "cell")
    assert caught.value.notebook is UNREAD[code]  # type: ignore[attr-defined]


def test_answers_keep_their_points() -> None:
    """Protects: in the jail too, a right answer with IPython's syntax has full marks."""

    def change(found: Any) -> None:
        edit("win", lambda code: f"%%time\n{code}\nnp.exp?\n!ls")(found)
        edit("gap", lambda code: f"files = !ls\n{code}\nawait_ = None;")(found)
        edit("optimum", lambda code: f"import asyncio\nawait asyncio.sleep(0)\n{code}")(found)
        edit("loss", lambda code: f"# half an emoji: \ud83d\n{code}")(found)
        setup = cases.cell(found, "setup")
        setup["source"] = "import math as mine\n" + "".join(setup["source"])
        found["cells"].append({"cell_type": "code", "source": "mine.pi", "metadata": {}})

    result = graded(change)
    assert {task.task: task.points for task in result.tasks} == FULL
    assert not any("raised" in note for note in result.notes)
    assert any(note.startswith("the setup cell was edited") for note in result.notes)
    assert "not run in answer-gap: !ls" in result.notes


def test_a_wrong_answer_with_a_doubt_is_for_a_person() -> None:
    """Protects: never 0 as if wrong where the grader, and not the student, may be at fault."""

    def change(found: Any) -> None:
        edit("win", lambda code: f"%%cython\n{code}")(found)
        edit("gap", lambda code: f"{code}\nnp.exp()?;")(found)
        edit("optimum", lambda code: "def optimal_policy(reward)\n    pass")(found)
        code = "".join(cases.cell(found, "answer-loss")["source"])
        edit("loss", lambda code: "raise NotImplementedError()")(found)
        cases.cell(found, "checks-loss")["source"] = code

    result = graded(change)
    win, gap, optimum, loss = result.tasks
    assert [task.status for task in result.tasks] == [NOT_GRADED, NOT_GRADED, GRADED, NOT_GRADED]
    assert "does not run %%cython in answer-win" in win.reason
    assert "answer-gap has IPython's syntax" in gap.reason
    assert optimum.points == 0  # plain Python that is none
    assert loss.reason == "L is defined in checks-loss; move this code into answer-loss"


SPOILS = {
    "a module's name": "np = None",
    "a function": "def most_likely_gap(k, m): return 0",
    "deleted": "del most_likely_gap",
    "a builtin that it uses": "abs = 0",
}


@pytest.mark.parametrize("kind", SPOILS)
def test_a_later_cell_that_spoils_an_answer(kind: str) -> None:
    """The answer was right where it stands in the notebook, so a person has to look."""

    def result(spoil: str, answer: str) -> Any:
        def change(found: Any) -> None:
            edit("gap", lambda code: code.replace("return ", f"abs(1); return {answer}"))(found)
            at = found["cells"].index(cases.cell(found, "answer-gap")) + 1
            found["cells"].insert(at, {"cell_type": "code", "metadata": {}, "source": spoil})

        return next(task for task in graded(change).tasks if task.task == "gap")

    spoilt, wrong = result(SPOILS[kind], ""), result(SPOILS[kind], "7 + ")
    assert (spoilt.status, wrong.status) == (NOT_GRADED, GRADED)
    assert "until a later cell" in spoilt.reason


def test_python_that_is_newer_than_the_grader() -> None:
    """Protects: syntax of a newer Python is for a person to look at; not with an older one."""
    found = notebook()
    edit("win", lambda code: "newer syntax")(found)
    for version, status in (("3.99.1", NOT_GRADED), ("3.8.0", GRADED)):
        found["metadata"]["language_info"]["version"] = version
        assert grade(understand(found, ABOUT), ABOUT).tasks[0].status == status


def kind_of(kind: str) -> Callable[[Any], None]:
    """A change of the type of a cell."""

    def change(found: Any) -> None:
        cases.cell(found, "answer-win")["cell_type"] = kind

    return change


def split(found: Any) -> None:
    cell = cases.cell(found, "answer-win")
    at = found["cells"].index(cell)
    lines = "".join(cell["source"]).split("\n")
    parts = [copy.deepcopy(cell), copy.deepcopy(cell)]
    parts[0]["source"], parts[1]["source"] = "\n".join(lines[:2]), "\n".join(lines[2:])
    found["cells"][at : at + 1] = parts


def double(found: Any) -> None:
    found["cells"].append(copy.deepcopy(cases.cell(found, "answer-win")))


def forget(found: Any) -> None:
    cases.cell(found, "answer-win")["metadata"] = {}


def forget_all(found: Any) -> None:
    for cell in found["cells"]:
        cell["metadata"] = {}
    found["metadata"] = {}


def merge(found: Any) -> None:
    win, gap = (cases.cell(found, f"answer-{task}") for task in ("gap", "win"))
    win["source"] = "".join(win["source"]) + "\n\n" + "".join(gap["source"])
    found["cells"].remove(gap)


def new_cell(found: Any) -> None:
    cell = cases.cell(found, "answer-win")
    at = found["cells"].index(cell)
    found["cells"][at] = {"cell_type": "code", "source": cell["source"], "metadata": {}, "id": "x"}


NOT_RUN = {
    "Markdown": (kind_of("markdown"), "is a Markdown cell, so its code does not run; turn it"),
    "raw": (kind_of("raw"), "is a raw cell, so its code does not run; turn it into a code cell"),
    "no type": (kind_of(""), "is no code"),
    "split": (split, "2 cells are marked answer-win; if one was split, join its parts"),
    "doubled": (double, "2 cells are marked answer-win and have the same text; delete all but one"),
    "no metadata": (forget, "has lost its metadata, by which the grader knows it; copy its text"),
    "no metadata at all": (forget_all, "has lost its metadata"),
    "merged with another": (merge, "win_probability is defined in answer-gap; move this code"),
    "another cell": (new_cell, "win_probability is defined in cell 4; move this code into answer"),
}


@pytest.mark.parametrize("kind", NOT_RUN)
def test_an_answer_that_does_not_run_says_what_to_do(kind: str) -> None:
    """Protects: an answer that is there and does not run is NOT GRADED, with the remedy."""
    change, words = NOT_RUN[kind]
    submission = read(change)
    assert words in submission.problems["win"]
    others = {"no metadata at all": set(FULL)}.get(kind, {"win"})
    assert submission.problems.keys() == others
    assert all(cell.task not in others for cell in submission.cells)


PLACES: dict[str, Callable[[Any, Any], None]] = {
    "the checks": lambda found, code: cases.cell(found, "checks-gap").update(source=code),
    "the setup": lambda found, code: cases.cell(found, "setup").update(source=code),
    "a cell before": lambda found, code: found["cells"].insert(
        1, {"cell_type": "code", "source": code, "metadata": {}}
    ),
    "a raw cell": lambda found, code: found["cells"].append(
        {"cell_type": "raw", "source": code, "metadata": {}}
    ),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "stub", ["", "def win_probability(a, b):\n    raise NotImplementedError()"]
)
def test_code_in_another_cell_is_a_doubt(place: str, stub: str) -> None:
    """Protects: an answer that was written into another cell is not wrong, but misplaced."""
    found = notebook()
    code = cases.cell(found, "answer-win")["source"]
    cases.cell(found, "answer-win")["source"] = stub
    PLACES[place](found, code)
    (reason,) = understand(found, ABOUT).doubts.values()
    assert reason.startswith("win_probability is defined in ")
    assert reason.endswith("; move this code into answer-win")


@pytest.mark.parametrize("variant", range(2))
@pytest.mark.parametrize("name", cases.NAMES)
def test_what_is_handed_out_raises_no_doubt(name: str, variant: int) -> None:
    """Protects: neither the unsolved notebook nor the reference is for a person to look at."""
    about = cases.assignment(name, variant)
    for version in (handout.make(about), cases.reference(about)):
        submission = understand(json.loads(handout.text_of(version)), about)
        assert (submission.problems, submission.doubts, submission.notes) == ({}, {}, [])


def test_empty_parts_of_a_notebook() -> None:
    """Protects: cells without a source, metadata or type are no answers, and harm none."""

    def change(found: Any) -> None:
        for cell in ({}, {"cell_type": "code", "source": None, "metadata": None, "id": None}):
            found["cells"].insert(1, cell)
        cases.cell(found, "words-1")["source"] = None

    submission = read(change)
    assert (submission.problems, submission.doubts) == ({}, {})
    assert submission.answers["words-1"] == ""
    assert "None" not in [cell.source for cell in submission.cells]


def test_an_answer_in_words_is_read_by_its_own_id() -> None:
    """Protects: the reader sees an answer whose metadata are lost, and a missing one is said."""

    def change(found: Any) -> None:
        cases.cell(found, "words-1")["metadata"] = {}
        cases.cell(found, "words-1")["source"] = "Z cancels \ud83d\ude00 \ud83d."
        found["cells"].remove(cases.cell(found, "open-1"))

    submission = read(change)
    assert submission.answers == {"open-1": "", "words-1": "Z cancels \U0001f600 \ufffd."}
    assert "open-1 is not in the notebook" in submission.notes
