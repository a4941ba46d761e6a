"""The build of the book: its messages, its errors, and interruptions at any point."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import psutil

from tests.build.conftest import Tree


def kernels_in(folder: Path) -> list[psutil.Process]:
    """Kernels that run in ``folder``."""
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


def test_what_is_edited_is_made_anew_and_nothing_else(tiny: Tree) -> None:
    """Protects: a repeated build, or one after an edit of prose or a comment, executes nothing.

    A new title appears on all pages. A change of code or of a module executes only the chapters
    that depend on it.
    """
    code, output = tiny.build()
    assert code == 0, output
    assert "Executing" not in output
    assert output.count("(from the cache)") == 2
    assert "_build/html/index.html" in output
    assert tiny.mark().exists()

    tiny.edit("book/one.md", "# Chapter one", "# Chapter renamed")
    tiny.edit("src/dpofield/value.py", "VALUE", "# What chapter one prints.\nVALUE")
    code, output = tiny.build()
    assert code == 0, output
    assert "Executing" not in output
    assert "Chapter renamed" in tiny.page("book/two"), "another page's navigation is stale"

    tiny.edit("book/two.md", "two is done", "two is done again")
    tiny.edit("src/dpofield/value.py", "first", "second")
    tiny.write("src/dpofield/other.py", "X = 1\n")
    code, output = tiny.build()
    assert code == 0, output
    assert "Executing 2 of 2" in output
    assert "the value is second" in tiny.page("book/one")
    assert "two is done again" in tiny.page("book/two")


def test_plain_jupyter_book_follows_the_package_even_after_a_kill(tiny: Tree) -> None:
    """Protects: no page is stale after a build without ``make``.

    Sphinx saves its environment before it writes the pages, and would use it after the build was
    killed between two pages. Only the chapter that imports the module is executed, and only once.
    """
    tiny.write("_build/ORDER", "die")
    tiny.write("src/dpofield/value.py", "VALUE = 'second'\n")
    runs = tiny.runs()
    code, output = tiny.jupyter_book()
    assert code == -signal.SIGKILL, output
    assert not tiny.mark().exists()
    (tiny.root / "_build" / "ORDER").unlink()
    code, output = tiny.jupyter_book()
    assert code == 0, output
    assert "the value is second" in tiny.page("book/one")
    assert tiny.mark().exists()
    assert tiny.runs() == [*runs, "one"]


def test_a_failure_is_shown_and_stays_one(tiny: Tree) -> None:
    """Protects: the output names the failed chapter and the error, and finished work is kept.

    Sphinx warns about a page only when it reads it, so a repeated build would pass.
    """
    tiny.edit("book/one.md", 'print("the value is", VALUE)', "1 / 0")
    tiny.edit("book/two.md", "two is done", "two is done again")
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

    tiny.edit("book/one.md", "1 / 0", 'print("the value is", VALUE)')
    tiny.edit("book/one.md", "Some prose", "See {doc}`nowhere`")
    for _ in range(2):
        code, output = tiny.build()
        assert code != 0, output
        assert "nowhere" in output
        assert "Executing" not in output
        assert not tiny.mark().exists()


def test_an_interruption_ends_the_kernels_and_harms_nothing(tiny: Tree) -> None:
    """Protects: Ctrl-C ends the kernels, leaves no partial result, and the next build continues.

    If sources are edited during the run, the output belongs to no version of them and is not kept.
    """
    tiny.write("_build/ORDER", "wait")
    tiny.edit("book/two.md", "two is done", "two is done again")
    process = tiny.start(sys.executable, "tools/build.py")
    try:
        assert wait_until((tiny.root / "_build" / "STARTED").exists)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode != 0
    assert "Interrupted" in output
    assert wait_until(lambda: not kernels_in(tiny.root / "book"), 20)

    tiny.write("_build/ORDER", "edit")
    code, output = tiny.build()
    assert code != 0
    assert "Sources changed" in output
    (tiny.root / "_build" / "ORDER").unlink()
    code, output = tiny.build()
    assert code == 0, output
    assert "two is done again edited" in tiny.page("book/two")


def test_a_page_that_is_not_there_is_named(tiny: Tree) -> None:
    """Protects: the message about a missing page in the table of contents."""
    tiny.edit("_toc.yml", "book/two", "book/three")
    code, output = tiny.build()
    assert code != 0
    assert "_toc.yml lists book/three" in output
    assert "Traceback" not in output
