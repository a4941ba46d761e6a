"""Grading of a folder, and its reports."""

from __future__ import annotations

import copy
import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from coursework import handout, reading, report
from coursework.grade import NOT_GRADED, Result, TaskResult, grade, table
from coursework.master import ROOT
from coursework.submission import understand
from tests.coursework import cases
from tests.coursework.test_handout import leaks

NAME = "01-bradley-terry-to-dpo"


def hand_in(folder: Path) -> None:
    """Four submissions: right, unsolved, half right with a formula as its name, and broken."""
    about = cases.assignment(NAME)
    half = copy.deepcopy(cases.reference(about))
    cases.cell(half, "answer-loss")["source"] = "L = 1"
    cases.cell(half, "words-1")["source"] = "Z cancels.\n\n# It does"
    notebooks = {
        "anna": handout.text_of(cases.reference(about)),
        "ben": handout.text_of(handout.make(about)),
        "=half": json.dumps(half),
        "zoe": "junk",
    }
    folder.mkdir()
    for student, text in notebooks.items():
        (folder / f"{student}.ipynb").write_text(text, encoding="utf-8")


def command(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run ``python -m coursework`` as an instructor does."""
    line = [sys.executable, "-m", "coursework", *map(str, words)]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder by its name."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The output of `grade`, and the folder that it fills."""
    folder = tmp_path_factory.mktemp("course")
    hand_in(folder / "in")
    done = command("grade", NAME, folder / "in", "--to", folder / "out", "--jobs", "2")
    assert done.returncode == 0, done.stderr
    return done.stdout, folder / "out" / NAME


def test_grading_shows_progress_and_a_table(graded: tuple[str, Path]) -> None:
    """Protects: the output has progress, points, and reasons where nothing was graded."""
    said, _ = graded
    assert "[4/4]" in said
    assert "Isolation" in said or "WARNING" in said
    assert "zoe: NOT GRADED: zoe.ipynb is not a notebook" in said
    assert "18/18" in said
    assert "To be read by a person" in said


def test_points_per_task(graded: tuple[str, Path]) -> None:
    """Protects: points.csv has each task of each student, and reasons."""
    _, out = graded
    with (out / "points.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert [rows["anna"][t] for t in ("win", "gap", "optimum", "loss", "total")] == [
        *"5454",
        "18",
    ]
    assert rows["ben"]["total"] == "0"
    assert rows["'=half"]["total"] == "14"  # escaped, so that no spreadsheet reads it as a formula
    assert (rows["zoe"]["status"], rows["zoe"]["total"]) == (NOT_GRADED, "0")
    assert rows["(most)"]["total"] == "25"


def test_canvas_and_gradescope(graded: tuple[str, Path]) -> None:
    """Protects: both files have the required form; the cell of a NOT GRADED student is empty."""
    _, out = graded
    with (out / "canvas.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0][:5] == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]
    assert rows[1][0].strip() == "Points Possible"
    assert {row[0]: row[5] for row in rows[2:]} == {
        "'=half": "14",
        "anna": "18",
        "ben": "0",
        "zoe": "",
    }
    scores = json.loads((out / "gradescope" / "anna" / "results.json").read_text())
    assert scores["score"] == 18
    assert [test["score"] for test in scores["tests"]] == [5, 4, 5, 4, 0, 0]
    assert all(test["score"] <= test["max_score"] for test in scores["tests"])


def test_students_are_not_shown_the_hidden_tests(graded: tuple[str, Path]) -> None:
    """Protects: feedback and Gradescope name kinds of tests, but no test and no answer."""
    _, out = graded
    names = [test.name for task in cases.assignment(NAME).tasks for test in task.tests]
    for path in [*out.glob("feedback/*"), *out.glob("gradescope/*/*")]:
        text = path.read_text(encoding="utf-8")
        assert not leaks(text)
        assert not any(name in text for name in names), path
    ben = (out / "feedback" / "ben.md").read_text(encoding="utf-8")
    assert "values: not passed (2 points); your code raised NotImplementedError" in ben
    assert "NotImplementedError in line 4" in ben


def test_answers_to_be_read(graded: tuple[str, Path]) -> None:
    """Protects: answers in words are listed with the rubric, and points can be entered."""
    _, out = graded
    text = (out / "to_read.md").read_text(encoding="utf-8")
    assert "- 1 point: " in text
    assert "> Z cancels." in text
    assert "> # It does" in text
    rows = (out / "reading.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "student,question,points"
    assert len(rows) == 1 + 2 * 4


def test_the_same_again(graded: tuple[str, Path], tmp_path: Path) -> None:
    """Protects: grading again, with another number of processes, gives the same files."""
    _, out = graded
    done = command("grade", NAME, out.parent.parent / "in", "--to", tmp_path / "out", "--jobs", "1")
    assert done.returncode == 0, done.stderr
    assert files(tmp_path / "out" / NAME) == files(out)


def test_points_of_the_reader(graded: tuple[str, Path], tmp_path: Path) -> None:
    """Protects: points entered by a person are in all reports, and a wrong entry is named."""
    _, out = graded
    results = report.load(out)
    about = cases.assignment(NAME)
    report.save(results, "", tmp_path)
    entries = tmp_path / "reading.csv"
    entries.write_text("student,question,points\nanna,words-1,3.5\nanna,open-1,\n")
    done = command("report", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "anna,5,4,5,4,3.5,,21.5,graded," in (tmp_path / "points.csv").read_text()
    assert "3.5 of 4" in (tmp_path / "feedback" / "anna.md").read_text()
    for entry in ("anna,words-1,5", "anna,words-2,1", "anna,words-1,x"):
        entries.write_text(f"student,question,points\n{entry}\n")
        with pytest.raises(ValueError, match="line 2"):
            reading.read_entries(tmp_path, about)
    assert command("report", tmp_path).stderr.startswith("reading.csv, line 2")


def test_results_survive_a_file(graded: tuple[str, Path]) -> None:
    """Protects: reports can be made again from results.json."""
    _, out = graded
    results = report.load(out)
    assert [r.student for r in results] == ["=half", "anna", "ben", "zoe"]
    assert isinstance(results[0], Result)
    assert isinstance(results[0].tasks[0], TaskResult)


def test_another_seed_asks_other_questions() -> None:
    """Protects: another seed gives other hidden numbers."""
    about = cases.assignment(NAME)
    test = about.tasks[0].tests[0]
    draws = [test.rng(f"{seed}/{NAME}/0").normal() for seed in ("", "", "mine")]
    assert draws[0] == draws[1] != draws[2]
    submission = understand(cases.reference(about), about)
    assert grade(submission, about, seed="mine").points == about.points


def test_table_is_whole_without_submissions() -> None:
    """Protects: an empty folder is not an error."""
    assert "student" in table([], cases.assignment(NAME))


def test_mistakes_on_the_command_line(tmp_path: Path) -> None:
    """Protects: a mistake ends with a one-sentence message that names it."""
    assert "there are 01-" in command("build", "nothing").stderr
    assert "is no folder" in command("grade", NAME, tmp_path / "none").stderr
    assert "results.json" in command("report", tmp_path).stderr
