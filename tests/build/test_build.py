"""The build of the book: what it says, what it refuses, and that it can be stopped anywhere."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import psutil

from tests.build.conftest import Tree


def kernels_in(folder: Path) -> list[psutil.Process]:
    """Kernels that work in ``folder``."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        command = " ".join(process.info["cmdline"] or [])
        if "ipykernel_launcher" in command and process.info["cwd"] == str(folder):
            found.append(process)
    return found


def wait_until(condition: object, seconds: float = 60) -> bool:
    """Whether ``condition()`` became true within ``seconds``."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.1)
    return False


def test_a_repeated_build_executes_nothing_and_says_what_it_has(tiny: Tree) -> None:
    """Protects: chapters from the cache, their times and the place of the book on the terminal."""
    code, output = tiny.build()
    assert code == 0, output
    assert "Executing" not in output
    assert output.count("(from the cache)") == 2
    assert "_build/html/index.html" in output
    assert tiny.mark().exists()


def test_prose_is_new_without_execution(tiny: Tree) -> None:
    """Protects: the cheap path, and that all pages follow a page's new title."""
    tiny.build()  # a folder that has moved is read anew as a whole, which would prove nothing
    tiny.edit("book/one.md", "# Chapter one", "# Chapter renamed")
    code, output = tiny.build()
    assert code == 0, output
    assert "Executing" not in output
    assert "Chapter renamed" in tiny.page("book/two"), "another page's navigation is stale"


def test_only_the_edited_chapter_runs(tiny: Tree) -> None:
    """Protects: a code edit costs one chapter."""
    tiny.edit("book/one.md", "the value is", "the value was")
    code, output = tiny.build()
    assert code == 0, output
    assert "Executing 1 of 2" in output
    assert "the value was first" in tiny.page("book/one")


def test_plain_jupyter_book_sees_a_changed_package(tiny: Tree) -> None:
    """Protects: no stale page even for someone who does not build through ``make``."""
    tiny.write("src/dpofield/value.py", "VALUE = 'second'\n")
    code, output = tiny.jupyter_book()
    assert code == 0, output
    assert "the value is second" in tiny.page("book/one")


def test_a_failing_chapter_shows_its_traceback(tiny: Tree) -> None:
    """Protects: the terminal says which chapter failed and why; the old site is not called new."""
    tiny.edit("book/one.md", 'print("the value is", VALUE)', "1 / 0")
    code, output = tiny.build()
    assert code != 0
    assert "ZeroDivisionError" in output
    assert "book/one failed" in output
    code, output = tiny.run(
        sys.executable,
        "-c",
        "import sys; sys.path.append('tools'); import fingerprint as f;print(f.why_not_current())",
    )
    assert "before a change (pages)" in output


def test_a_warning_stays_an_error_when_the_build_is_repeated(tiny: Tree) -> None:
    """Protects: Sphinx warns about a page when it reads it, and would be content the next time."""
    tiny.edit("book/one.md", "Some prose", "See {doc}`nowhere`")
    for _ in range(2):
        code, output = tiny.build()
        assert code != 0, output
        assert "nowhere" in output
        assert not tiny.mark().exists()
    tiny.edit("book/one.md", "See {doc}`nowhere`", "Some prose")
    code, output = tiny.build()
    assert code == 0, output


def test_an_interruption_ends_the_kernels_and_harms_nothing(tiny: Tree) -> None:
    """Protects: Ctrl-C while a chapter runs; no orphan, no half result, the next build goes on."""
    tiny.write("ORDER", "wait")
    tiny.edit("book/two.md", "two is done", "two is done again")
    process = tiny.start(sys.executable, "tools/build.py")
    try:
        assert wait_until((tiny.root / "STARTED").exists)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode != 0
    assert "Interrupted" in output
    assert wait_until(lambda: not kernels_in(tiny.root / "book"), 20)
    (tiny.root / "ORDER").unlink()
    code, output = tiny.build()
    assert code == 0, output
    assert "two is done again" in tiny.page("book/two")


def test_a_build_killed_between_two_pages_leaves_no_old_page(tiny: Tree) -> None:
    """Protects: Sphinx saves its view of the pages before it writes them, and would believe it."""
    tiny.write("ORDER", "die")
    tiny.write("src/dpofield/value.py", "VALUE = 'second'\n")
    code, output = tiny.jupyter_book()
    assert code == -signal.SIGKILL, output
    assert not tiny.mark().exists()
    (tiny.root / "ORDER").unlink()
    code, output = tiny.jupyter_book()
    assert code == 0, output
    assert "the value is second" in tiny.page("book/one")
    assert tiny.mark().exists()


def test_sources_edited_during_the_build_are_noticed(tiny: Tree) -> None:
    """Protects: an output that belongs to no version of its sources is never kept."""
    tiny.write("ORDER", "edit")
    tiny.edit("book/two.md", "two is done", "two is done again")
    code, output = tiny.build()
    assert code != 0
    assert "Sources changed" in output
    (tiny.root / "ORDER").unlink()
    code, output = tiny.build()
    assert code == 0, output
    assert "the value is edited" in tiny.page("book/one")


def test_a_page_that_is_not_there_is_named(tiny: Tree) -> None:
    """Protects: the message for a line too many in the table of contents."""
    tiny.edit("_toc.yml", "book/two", "book/three")
    code, output = tiny.build()
    assert code != 0
    assert "_toc.yml lists book/three" in output
    assert "Traceback" not in output
