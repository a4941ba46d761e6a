"""Assignments of the book: ``python -m coursework build | grade | report | list | bench``."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import tempfile
import time
from pathlib import Path

from coursework import handout, master, report
from coursework.collect import passed_over
from coursework.folder import grade_jobs, is_final, jobs_of
from coursework.grade import NOT_GRADED, table
from coursework.master import MasterError
from coursework.reading import read_entries, unread
from coursework.session import UnprotectedError, isolation, require_isolation

SAVE_SECONDS = 1.0  # between two savings of the results


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def build(options: argparse.Namespace) -> None:
    """Write the student notebooks; with --nbgrader the folders of an nbgrader course."""
    for name in options.names or list(master.masters()):
        assignment = master.load(name, options.variant)
        if options.nbgrader:
            for path in handout.write_course(assignment, options.nbgrader):
                print(path)
            continue
        path, changed = handout.write(assignment, options.to)
        print(f"{path} ({'written' if changed else 'unchanged'})")
    if options.to == handout.HANDOUTS and options.variant == 0 and not options.nbgrader:
        everything = [master.load(name) for name in master.masters()]
        handout.write_if_new(handout.OVERVIEW, handout.overview(everything))


def grade(options: argparse.Namespace) -> None:
    """Grade a folder of submissions, show progress and a table, write all reports.

    Results are saved as they come. The same command goes on from there, and keeps the results of
    students who are not in this folder.
    """
    if not options.folder.is_dir():
        raise SystemExit(f"{options.folder} is no folder; give the folder of submissions.")
    variants, folder = options.variant or [0], options.to / options.name
    assignment = master.load(options.name, variants[0])
    if not options.unprotected:
        require_isolation()
    print(isolation(), flush=True)
    start = time.perf_counter()
    jobs = jobs_of(options.folder, options.name, variants, options.seed)
    if over := passed_over(options.folder):
        print(f"Passed over: {', '.join(over)}")
    earlier = report.load(folder) if (folder / "results.json").exists() else []
    results = {result.student: result for result in earlier}
    kept = sorted(results.keys() - {job.found.student for job in jobs})
    # A mistake in reading.csv, or a folder that cannot be written, is found before the work.
    read_entries(folder, assignment, sorted({*kept, *(job.found.student for job in jobs)}))
    todo = [
        job for job in jobs if options.again or not is_final(results.get(job.found.student), job)
    ]
    report.check(folder)
    if len(todo) < len(jobs):
        print(f"{len(jobs) - len(todo)} are graded already and have not changed (--again: anew)")
    saved, done = start, 0

    def save() -> None:
        report.save([results[s] for s in sorted(results)], options.seed, folder)

    with contextlib.closing(grade_jobs(todo, options.jobs)) as graded:
        try:
            for done, result in enumerate(graded, 1):
                results[result.student] = result
                points = NOT_GRADED if result.status == NOT_GRADED else f"{result.points} points"
                print(f"[{done}/{len(todo)}] {result.student}: {points}", flush=True)
                if time.perf_counter() > saved + SAVE_SECONDS:
                    save()
                    saved = time.perf_counter()
        except KeyboardInterrupt:
            save()
            print(f"Stopped: {done} of {len(todo)} are graded and saved. The same command goes on.")
            raise SystemExit(130) from None
        finally:
            save()
    everything = [results[student] for student in sorted(results)]
    told = report.write(everything, assignment, folder)
    print(f"\n{table(everything, assignment)}")
    if kept:
        print(f"Kept from earlier, with no submission in {options.folder}: {', '.join(kept)}")
    print(*told, f"{time.perf_counter() - start:.0f} s. Reports: {folder}", sep="\n")


def renew(options: argparse.Namespace) -> None:
    """Write the reports again, after points were entered into reading.csv."""
    results = report.load(options.folder)
    if not results:
        raise SystemExit(f"{options.folder}/results.json holds no submissions.")
    assignment = master.load(results[0].assignment, results[0].variant)
    told = report.write(results, assignment, options.folder)
    entries = read_entries(options.folder, assignment, [result.student for result in results])
    left = unread(entries, report.to_be_read(results, assignment))
    print(*told, *([left] if left else []), f"Reports: {options.folder}", sep="\n")


def show(_: argparse.Namespace) -> None:
    """List assignments, tasks and points."""
    for name in master.masters():
        assignment = master.load(name)
        print(f"{name}: {assignment.title}, {assignment.points} points by tests")
        for task in assignment.tasks:
            print(f"  {task.name}: {task.title} ({task.points})")
        for reading in assignment.readings:
            print(f"  {reading.name}: {reading.title} ({reading.points}, read by a person)")


def bench(options: argparse.Namespace) -> None:
    """Grade many copies of the reference answers, for which no test is skipped; print the time."""
    assignment = master.load(options.name)
    text = handout.text_of(handout.with_grading_cells(assignment))
    with tempfile.TemporaryDirectory() as folder:
        for student in range(options.count):
            Path(folder, f"student-{student:03}.ipynb").write_text(text, encoding="utf-8")
        start = time.perf_counter()
        results = list(grade_jobs(jobs_of(Path(folder), options.name), options.jobs))
        seconds = time.perf_counter() - start
    full = sum(result.points == assignment.points for result in results)
    print(f"{options.name}: {full} of {len(results)} with full marks in {seconds:.1f} s,")
    print(f"{options.jobs} at a time; {seconds / len(results):.2f} s per submission")


def main() -> None:
    """Run one command. A mistake of the user or in a master ends with a one-sentence message."""
    parser = argparse.ArgumentParser(prog="python -m coursework", description=__doc__)
    commands = parser.add_subparsers(required=True)

    made = commands.add_parser("build", help="make the student notebooks")
    made.add_argument("names", nargs="*", help="assignments; all if none is named")
    made.add_argument("--to", type=Path, default=handout.HANDOUTS, help="where to write them")
    made.add_argument("--nbgrader", type=Path, help="make source/ and release/ of a course here")
    made.set_defaults(run=build)

    graded = commands.add_parser("grade", help="grade a folder of submissions")
    graded.add_argument("name", help="assignment, as `list` names it")
    graded.add_argument("folder", type=Path, help="STUDENT.ipynb, or STUDENT/.../*.ipynb")
    graded.add_argument("--to", type=Path, default=Path("grades"), help="where reports go")
    graded.add_argument("--jobs", type=int, default=processors(), help="submissions at a time")
    graded.add_argument("--seed", default="", help="a word that changes the hidden numbers")
    graded.add_argument(
        "--unprotected", action="store_true", help="grade even if student code is not isolated"
    )
    graded.set_defaults(run=grade)
    graded.add_argument("--again", action="store_true", help="grade unchanged submissions anew")
    graded.add_argument(
        "--variant", type=int, action="append", metavar="N", help="as handed out; may be repeated"
    )
    made.add_argument("--variant", type=int, default=0, metavar="N", help="numbers from 0")

    renewed = commands.add_parser("report", help="write the reports again from results.json")
    renewed.add_argument("folder", type=Path, help="the folder that holds results.json")
    renewed.set_defaults(run=renew)

    timed = commands.add_parser("bench", help="how long grading takes on this machine")
    timed.add_argument("name", help="assignment, as `list` names it")
    timed.add_argument("--count", type=int, default=60, help="submissions")
    timed.add_argument("--jobs", type=int, default=processors(), help="submissions at a time")
    timed.set_defaults(run=bench)

    commands.add_parser("list", help="assignments, tasks and points").set_defaults(run=show)
    options = parser.parse_args()
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name may have letters that a terminal lacks
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        options.run(options)
    except (MasterError, UnprotectedError, ValueError, OSError) as error:
        raise SystemExit(str(error)) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
