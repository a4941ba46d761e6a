"""Setup: messages about missing programs, and no repeated work."""

from __future__ import annotations

import ast
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

import pytest
import setup_venv
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
    """A folder with the files that the setup reads; setup_venv uses it as the project."""
    (tmp_path / "tools").mkdir()
    names = ("Makefile", "pyproject.toml", "constraints.txt")
    for name in (*names, "tools/bootstrap.py", "tools/setup_venv.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    venv = tmp_path / ".venv"
    monkeypatch.setattr(setup_venv, "ROOT", tmp_path)
    monkeypatch.setattr(setup_venv, "VENV", venv)
    monkeypatch.setattr(setup_venv, "VENV_PYTHON", venv / "bin" / "python")
    monkeypatch.setattr(setup_venv, "STAMP", venv / "stamp.json")
    monkeypatch.setattr(setup_venv, "MADE_HERE", venv / "made-here")
    monkeypatch.setattr(setup_venv, "CPU_INDEX", "http://127.0.0.1:9")  # where no server answers
    return tmp_path


@pytest.fixture
def pip(project: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Calls of pip, recorded instead of made; the environment counts as existing."""
    calls: list[tuple[str, ...]] = []
    monkeypatch.setattr(setup_venv, "pip_install", lambda *words: calls.append(words) or True)
    monkeypatch.setattr(setup_venv, "environment_version", lambda: sys.version_info[:2])
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
    monkeypatch.setattr(setup_venv.importlib.util, "find_spec", lambda name: None)
    problems = " ".join(setup_venv.missing())
    assert "apt install git" in problems
    assert "apt install python3-venv" in problems


def test_torch_comes_first_then_the_rest_once(project: Path, pip: list[tuple[str, ...]]) -> None:
    """Protects: torch is installed first, so that it can be a CPU build; a repeat does nothing."""
    setup_venv.prepare("book", "torch==2.13.0", chosen=False)
    assert pip == [
        ("torch==2.13.0", "--constraint", "constraints.txt"),
        ("--editable", ".[book]", "--constraint", "constraints.txt"),
    ]
    setup_venv.prepare("book", "torch==2.13.0", chosen=False)
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
    setup_venv.prepare("test", "torch==2.13.0", chosen=False)
    setup_venv.prepare("book", "torch==2.13.0", chosen=False)
    assert len(pip) == 2


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_other_versions_are_installed(project: Path, pip: list[tuple[str, ...]], name: str) -> None:
    """Protects: the stamp depends on the contents of the lists, not on their dates."""
    setup_venv.prepare("book", "torch==2.13.0", chosen=False)
    (project / name).touch()
    setup_venv.prepare("book", "torch==2.13.0", chosen=False)
    assert len(pip) == 2
    (project / name).write_text((project / name).read_text() + "# changed\n")
    setup_venv.prepare("book", "torch==2.13.0", chosen=False)
    assert len(pip) == 4


def test_another_spelling_of_torch(project: Path, pip: list[tuple[str, ...]]) -> None:
    """Protects: TORCH may have several arguments for pip."""
    setup_venv.prepare("book", "torch==2.13.0+cpu --extra-index-url 'a b'", chosen=False)
    assert pip[0][:3] == ("torch==2.13.0+cpu", "--extra-index-url", "a b")


def test_an_interrupted_installation_is_taken_up_again(
    project: Path, pip: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects: after an interrupted installation, the older stamp does not exist."""
    setup_venv.prepare("book", "torch==2.13.0", chosen=False)
    with monkeypatch.context() as context:

        def interrupted(*_: str) -> bool:
            raise KeyboardInterrupt

        context.setattr(setup_venv, "pip_install", interrupted)
        with pytest.raises(KeyboardInterrupt):
            setup_venv.prepare("test", "torch==2.13.0", chosen=False)
    setup_venv.prepare("book", "torch==2.13.0", chosen=False)
    assert len(pip) == 4


PIN = setup_venv.pinned_torch()
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
    monkeypatch.setattr(setup_venv, "CPU_INDEX", f"http://127.0.0.1:{server.server_port}/whl/cpu")
    monkeypatch.setattr(setup_venv.sys, "platform", "linux")
    yield answers
    server.shutdown()
    server.server_close()


def test_the_cpu_build_is_taken_unasked(
    index: dict[str, Answer], pip: list[tuple[str, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Protects: on Linux, the CPU build is the default, a message reports it, and everything except
    torch comes from the user's own index."""
    index["/whl/cpu/torch/"] = listing(WHEEL)
    setup_venv.prepare("book", "", chosen=False)
    assert pip == [
        ("--no-deps", "--index-url", setup_venv.CPU_INDEX, FROM_CPU_INDEX),
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
    monkeypatch.setattr(setup_venv, "PATIENCE", 0.5)
    index["/whl/cpu/torch/"] = answer
    index["/login"] = page("<h1>Sign in</h1>")
    start = time.monotonic()
    setup_venv.prepare("book", "", chosen=False)
    assert time.monotonic() - start < 2
    assert pip[0] == FROM_OWN_INDEX
    assert len(capsys.readouterr().out.splitlines()) == 1  # the message about the installation


def test_without_a_network_the_book_is_made(
    project: Path, pip: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects: an unknown host, or a refused connection, is no error."""
    for address in ("http://no-such-host.invalid/whl", "http://127.0.0.1:9"):
        monkeypatch.setattr(setup_venv, "CPU_INDEX", address)
        assert not setup_venv.has_cpu_build(PIN, PYTHON)
    setup_venv.prepare("book", "", chosen=False)
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
    monkeypatch.setattr(setup_venv.sys, "platform", system)
    setup_venv.prepare("book", words, chosen=False)
    assert pip[0] == (words or f"torch=={PIN}", *FROM_OWN_INDEX[1:])


def test_an_installed_torch_stays(
    index: dict[str, Answer], pip: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects: a change of the network changes neither the stamp nor the build of torch."""
    index["/whl/cpu/torch/"] = listing(WHEEL)
    setup_venv.prepare("book", "", chosen=False)
    monkeypatch.setattr(setup_venv, "installed_torch", lambda: PIN)
    there = index.pop("/whl/cpu/torch/")
    setup_venv.prepare("book", "", chosen=False)
    assert len(pip) == 2  # the stamp matches
    setup_venv.prepare("test", "", chosen=False)  # another extra, without the network
    assert pip[2] == FROM_OWN_INDEX  # pip finds it installed
    index["/whl/cpu/torch/"] = there
    setup_venv.STAMP.unlink()
    setup_venv.prepare("test", "", chosen=False)  # with the network: no other build either
    assert pip[4] == FROM_OWN_INDEX


def test_wheels_that_cannot_be_fetched(
    index: dict[str, Answer], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects: if the CPU index fails, pip's index is used; if both fail, the setup fails."""
    index["/whl/cpu/torch/"] = listing(WHEEL)
    (project / ".venv").mkdir()
    monkeypatch.setattr(setup_venv, "environment_version", lambda: PYTHON)
    calls: list[tuple[str, ...]] = []

    def pip_install(*words: str) -> bool:
        calls.append(words)
        return FROM_CPU_INDEX not in words

    monkeypatch.setattr(setup_venv, "pip_install", pip_install)
    setup_venv.prepare("book", "", chosen=False)
    assert calls[1] == FROM_OWN_INDEX
    assert len(calls) == 3
    setup_venv.STAMP.unlink()
    monkeypatch.setattr(setup_venv, "pip_install", lambda *_: False)
    with pytest.raises(SystemExit, match="TORCH in README"):
        setup_venv.prepare("book", "", chosen=False)
    assert not setup_venv.STAMP.exists()


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
    assert setup_venv.has_cpu_build(PIN, PYTHON)
    words: list[str] = []
    monkeypatch.setattr(setup_venv, "pip_install", lambda *given: words.extend(given) or True)
    setup_venv.install_torch("", PYTHON)
    taken = tmp_path / "taken"
    pip = [sys.executable, "-m", "pip", "--no-cache-dir", "download", "--quiet", "--dest", taken]
    subprocess.run([*pip, *words], check=True)
    assert [path.name for path in taken.iterdir()] == [WHEEL]


def test_a_venv_that_is_a_file_is_said(project: Path) -> None:
    """Protects: the message names the file, and nothing is deleted."""
    (project / ".venv").write_text("mine")
    assert any(".venv is a file" in problem for problem in setup_venv.missing())
    assert (project / ".venv").read_text() == "mine"


def test_the_first_file_runs_on_an_old_python() -> None:
    """Protects: Python 2.7 and 3.6 can parse the file that rejects them: it has no annotations,
    no f-strings and no `from __future__`, and imports only `sys` before the check. Its import by
    another program, as the doctests do it, does nothing."""
    source = (ROOT / "tools" / "bootstrap.py").read_text(encoding="ascii")
    tree = ast.parse(source, feature_version=(3, 4))
    new = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.FunctionDef, ast.Match, ast.With)
    assert not [node for node in ast.walk(tree) if isinstance(node, new)]
    _, first, main = tree.body
    assert ast.unparse(first) == "import sys"
    assert isinstance(main, ast.If)
    assert ast.unparse(main.test) == "__name__ == '__main__'"
    check, *rest = main.body
    assert isinstance(check, ast.If)
    assert len(rest) == 2  # the import of the work, and its call


def fake_venv(folder: Path, version: str, pip: bool = True) -> Path:
    """An environment with a program in the place of Python, and a file of the user's in it."""
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    if_asked_for_pip = "" if pip else 'case "$2" in *pip*) exit 1;; esac; '
    python.write_text(f"#!/bin/sh\n{if_asked_for_pip}echo {version}\n")
    python.chmod(0o755)
    (folder / ".venv" / "mine.txt").write_text("mine")
    return folder / ".venv"


@pytest.mark.parametrize(
    ("version", "pip", "said"),
    [
        ("3 9", True, "has Python 3.9, and 3.11 or newer is needed"),
        ("3 10", True, "has Python 3.10"),
        ("3 12", False, "has no pip"),
        ("", True, "has no Python that runs"),
    ],
)
def test_an_environment_of_the_user_is_kept(
    project: Path, version: str, pip: bool, said: str
) -> None:
    """Protects: an environment that was not made here is never emptied; the message says why it
    cannot be used, and what to do."""
    venv = fake_venv(project, version, pip)
    with pytest.raises(SystemExit, match=rf"\.venv {said}.*nothing was changed.*mv \.venv"):
        setup_venv.prepare("book", "", chosen=False)
    assert (venv / "mine.txt").read_text() == "mine"
    shutil.move(venv, project / "elsewhere")
    venv.symlink_to(project / "elsewhere")
    (venv / "made-here").touch()  # made by another checkout, which still uses it
    with pytest.raises(SystemExit, match="nothing was changed"):
        setup_venv.prepare("book", "", chosen=False)
    assert (project / "elsewhere" / "mine.txt").read_text() == "mine"


def test_another_python_is_not_taken_for_a_foreign_environment(project: Path) -> None:
    """Protects: PYTHON does not empty an environment of the user's that works."""
    venv = fake_venv(project, "3 12" if sys.version_info[:2] != (3, 12) else "3 13")
    with pytest.raises(SystemExit, match="another Python than PYTHON names"):
        setup_venv.prepare("book", "", chosen=True)
    assert (venv / "mine.txt").exists()


def test_an_environment_that_is_half_made_is_made_again(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects: after an interruption in `python -m venv`, the next run starts it anew."""

    def interrupted(words: list[str]) -> None:
        Path(words[-1], "bin").mkdir()
        Path(words[-1], "bin", "python").write_text("half")
        raise KeyboardInterrupt

    real = subprocess.run
    with monkeypatch.context() as context:
        context.setattr(
            subprocess, "run", lambda w, **k: interrupted(w) if "venv" in w else real(w, **k)
        )
        with pytest.raises(KeyboardInterrupt):
            setup_venv.prepare("book", "", chosen=False)
    calls: list[tuple[str, ...]] = []
    monkeypatch.setattr(setup_venv, "pip_install", lambda *words: calls.append(words) or True)
    setup_venv.prepare("book", f"torch=={PIN}", chosen=False)
    assert setup_venv.flaw() == ""
    assert len(calls) == 2


def test_each_state_of_the_folder_is_a_sentence(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects: a broken link, a folder that cannot be written, and a full disk are named."""
    (project / ".venv").symlink_to(project / "gone")
    assert any("a link to" in p and "remove it" in p for p in setup_venv.missing())
    (project / ".venv").unlink()
    monkeypatch.setattr(os, "access", lambda folder, mode: False)
    assert any(f"may not write to {project}" in p for p in setup_venv.missing())
    monkeypatch.undo()


def test_a_full_disk_is_a_sentence(
    project: Path, pip: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects: before and after the installation, the message names the free space."""
    full = shutil.disk_usage(project)._replace(free=2**29)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(SystemExit, match=r"PIP_INDEX_URL.* Only 0\.5 GiB"):
        setup_venv.must(False)
    (project / ".venv").rmdir()
    assert any("Only 0.5 GiB" in p and "3 GiB are needed" in p for p in setup_venv.missing())

    def write(*_: object) -> None:
        raise OSError(28, "No space left on device", str(project / "x"))

    monkeypatch.setattr(setup_venv, "main", write)
    with pytest.raises(SystemExit, match=r"stopped: .*No space left.*Only 0\.5 GiB"):
        setup_venv.run()


def test_a_python_that_cannot_make_environments(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects: if `python -m venv` fails, as on some Debians, the message has the remedy."""
    failed = subprocess.CompletedProcess([], 1, "", "")
    monkeypatch.setattr(setup_venv, "ask", lambda _: "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(SystemExit, match="apt install python3-venv"):
        setup_venv.prepare("book", "", chosen=False)


@pytest.mark.parametrize(
    ("words", "said"),
    [("torch==2.0.1", f"names torch 2.0.1, but .* {PIN}"), ("torch 'x", "No closing quotation")],
)
def test_a_wrong_torch_is_a_sentence(
    project: Path, pip: list[tuple[str, ...]], words: str, said: str
) -> None:
    """Protects: a version that the constraints exclude is refused before pip runs."""
    with pytest.raises(SystemExit, match=said):
        setup_venv.prepare("book", words, chosen=False)
    assert pip == []
