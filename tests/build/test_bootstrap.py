"""Setup: messages about missing programs, and no repeated work."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import bootstrap
import pytest
from fingerprint import ROOT

OLD_PYTHON = """\
import runpy, sys
sys.version_info = (3, 9, 0, "final", 0)
del sys.argv[0]
if sys.argv[0] == "-c":
    exec(sys.argv[1])
else:
    runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the setup reads; the bootstrap module uses it as the project."""
    (tmp_path / "tools").mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "tools/bootstrap.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    venv = tmp_path / ".venv"
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    monkeypatch.setattr(bootstrap, "VENV", venv)
    monkeypatch.setattr(bootstrap, "VENV_PYTHON", venv / "bin" / "python")
    monkeypatch.setattr(bootstrap, "STAMP", venv / "stamp.json")
    monkeypatch.setattr(bootstrap, "CPU_INDEX", "http://127.0.0.1:9")  # where no server answers
    return tmp_path


@pytest.fixture
def pip(project: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Calls of pip, recorded instead of made; the environment counts as existing."""
    calls: list[tuple[str, ...]] = []
    monkeypatch.setattr(bootstrap, "pip_install", lambda *words: calls.append(words) or True)
    monkeypatch.setattr(bootstrap, "environment_version", lambda: sys.version_info[:2])
    (project / ".venv").mkdir()
    return calls


def make(folder: Path, *arguments: str, **environment: str) -> str:
    """Run make in ``folder``, which must fail; return its output."""
    program = shutil.which("make")
    assert program
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "PYTHON"))}
    done = subprocess.run(
        [program, *arguments], cwd=folder, env=clean | environment, text=True, capture_output=True
    )
    assert done.returncode != 0
    return done.stdout + done.stderr


def test_no_python_is_said(project: Path, tmp_path: Path) -> None:
    """Protects: without Python, the user gets a clear message, not an error of the shell."""
    bare = tmp_path / "bin"
    bare.mkdir()
    shell = shutil.which("sh")
    assert shell
    (bare / "sh").symlink_to(shell)
    assert "Python 3.11 or newer is needed" in make(project, "book", PATH=str(bare))
    assert "'no-such-python' was not found" in make(project, "book", "PYTHON=no-such-python")


def test_an_old_python_is_said(project: Path, tmp_path: Path) -> None:
    """Protects: the version check, which must run on the version that it rejects."""
    (tmp_path / "old.py").write_text(OLD_PYTHON)
    old = tmp_path / "python3.9"
    old.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{tmp_path / "old.py"}" "$@"\n')
    old.chmod(0o755)
    said = make(project, "book", f"PYTHON={old}")
    assert "Python 3.11 or newer is needed" in said
    assert "3.9" in said
    assert not (project / ".venv").exists()


def test_everything_missing_is_said_at_once(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects: one list of all missing programs, each with its remedy."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(bootstrap.importlib.util, "find_spec", lambda name: None)
    problems = " ".join(bootstrap.missing())
    assert "apt install git" in problems
    assert "apt install python3-venv" in problems


def test_torch_comes_first_then_the_rest_once(project: Path, pip: list[tuple[str, ...]]) -> None:
    """Protects: torch is installed first, so that it can be a CPU build; a repeat does nothing."""
    bootstrap.prepare("book", "torch==2.13.0", chosen=False)
    assert pip == [
        ("torch==2.13.0", "--constraint", "constraints.txt"),
        ("--editable", ".[book]", "--constraint", "constraints.txt"),
    ]
    bootstrap.prepare("book", "torch==2.13.0", chosen=False)
    assert len(pip) == 2


@pytest.mark.parametrize("given", ["", "torch", "torch @ file:///torch.whl"])
def test_the_makefile_passes_the_words_on(
    project: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    """Protects: TORCH reaches the program unchanged, and is empty by default."""
    (project / "tools" / "bootstrap.py").write_text("import sys; print(sys.argv[1:]); sys.exit(1)")
    words = ["--torch", given] if given else []
    assert str([*words, "book"]) in make(project, "book", *([f"TORCH={given}"] if given else []))


def test_the_test_extra_serves_the_book(project: Path, pip: list[tuple[str, ...]]) -> None:
    """Protects: `make book` after `make test` installs nothing."""
    bootstrap.prepare("test", "torch==2.13.0", chosen=False)
    bootstrap.prepare("book", "torch==2.13.0", chosen=False)
    assert len(pip) == 2


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_other_versions_are_installed(project: Path, pip: list[tuple[str, ...]], name: str) -> None:
    """Protects: the stamp depends on the contents of the lists, not on their dates."""
    bootstrap.prepare("book", "torch==2.13.0", chosen=False)
    (project / name).touch()
    bootstrap.prepare("book", "torch==2.13.0", chosen=False)
    assert len(pip) == 2
    (project / name).write_text((project / name).read_text() + "# changed\n")
    bootstrap.prepare("book", "torch==2.13.0", chosen=False)
    assert len(pip) == 4


def test_another_spelling_of_torch(project: Path, pip: list[tuple[str, ...]]) -> None:
    """Protects: TORCH may have several arguments for pip."""
    bootstrap.prepare("book", "torch==2.13.0+cpu --extra-index-url 'a b'", chosen=False)
    assert pip[0][:3] == ("torch==2.13.0+cpu", "--extra-index-url", "a b")


def test_an_interrupted_installation_is_taken_up_again(
    project: Path, pip: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects: after an interrupted installation, the older stamp does not exist."""
    bootstrap.prepare("book", "torch==2.13.0", chosen=False)
    with monkeypatch.context() as context:

        def interrupted(*_: str) -> bool:
            raise KeyboardInterrupt

        context.setattr(bootstrap, "pip_install", interrupted)
        with pytest.raises(KeyboardInterrupt):
            bootstrap.prepare("test", "torch==2.13.0", chosen=False)
    bootstrap.prepare("book", "torch==2.13.0", chosen=False)
    assert len(pip) == 4


PIN = bootstrap.pinned_torch()
PYTHON = sys.version_info[:2]
TAG = f"cp{PYTHON[0]}{PYTHON[1]}"
WHEEL = f"torch-{PIN}+cpu-{TAG}-{TAG}-manylinux_2_28_{platform.machine()}.whl"
FROM_CPU_INDEX = f"torch=={PIN}+cpu"
FROM_OWN_INDEX = (f"torch=={PIN}", "--constraint", "constraints.txt")
Answer = Callable[[BaseHTTPRequestHandler], None]


def page(text: str, status: int = 200, **headers: str) -> Answer:
    """An answer with this text."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(text.encode())

    return answer


def listing(*wheels: str) -> Answer:
    """A page of a package index that lists these wheels."""
    links = "".join(f'<a href="/{name.replace("+", "%2B")}#sha256=0">{name}</a>' for name in wheels)
    return page(f"<!DOCTYPE html><html><body>{links}</body></html>")


def never(request: BaseHTTPRequestHandler) -> None:
    """No answer before the timeout."""
    time.sleep(3)


def drop_by_drop(request: BaseHTTPRequestHandler) -> None:
    """An answer that arrives in small pieces and lasts longer than the timeout."""
    page("")(request)
    for _ in range(30):
        request.wfile.write(b"<!-- wait -->")
        time.sleep(0.1)


@pytest.fixture
def index(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Answer]]:
    """A server in place of the index of torch's CPU builds: address -> answer."""
    answers: dict[str, Answer] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with suppress(ConnectionError):  # the client may have disconnected
                answers.get(self.path, page("not here", 404))(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(bootstrap, "CPU_INDEX", f"http://127.0.0.1:{server.server_port}/whl/cpu")
    monkeypatch.setattr(bootstrap.sys, "platform", "linux")
    yield answers
    server.shutdown()
    server.server_close()


def test_the_cpu_build_is_taken_unasked(
    index: dict[str, Answer], pip: list[tuple[str, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Protects: on Linux, the CPU build is the default, a message reports it, and everything except
    torch comes from the user's own index."""
    index["/whl/cpu/torch/"] = listing(WHEEL)
    bootstrap.prepare("book", "", chosen=False)
    assert pip == [
        ("--no-deps", "--index-url", bootstrap.CPU_INDEX, FROM_CPU_INDEX),
        ("--editable", ".[book]", "--constraint", "constraints.txt"),
    ]
    assert "for CUDA, set TORCH=torch" in capsys.readouterr().out


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(page("nothing", 404), id="missing"),
        pytest.param(page(WHEEL, 503), id="out of order"),
        pytest.param(page("<h1>Sign in</h1> to get torch 2.13.0+cpu"), id="a portal's page"),
        pytest.param(page("", 302, Location="/login"), id="sent elsewhere"),
        pytest.param(page("", 302, Location="/whl/cpu/torch/"), id="sent in a circle"),
        pytest.param(listing(), id="a proxy without torch"),
        pytest.param(listing(WHEEL.replace(PIN, "2.12.9")), id="another version"),
        pytest.param(listing(WHEEL.replace(PIN, f"{PIN}.1")), id="a longer version"),
        pytest.param(listing(WHEEL.replace("+cpu", "+cu130")), id="CUDA only"),
        pytest.param(listing(WHEEL.replace(TAG, "cp399")), id="another Python"),
        pytest.param(listing(WHEEL.replace(platform.machine(), "s390x")), id="another machine"),
        pytest.param(listing(WHEEL.replace("manylinux_2_28", "macosx_11_0")), id="another system"),
        pytest.param(lambda request: request.wfile.write(b"\0" * 99), id="not HTTP"),
        pytest.param(never, id="silence"),
        pytest.param(drop_by_drop, id="drop by drop"),
    ],
)
def test_whatever_answers_the_book_is_made(
    index: dict[str, Answer],
    pip: list[tuple[str, ...]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: Answer,
) -> None:
    """Protects: if the CPU index does not list the right wheel in time, pip's index is used."""
    monkeypatch.setattr(bootstrap, "PATIENCE", 0.5)
    index["/whl/cpu/torch/"] = answer
    index["/login"] = page("<h1>Sign in</h1>")
    start = time.monotonic()
    bootstrap.prepare("book", "", chosen=False)
    assert time.monotonic() - start < 2
    assert pip[0] == FROM_OWN_INDEX
    assert len(capsys.readouterr().out.splitlines()) == 1  # the message about the installation


def test_without_a_network_the_book_is_made(
    project: Path, pip: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects: an unknown host, or a refused connection, is no error."""
    for address in ("http://no-such-host.invalid/whl", "http://127.0.0.1:9"):
        monkeypatch.setattr(bootstrap, "CPU_INDEX", address)
        assert not bootstrap.has_cpu_build(PIN, PYTHON)
    bootstrap.prepare("book", "", chosen=False)
    assert pip[0] == FROM_OWN_INDEX


@pytest.mark.parametrize(("words", "system"), [("torch", "linux"), ("", "darwin")])
def test_nobody_is_asked_without_need(
    index: dict[str, Answer],
    pip: list[tuple[str, ...]],
    monkeypatch: pytest.MonkeyPatch,
    words: str,
    system: str,
) -> None:
    """Protects: TORCH has priority, and the CPU index is used only on Linux."""
    index["/whl/cpu/torch/"] = listing(WHEEL)
    monkeypatch.setattr(bootstrap.sys, "platform", system)
    bootstrap.prepare("book", words, chosen=False)
    assert pip[0] == (words or f"torch=={PIN}", *FROM_OWN_INDEX[1:])


def test_an_installed_torch_stays(
    index: dict[str, Answer], pip: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects: a change of the network changes neither the stamp nor the build of torch."""
    index["/whl/cpu/torch/"] = listing(WHEEL)
    bootstrap.prepare("book", "", chosen=False)
    monkeypatch.setattr(bootstrap, "installed_torch", lambda: PIN)
    there = index.pop("/whl/cpu/torch/")
    bootstrap.prepare("book", "", chosen=False)
    assert len(pip) == 2  # the stamp matches
    bootstrap.prepare("test", "", chosen=False)  # another extra, without the network
    assert pip[2] == FROM_OWN_INDEX  # pip finds it installed
    index["/whl/cpu/torch/"] = there
    bootstrap.STAMP.unlink()
    bootstrap.prepare("test", "", chosen=False)  # with the network: no other build either
    assert pip[4] == FROM_OWN_INDEX


def test_wheels_that_cannot_be_fetched(
    index: dict[str, Answer], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects: if the CPU index fails, pip's index is used; if both fail, the setup fails."""
    index["/whl/cpu/torch/"] = listing(WHEEL)
    (project / ".venv").mkdir()
    monkeypatch.setattr(bootstrap, "environment_version", lambda: PYTHON)
    calls: list[tuple[str, ...]] = []

    def pip_install(*words: str) -> bool:
        calls.append(words)
        return FROM_CPU_INDEX not in words

    monkeypatch.setattr(bootstrap, "pip_install", pip_install)
    bootstrap.prepare("book", "", chosen=False)
    assert calls[1] == FROM_OWN_INDEX
    assert len(calls) == 3
    bootstrap.STAMP.unlink()
    monkeypatch.setattr(bootstrap, "pip_install", lambda *_: False)
    with pytest.raises(SystemExit, match="TORCH in README"):
        bootstrap.prepare("book", "", chosen=False)
    assert not bootstrap.STAMP.exists()


def test_pip_takes_the_build_that_was_seen(
    index: dict[str, Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects: with these arguments, pip selects the CPU build from the index."""
    served = [WHEEL, WHEEL.replace("+cpu", ""), WHEEL.replace(PIN, "99.0")]
    links = []
    for name in served:
        with zipfile.ZipFile(tmp_path / name, "w") as wheel:
            version = name.split("-")[1]
            inside = f"torch-{version}.dist-info"
            wheel.writestr(
                f"{inside}/METADATA",
                f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\nRequires-Dist: no-such\n",
            )
            wheel.writestr(f"{inside}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
            wheel.writestr(f"{inside}/RECORD", "")
        links.append(f'<a href="{(tmp_path / name).as_uri()}">{name}</a>')
    index["/whl/cpu/torch/"] = page("".join(links), **{"Content-Type": "text/html"})
    assert bootstrap.has_cpu_build(PIN, PYTHON)
    words: list[str] = []
    monkeypatch.setattr(bootstrap, "pip_install", lambda *given: words.extend(given) or True)
    bootstrap.install_torch("", PYTHON)
    taken = tmp_path / "taken"
    pip = [sys.executable, "-m", "pip", "--no-cache-dir", "download", "--quiet", "--dest", taken]
    subprocess.run([*pip, *words], check=True)
    assert [path.name for path in taken.iterdir()] == [WHEEL]


def test_a_venv_that_is_a_file_is_said(project: Path) -> None:
    """Protects: the message names the file, and nothing is deleted."""
    (project / ".venv").write_text("mine")
    assert any(".venv is a file" in problem for problem in bootstrap.missing())
    assert (project / ".venv").read_text() == "mine"
