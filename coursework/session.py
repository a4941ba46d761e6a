"""The grader's side of the pipe to a student process, which answers one question at a time.

Each question has a random token, and the answer must have the same token. A process that takes too
long, ends, or sends malformed data is killed, together with all processes that it started.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from coursework.names import printable
from coursework.sandbox import wire

SANDBOX = Path(__file__).resolve().parent / "sandbox"
UNSHARE = ["--user", "--map-root-user", "--net", "--pid", "--mount", "--ipc", "--uts", "--fork"]
SYSTEM = ["/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache"]
START_SECONDS = 60.0  # to import the modules on a busy machine


class DiedError(Exception):
    """The student's process has ended; the message says why and is shown to the student."""


@dataclass(frozen=True)
class Limits:
    """What one student process may use.

    `seconds` limits the processor time per cell and per question, so that a busy machine changes no
    grade. Code that only waits is stopped after `patience` times as long in real time. `memory_mb`
    limits the address space. `modules` are imported before the student's code. `folders` can be
    read in the jail, besides Python itself.
    """

    seconds: float = 20.0
    patience: float = 6.0
    memory_mb: int = 2048
    modules: tuple[str, ...] = ("numpy", "sympy")
    folders: tuple[Path, ...] = ()

    def resource_limits(self) -> dict[str, int]:
        """Limits by their names in `resource`, without the prefix ``RLIMIT_``."""
        return {
            "AS": self.memory_mb << 20,
            "CPU": 600,
            "FSIZE": 64 << 20,
            "NOFILE": 256,
            "NPROC": 64,
            "CORE": 0,
        }


def visible_folders(limits: Limits) -> list[str]:
    """All that can be read in the jail: Python, its packages, the worker, `limits.folders`."""
    python = [sys.base_prefix, sys.prefix, os.path.dirname(os.path.realpath(sys.executable))]
    own = [str(SANDBOX), *(str(folder) for folder in limits.folders)]
    # A folder inside another one of the list would be mounted twice.
    found: list[str] = []
    for path in sorted({*SYSTEM, *python, *own}):
        if not any(path.startswith(f"{other}/") for other in found if not os.path.islink(other)):
            found.append(path)
    return found


def environment() -> dict[str, str]:
    """Environment variables of the student's process; none comes from the grader's."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "PYTHONHASHSEED": "0",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


@cache
def has_namespaces() -> bool:
    """Whether student code can be isolated on this platform; tried once, and cached."""
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return False
    try:
        with Session(Limits(modules=()), namespaces=True):
            return True
    except (DiedError, OSError):
        return False


def isolation() -> str:
    """How a student's process is isolated here, in one sentence for the grading table."""
    if has_namespaces():
        return (
            "Isolation: own file system (Python read-only, no file of the grader's), no network, "
            "own processes, limits on time and memory."
        )
    return (
        "WARNING: only time and memory of student code are limited here: it can read and write "
        "your files and use the network."
    )


class UnprotectedError(Exception):
    """Student code would run without isolation, with the grader's rights."""


def require_isolation() -> None:
    """Raise `UnprotectedError`, with a remedy, where student code cannot be isolated."""
    if not has_namespaces():
        raise UnprotectedError(
            "Student code cannot be isolated here (no user namespaces), and could read and write "
            "your files. Grade on a Linux system that has them, or, on a machine or in a container "
            "that holds nothing else, add --unprotected."
        )


class Session:
    """One student process, to be used in a `with` statement."""

    live: ClassVar[dict[int, str]] = {}  # open processes by id, and their folders

    def __init__(self, limits: Limits, *, namespaces: bool | None = None) -> None:
        self.limits = limits
        self.namespaces = has_namespaces() if namespaces is None else namespaces
        self.folder = tempfile.TemporaryDirectory(prefix="coursework-", ignore_cleanup_errors=True)
        to_child, self.outlet = os.pipe()
        self.inlet, from_child = os.pipe()
        try:
            self.process = self._start(to_child, from_child)
        except BaseException:
            self._release()
            raise
        finally:
            os.close(to_child)
            os.close(from_child)
        try:
            self.live[self.process.pid] = self.folder.name
            self._receive(START_SECONDS)
        except DiedError:
            self.close()
            raise

    def _start(self, to_child: int, from_child: int) -> subprocess.Popen[bytes]:
        spec = {
            "namespaces": self.namespaces,
            "visible": visible_folders(self.limits),
            "folder": self.folder.name,
            "limits": self.limits.resource_limits(),
            "python": sys.executable,
            "environment": environment(),
            "modules": self.limits.modules,
            "pipes": [to_child, from_child],
        }
        jail = [sys.executable, "-I", "-S", str(SANDBOX / "jail.py"), json.dumps(spec)]
        unshare = ["unshare", *UNSHARE, "--kill-child", "--"] if self.namespaces else []
        return subprocess.Popen(
            [*unshare, *jail],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(to_child, from_child),
            start_new_session=True,
            cwd="/",
        )

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def processor_seconds(self) -> float | None:
        """Processor time that the student's process has used; None if it is unknown."""
        pid = self.process.pid
        try:
            if self.namespaces:  # `self.process` is unshare; its child is the student's process
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
                pid = int(children.split()[0])
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2]
        except (OSError, IndexError, ValueError):
            return None
        return sum(map(int, fields.split()[11:15])) / os.sysconf("SC_CLK_TCK")

    def _patience(self, seconds: float) -> Callable[[], bool]:
        """A function that returns whether the time for an answer is over."""
        start, used = time.monotonic(), self.processor_seconds()

        def expired() -> bool:
            waited = time.monotonic() - start
            if waited < seconds:
                return False
            now = self.processor_seconds()
            busy = waited if used is None or now is None else now - used
            return busy >= seconds or waited >= self.limits.patience * seconds

        return expired

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Send a question, return the answer. Kills the process before it raises DiedError."""
        token = secrets.token_hex(8)
        try:
            wire.send(self.outlet, {**question, "token": token})
        except BrokenPipeError:
            self.close()
            raise DiedError("its process had ended") from None
        try:
            reply = self._receive(self.limits.seconds)
            if reply.get("token") != token:
                raise DiedError("it wrote to the grader's pipe")
        except DiedError:
            self.close()
            raise
        return reply

    def _receive(self, seconds: float) -> dict[str, Any]:
        try:
            return wire.receive(self.inlet, self._patience(seconds))
        except EOFError:
            raise DiedError("it ended its own process, or ran out of memory") from None
        except TimeoutError:
            raise DiedError(f"it took longer than {seconds:g} s") from None
        except wire.WireError as error:
            raise DiedError(f"its answer was not data ({error})") from None

    def close(self) -> None:
        """Kill the process and all that it started, and remove its folder."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.live.pop(self.process.pid, None)
        self._release()

    def _release(self) -> None:
        for pipe in (self.outlet, self.inlet):
            with contextlib.suppress(OSError):
                os.close(pipe)
        self.outlet = self.inlet = -1
        self.folder.cleanup()


def kill_all() -> None:
    """Kill all students' processes, before this process ends without closing them."""
    for pid, folder in list(Session.live.items()):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Cell:
    """A code cell of a submission; `task` is the task that it answers, if any."""

    name: str
    source: str
    task: str | None = None


class StudentError(Exception):
    """The student's code raised; `kind` is the exception's name if it is a built-in one.

    `notebook` says that a cell with IPython's own syntax could not be understood.
    """

    def __init__(
        self, kind: str, message: str = "", line: int | None = None, *, notebook: bool = False
    ) -> None:
        super().__init__(kind)
        self.kind, self.message, self.line, self.notebook = kind, message, line, notebook

    def told(self) -> str:
        """The error and its message in one line.

        Students may see it for an error in a cell. In a hidden test, their code could put hidden
        input into the message.
        """
        place = f" in line {self.line}" if self.line else ""
        return f"{self.kind}{place}" + (f": {self.message}" if self.message else "")


class Student:
    """The functions and values of one submission, for hidden tests.

    The process starts with the first question and runs `cells` in order. After an error in one
    cell, the next cell runs all the same. A cell that ended the process is left out when the
    process starts again.
    """

    def __init__(self, cells: Sequence[Cell], limits: Limits) -> None:
        self.cells = list(cells)
        self.limits = limits
        self.session: Session | None = None
        self.fatal: dict[str, str] = {}  # cell that ended the process -> how it did
        self.errors: dict[str, StudentError] = {}  # cell that raised -> its error
        self.deaths: list[str] = []  # one reason per process that ended
        self.left_out: dict[str, str] = {}  # cell -> its lines that only IPython could run
        self.unread: set[str] = set()  # cells that have IPython's syntax and cannot be understood

    def __enter__(self) -> Student:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process, if there is one."""
        if self.session is not None:
            self.session.close()
        self.session = None

    def ready(self) -> Session:
        """The process after all cells have run in it."""
        while self.session is None:
            session = Session(self.limits)
            try:
                for cell in self.cells:
                    if cell.name in self.fatal:
                        continue
                    question = {"do": "cell", "name": cell.name, "source": cell.source}
                    try:
                        reply = session.ask(question)
                    except DiedError as error:
                        self.fatal[cell.name] = str(error)
                        self.deaths.append(str(error))
                        break
                    if "error" in reply:
                        self.errors[cell.name] = student_error(reply)
                        self.unread |= {cell.name} if self.errors[cell.name].notebook else set()
                    left = reply.get("left_out")
                    if left and isinstance(left, list):
                        shown = [printable(str(line)[:60]) for line in left[:3]]
                        self.left_out[cell.name] = ", ".join(shown)
                else:
                    self.session = session
            except BaseException:
                session.close()
                raise
        return self.session

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        session = self.ready()
        try:
            reply = session.ask(question)
            if "error" in reply:
                raise student_error(reply)
            return {key: wire.decode(reply.get(key)) for key in ("value", "after", "grads")}
        except wire.WireError as error:
            raise StudentError(f"no usable answer ({error})") from None
        except DiedError as error:
            self.session = None
            self.deaths.append(str(error))
            raise

    def value(self, name: str) -> Any:
        """The value of a name."""
        return self._ask({"do": "value", "name": name})["value"]

    def call(self, name: str, *arguments: Any, **options: Any) -> Any:
        """The result of a function."""
        return self._ask(_question("call", name, arguments, options))["value"]

    def call_and_look(self, name: str, *arguments: Any, **options: Any) -> tuple[Any, list[Any]]:
        """The result of a function, and its arguments after the call."""
        reply = self._ask(_question("call", name, arguments, options))
        return reply["value"], reply["after"]

    def grad(self, name: str, *arguments: Any, **options: Any) -> tuple[Any, list[Any]]:
        """The result of a function of tensors; derivatives of its sum by each floating argument."""
        reply = self._ask(_question("grad", name, arguments, options))
        return reply["value"], reply["grads"]


def _question(
    do: str, name: str, arguments: tuple[Any, ...], options: dict[str, Any]
) -> dict[str, Any]:
    sent = {"arguments": wire.encode(list(arguments)), "options": wire.encode(options)}
    return {"do": do, "name": name, **sent}


def student_error(reply: dict[str, Any]) -> StudentError:
    """The error in a reply, which may have any shape: the student's process made it."""
    report = reply["error"] if isinstance(reply["error"], dict) else {}
    line = report.get("line")
    return StudentError(
        printable(str(report.get("type", "an exception"))[:40]),
        printable(str(report.get("message", ""))[:200]),
        line if isinstance(line, int) else None,
        notebook=report.get("notebook") is True,
    )
