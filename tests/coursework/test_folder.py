"""A folder of submissions: nothing is passed over in silence, and no work is lost."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from coursework import __main__ as program
from coursework import collect, folder, handout, report, tables
from coursework.collect import Found, find, passed_over
from coursework.folder import Job, grade_jobs, is_final, jobs_of
from coursework.grade import GRADED, NOT_GRADED, Result, TaskResult
from coursework.master import ROOT
from tests.coursework import cases

NAME = "01-bradley-terry-to-dpo"
ABOUT = cases.assignment(NAME)
TEXT = handout.text_of(cases.reference(ABOUT))


def put(place: Path, *names: str | bytes, text: str = TEXT) -> None:
    """Write the same file under several names below a folder."""
    for name in names:
        path = os.path.join(os.fsencode(place), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(os.fsdecode(path)).write_text(text, encoding="utf-8")


def of_variant(variant: Any) -> str:
    """The notebook as if it had been handed out as another variant."""
    found = json.loads(TEXT)
    found["metadata"]["coursework"]["variant"] = variant
    return json.dumps(found)


def test_a_notebook_is_graded_under_any_name(tmp_path: Path) -> None:
    """Protects: what browsers, platforms and systems do to a name; the name is still said."""
    names = ["ann.IPYNB", "ben.ipynb.txt", "carl.ipynb.json", "dora.json", "eve", "fay/x.Ipynb"]
    put(tmp_path, *names, "gus/a/b/hand in.ipynb.download")
    found = {one.student: one for one in find(tmp_path, ABOUT)}
    assert sorted(found) == ["ann", "ben", "carl", "dora", "eve", "fay", "gus"]
    assert all(one.path and not one.reason for one in found.values())
    assert "the notebook is ben.ipynb.txt" in found["ben"].notes


def test_whatever_is_not_graded_is_listed(tmp_path: Path) -> None:
    """Protects: every other file has a row with its remedy, a note, or a name in the list."""
    put(tmp_path, "ann.py", "ben.zip", "carl/hw.zip", "carl/hw.py", "dora.pdf", text="PK")
    put(tmp_path, "eve.ipynb", "fay/x.ipynb", "gus.ipynb", "gus.ipynb.txt")
    put(tmp_path, "eve.py", "fay/helper.py", text="x = 1")
    put(tmp_path, ".DS_Store", "__MACOSX/._eve.ipynb", "Thumbs.db", ".ipynb_checkpoints/a.ipynb")
    put(tmp_path, "fay/.ipynb_checkpoints/x-checkpoint.ipynb", "fay/__MACOSX/x.ipynb")
    put(tmp_path, "hal.ipynb", text=TEXT.replace(f'"{NAME}"', '"02-another"'))
    (tmp_path / "ida").symlink_to(tmp_path / "fay")
    (tmp_path / "jim.ipynb").symlink_to(tmp_path / "eve.ipynb")
    os.mkfifo(tmp_path / "kim.ipynb")
    found = {one.student: one for one in find(tmp_path, ABOUT)}
    reasons = {
        "ann": "ann.py is not a notebook; save it again as .ipynb",
        "ben": "ben.zip is an archive, and not a notebook; unpack it",
        "carl": "hw.zip is an archive, and not a notebook; unpack it",
        "dora": "dora.pdf is not a notebook",
        "gus": "2 notebooks (gus.ipynb, gus.ipynb.txt); keep one",
        "hal": "hal.ipynb is a notebook of 02-another",
        "ida": "ida is a link to a folder; put the folder itself there",
        "jim": "jim.ipynb is not a regular file",
        "kim": "kim.ipynb is not a regular file",
    }
    for student, words in reasons.items():
        assert found[student].path is None
        assert words in found[student].reason
    assert found["eve"].notes == ("passed over: eve.py",)
    assert found["fay"].notes == ("passed over: helper.py",)
    assert found.keys() == {*reasons, "eve", "fay"}
    junk = [".DS_Store", ".ipynb_checkpoints", "Thumbs.db", "__MACOSX"]
    assert passed_over(tmp_path) == junk


ENCODED: dict[str, Callable[[str], bytes]] = {
    "byte order mark": lambda text: text.encode("utf-8-sig"),
    "UTF-16": lambda text: text.encode("utf-16"),
    "line ends of Windows": lambda text: text.replace("\n", "\r\n").encode(),
}


@pytest.mark.parametrize("kind", ENCODED)
def test_encodings_of_a_notebook(kind: str, tmp_path: Path) -> None:
    """Protects: a notebook that an editor has saved in its own way is still the same notebook."""
    path = tmp_path / "a.ipynb"
    path.write_bytes(ENCODED[kind](TEXT))
    assert collect.read_notebook(path) == json.loads(TEXT)


def quick(jobs: Sequence[Job], processes: int = 1) -> Iterator[Result]:
    """Full marks for every notebook, without running it."""
    for job in jobs:
        if job.found.path is None:
            yield job.run()
            continue
        tasks = tuple(TaskResult(t.name, t.title, t.points, t.points, GRADED) for t in ABOUT.tasks)
        readings = {reading.name: "\ud83d" for reading in ABOUT.readings}
        notes, key = (*job.found.notes, "answer-win raised \udcff"), job.key
        yield Result(job.found.student, NAME, job.variant, GRADED, "", tasks, readings, notes, key)


@pytest.fixture
def grade(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """`grade` with full marks for all; returns what it prints, and with an error its message."""
    monkeypatch.setattr(program, "grade_jobs", quick)
    monkeypatch.setattr(program, "require_isolation", lambda: None)
    monkeypatch.setattr(program, "isolation", lambda: "")

    def run(*words: str, command: str = "grade") -> str:
        first = [NAME, str(tmp_path / "in"), "--to", str(tmp_path / "out")]
        if command == "report":
            first = [str(tmp_path / "out" / NAME)]
        monkeypatch.setattr(sys, "argv", ["coursework", command, *first, *words])
        try:
            program.main()
        except SystemExit as end:
            return f"{capsys.readouterr().out}ERROR {end}"
        return capsys.readouterr().out

    (tmp_path / "in").mkdir()
    return run


def points(tmp_path: Path) -> dict[str, float]:
    """The total of every student."""
    table = tables.read(tmp_path / "out" / NAME / "points.csv", ["student", "total"])
    return {row["student"]: float(row["total"]) for _, row in table.rows}


def give(tmp_path: Path, student: str, entry: str) -> None:
    """Type points into a row of reading.csv."""
    path = tmp_path / "out" / NAME / "reading.csv"
    row = f"{tables.kept(student)},words-1,"
    text = path.read_text(encoding="utf-8")
    assert f"\n{row}\n" in text
    path.write_text(text.replace(f"\n{row}\n", f"\n{row}{entry}\n"), encoding="utf-8")


def test_late_students_and_points_already_given(grade: Any, tmp_path: Path) -> None:
    """Protects: points given are kept when `grade` runs again; late students get rows."""
    put(tmp_path / "in", "anna.ipynb", "@ben.ipynb", "007.ipynb", "1-2.ipynb")
    assert "[4/4]" in grade()
    for student in ("anna", "@ben", "007", "1-2"):
        give(tmp_path, student, "2,5" if student == "" else "2")
    put(tmp_path / "in", "late.ipynb")
    told = grade()
    assert "4 are graded already and have not changed" in told
    assert "[1/1] late: 18 points" in told
    assert "reading.csv has new rows at its end, for late" in told
    assert points(tmp_path) == {"(most)": 25, "anna": 20, "'@ben": 20, "007": 20, "1-2": 20} | {
        "late": 18
    }
    give(tmp_path, "late", "3")
    told = grade(command="report")
    assert points(tmp_path)["late"] == 21
    assert "5 of 10 answers have no points yet: 007 open-1 (line 6)" in told
    # Another folder with late submissions only: nothing of the others is lost.
    for path in (tmp_path / "in").iterdir():
        path.unlink()
    put(tmp_path / "in", "later.ipynb")
    assert "Kept from earlier" in grade()
    assert points(tmp_path)["'@ben"] == 20
    assert len(points(tmp_path)) == 7


def test_a_mistake_in_the_readings_stops_before_the_work(grade: Any, tmp_path: Path) -> None:
    """Protects: a row of nobody with points is said at once, and nothing is overwritten."""
    put(tmp_path / "in", "anna.ipynb")
    grade()
    give(tmp_path, "anna", "2\nnobody,words-1,1")
    for told in (grade("--again"), grade(command="report")):
        assert "ERROR reading.csv, line 3: no student is called 'nobody'" in told
        assert "[1/1]" not in told
    assert points(tmp_path)["anna"] == 18


def test_only_what_changed_is_graded_again(grade: Any, tmp_path: Path) -> None:
    """Protects: a result is used again for the same notebook, seed, variant and grader only."""
    put(tmp_path / "in", "anna.ipynb", "ben.ipynb")
    put(tmp_path / "in", "zoe.py", text="x = 1")
    grade()
    put(tmp_path / "in", "ben.ipynb", text=TEXT + " ")
    told = grade()
    assert "[1/2] ben" in told
    assert "[2/2] zoe: NOT GRADED" in told  # once more, since somebody may have mended it
    assert "[3/3]" in grade("--again")
    assert "[3/3]" in grade("--seed", "another")
    assert "[1/1] zoe" in grade("--seed", "another")
    (job, _, _) = jobs_of(tmp_path / "in", NAME)
    (result,) = quick([job])
    assert is_final(result, job)
    lost = dataclasses.replace(result.tasks[0], status=NOT_GRADED)
    assert not is_final(dataclasses.replace(result, tasks=(lost,)), job)
    assert not is_final(dataclasses.replace(result, key=""), dataclasses.replace(job, key=""))


def test_the_wrong_variant_stops_before_the_class_gets_zeros(grade: Any, tmp_path: Path) -> None:
    """Protects: a wrong or missing --variant is an error with the remedy, not a class of zeros."""
    put(tmp_path / "in", "anna.ipynb", "ben.ipynb", text=of_variant(3))
    for words in ((), ("--variant", "2")):
        told = grade(*words)
        assert "2 as variant 3. Nothing is graded. Grade with --variant 3" in told
        assert not (tmp_path / "out" / NAME / "results.json").exists()
    assert "[2/2] ben: 18 points" in grade("--variant", "3")
    # Two variants in one class: each is graded by its own if both are named.
    put(tmp_path / "in", "carl.ipynb")
    told = grade("--variant", "3")
    assert "carl: NOT GRADED: the notebook was handed out as variant 0, and not as 3" in told
    assert "if it counts, add --variant 0" in told
    assert "[1/1] carl: 18 points" in grade("--variant", "3", "--variant", "0")
    put(tmp_path / "in", "dora.ipynb", text=of_variant("?"))
    told = grade("--variant", "3", "--variant", "0")
    assert "dora: NOT GRADED: the notebook does not say its variant" in told
    variants = {r.student: r.variant for r in report.load(tmp_path / "out" / NAME)}
    assert variants == {"anna": 3, "ben": 3, "carl": 0, "dora": 3}
    assert "[2/2] dora: 18 points" in grade("--variant", "3")


HARD = [b"J\xfcrgen.ipynb", "a\nb.ipynb", "\x1b[2J.ipynb", "CON.ipynb", "con.ipynb"]
HARD += ["a" * 249 + ".ipynb", "Zoe\u0308.ipynb", "a,b;\"c'.ipynb", "-1.ipynb", "..x\u202e.ipynb"]


def test_no_name_spoils_the_reports(grade: Any, tmp_path: Path) -> None:
    """Protects: every student has a row and files, whatever one name or one message contains."""
    hard = [name for name in HARD if not os.fsencode(name).startswith(b".")]
    put(tmp_path / "in", "anna.ipynb", *hard)
    told = grade()
    assert "ERROR" not in told
    assert "J\\xfcrgen: 18 points" in told
    assert all(line.isprintable() for line in told.splitlines())
    out = tmp_path / "out" / NAME
    assert len(report.load(out)) == len(hard) + 1
    assert len(points(tmp_path)) == len(hard) + 2
    for place in (out / "feedback", out / "gradescope"):
        files = [path.name.casefold() for path in place.iterdir()]
        assert len(set(files)) == len(hard) + 1
    for path in out.rglob("*"):
        assert path.is_dir() or path.read_bytes().decode("utf-8")


@pytest.mark.parametrize("obstacle", [".", NAME, f"{NAME}/results.json", f"{NAME}/feedback"])
def test_a_folder_that_cannot_be_written_stops_before_the_work(
    obstacle: str, grade: Any, tmp_path: Path
) -> None:
    """Protects: hours of grading are not lost because of --to."""
    put(tmp_path / "in", "anna.ipynb")
    path = tmp_path / "out" / obstacle
    path.parent.mkdir(parents=True, exist_ok=True)
    if obstacle.endswith(".json"):
        path.mkdir()
    else:
        path.write_text("a file where a folder should be")
    told = grade()
    assert "ERROR" in told
    assert "out" in told.partition("ERROR")[2]
    assert "[1/1]" not in told


def test_a_full_disk_leaves_what_was_there(
    grade: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects: a report that cannot be written whole does not replace the old one."""
    put(tmp_path / "in", "anna.ipynb")
    grade()
    out = tmp_path / "out" / NAME
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert "cannot be written: No space left on device" in grade("--again")
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_a_damaged_result_is_said(grade: Any, tmp_path: Path) -> None:
    """Protects: results.json cut by something else gives a sentence with the remedy."""
    put(tmp_path / "in", "anna.ipynb")
    grade()
    path = tmp_path / "out" / NAME / "results.json"
    path.write_text(path.read_text(encoding="utf-8")[:99], encoding="utf-8")
    assert "results.json is damaged" in grade()


class Killed(Job):
    """A job whose process is killed, as by a system that has no memory left."""

    def run(self) -> Result:
        if self.found.path is None:
            return super().run()
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


class Quick(Job):
    """A job that does nothing."""

    def run(self) -> Result:
        (result,) = quick([self])
        return result


def test_a_killed_process_costs_one_submission() -> None:
    """Protects: the others are graded if one submission kills the grader's own process."""
    kinds = {"anna": Quick, "ben": Killed}
    jobs = [kind(Found(name, Path(name)), NAME, 0, "", "") for name, kind in kinds.items()]
    results = {result.student: result for result in grade_jobs(jobs, 2)}
    assert [results[name].status for name in kinds] == [GRADED, NOT_GRADED]
    assert "the grader's process ended" in results["ben"].reason


def test_an_interrupt_keeps_what_was_graded(tmp_path: Path) -> None:
    """Protects: Ctrl-C ends the grading at once, and the same command goes on from there."""
    put(tmp_path / "in", *(f"s{number}.ipynb" for number in range(4)))
    slow = json.loads(TEXT)
    cases.cell(slow, "answer-win")["source"] = "while True: pass"
    put(tmp_path / "in", "s1.ipynb", text=json.dumps(slow))
    # A shell that starts this test in the background makes it ignore interrupts.
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from coursework.__main__ import main; main()"
    )
    words = ["grade", NAME, str(tmp_path / "in"), "--to", str(tmp_path / "out"), "--jobs", "1"]
    with subprocess.Popen(
        [sys.executable, "-c", code, *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        said = ""
        while "[1/4] s0: 18 points" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        os.killpg(process.pid, signal.SIGINT)
        start = time.monotonic()
        said += process.stdout.read()
        assert process.wait() == 130
        assert time.monotonic() - start < 15  # the endless loop would take 20 s of the processor
    assert "Traceback" not in said
    assert "Stopped: 1 of 4 are graded and saved. The same command goes on." in said
    (result,) = report.load(tmp_path / "out" / NAME)
    assert is_final(result, folder.jobs_of(tmp_path / "in", NAME)[0])
