"""Make the virtual environment of the book; `bootstrap.py` calls `run`.

Uses the standard library only. A stamp file inside the environment records its inputs. If the stamp
matches, nothing is installed. The stamp is written last, so an interrupted installation is resumed.
A second file, written first, says that the environment was made here: no other one is ever emptied.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import threading
import urllib.request
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
STAMP = VENV / "dpofield-stamp.json"
MADE_HERE = VENV / "dpofield-made-here"
OLDEST = (3, 11)
# The index on which PyTorch publishes its builds without CUDA.
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PATIENCE = 5.0  # seconds that the index may take to answer
NEEDED_DISK = 3 * 2**30  # bytes; torch and its dependencies unpack to about 2 GiB


def missing() -> list[str]:
    """What this machine lacks for a build, one sentence per problem."""
    problems = []
    if os.name != "posix":
        problems.append("The build needs a POSIX system (Linux, macOS, or WSL on Windows).")
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        problems.append(
            f"{sys.executable} cannot make virtual environments. On Debian or Ubuntu: "
            "apt install python3-venv"
        )
    if shutil.which("git") is None:
        problems.append("git was not found on the PATH. On Debian or Ubuntu: apt install git")
    if VENV.is_symlink() and not VENV.exists():
        target = os.readlink(VENV)
        problems.append(f"{VENV.name} is a link to {target}, which does not exist: remove it.")
    elif VENV.exists() and not VENV.is_dir():
        problems.append(f"{VENV.name} is a file but must be a folder: move it away.")
    for folder in (ROOT, ROOT / "_build", VENV):
        if folder.is_dir() and not os.access(folder, os.W_OK):
            problems.append(f"You may not write to {folder}: change its permissions or owner.")
    if not VENV.exists() and shutil.disk_usage(ROOT).free < NEEDED_DISK:
        problems.append(f"{too_full()} {NEEDED_DISK / 2**30:.0f} GiB are needed.")
    return problems


def too_full() -> str:
    """A sentence about the free space if it is small, else an empty text."""
    free = shutil.disk_usage(ROOT).free
    return f"Only {free / 2**30:.1f} GiB of disk space are free." if free < NEEDED_DISK else ""


def flaw() -> str:
    """Why the environment cannot be used; empty if it can."""
    version = ask("import sys; print(*sys.version_info[:2])")
    if not version:
        return "has no Python that runs"
    if tuple(map(int, version.split())) < OLDEST:
        return f"has Python {version.replace(' ', '.')}, and 3.11 or newer is needed"
    return "" if environment_version() else "has no pip"


def make_environment() -> None:
    """Make the environment anew; exit if there is one that was not made here."""
    ours = not VENV.is_symlink() and (MADE_HERE.exists() or STAMP.exists())
    if VENV.is_dir() and any(VENV.iterdir()) and not ours:
        raise SystemExit(
            f".venv {flaw() or 'has another Python than PYTHON names'}. It was not made by this "
            "program, so nothing was changed. Move it away (mv .venv venv-before), or remove it, "
            "and run the same command again."
        )
    VENV.mkdir(exist_ok=True)
    MADE_HERE.write_text("tools/bootstrap.py made this environment and may empty it.\n", "utf-8")
    for path in [p for p in VENV.iterdir() if p != MADE_HERE]:
        path.unlink() if path.is_symlink() or path.is_file() else shutil.rmtree(path)
    if subprocess.run([sys.executable, "-m", "venv", str(VENV)]).returncode:
        raise SystemExit(
            f"{sys.executable} could not make a virtual environment; see its message above. On "
            "Debian or Ubuntu: apt install python3-venv"
        )


def ask(question: str) -> str:
    """What the environment's Python prints; empty if it is missing or broken."""
    command = [str(VENV_PYTHON), "-c", question]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def environment_version() -> tuple[int, int] | None:
    """Python version of the environment; None if it is missing or broken."""
    version = ask("import pip, sys; print(*sys.version_info[:2])")
    return (int(version.split()[0]), int(version.split()[1])) if version else None


def stamp_key(torch: str, version: tuple[int, int]) -> str:
    """Hash of everything that determines what is installed."""
    digest = hashlib.sha256(repr((torch, version, str(ROOT))).encode())
    for name in ("pyproject.toml", "constraints.txt"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def installed_extras(key: str) -> list[str]:
    """Extras in the stamp; empty if it is missing, damaged or has another ``key``."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return list(stamp["extras"]) if stamp.get("key") == key else []


def pinned_torch() -> str:
    """Version of torch in constraints.txt."""
    found = re.search(r"^torch==(\S+)$", (ROOT / "constraints.txt").read_text("utf8"), re.MULTILINE)
    assert found, "constraints.txt names no version of torch"
    return found[1]


def installed_torch() -> str:
    """Version of torch in the environment, without a label such as ``+cpu``; empty if none."""
    return ask("import importlib.metadata as m; print(m.version('torch').split('+')[0])")


def read_page(address: str) -> str:
    """Text of a web page; empty if it does not arrive within ``PATIENCE`` seconds."""
    request = urllib.request.Request(address, headers={"User-Agent": "dpofield"})
    pages = []

    def read() -> None:
        # No network, a refusing proxy, a broken answer: in all cases the page is missing.
        with suppress(Exception), urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            pages.append(answer.read().decode("utf8", "replace"))

    # In a thread, because the timeout of a socket covers neither name look-up nor a slow answer.
    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return "".join(pages[:1])


def has_cpu_build(torch: str, python: tuple[int, int]) -> bool:
    """Whether the index of torch's CPU builds lists one for this machine and this Python."""
    tag = "cp{}{}".format(*python)
    name = rf"torch-{re.escape(torch)}(\+|%2B)cpu-{tag}-{tag}-\w*linux\w*_{platform.machine()}\.whl"
    return re.search(name, read_page(f"{CPU_INDEX}/torch/"), re.IGNORECASE) is not None


def install_torch(words: str, python: tuple[int, int]) -> None:
    """Install torch from the user's ``words`` for pip; without them, the CPU build on Linux."""
    pin = pinned_torch()
    try:
        named = re.search(r"^torch==([\w.]+)", "\n".join(shlex.split(words)), re.MULTILINE)
    except ValueError as error:
        raise SystemExit(f"TORCH is not a list of words for pip ({error}): {words}") from None
    if named and named[1] != pin:
        raise SystemExit(
            f"TORCH names torch {named[1]}, but the book was tested with {pin}. Use TORCH="
            f"torch=={pin}, or change the version in constraints.txt first."
        )
    cpu = sys.platform == "linux" and not words and installed_torch() != pin
    if cpu and has_cpu_build(pin, python):
        print("Installing the CPU build of torch; for CUDA, set TORCH=torch.", flush=True)
        # Only torch comes from this index; its dependencies come from the user's own index later.
        if pip_install("--no-deps", "--index-url", CPU_INDEX, f"torch=={pin}+cpu"):
            return
        print("That failed; installing torch from pip's default index.", flush=True)
    chosen = shlex.split(words) or [f"torch=={pin}"]
    must(pip_install(*chosen, "--constraint", "constraints.txt"))


def pip_install(*arguments: str) -> bool:
    """Run pip in the environment and show its output; return whether it succeeded."""
    # Modules are compiled at their first import, because most of them are never imported.
    options = ["--no-input", "--no-compile"]
    command = [str(VENV_PYTHON), "-m", "pip", "install", *options, *arguments]
    print("+ pip install", shlex.join(arguments), flush=True)
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as pip:
        assert pip.stdout is not None
        for line in pip.stdout:
            if not line.startswith("Requirement already satisfied"):
                print(line, end="", flush=True)
    return pip.returncode == 0


def must(installed: bool) -> None:
    """Exit if pip failed."""
    if not installed:
        raise SystemExit(
            "The installation failed; see pip's message above. Downloads are kept: run the same "
            "command again to continue. For another build of torch, see TORCH in README.md. "
            "Without a network, name a mirror by PIP_INDEX_URL, or a folder of wheels by "
            f"PIP_FIND_LINKS and PIP_NO_INDEX=1. {too_full()}".rstrip()
        )


def main() -> None:
    """Check the machine, make the environment if needed, and install the extra."""
    about = "Make the virtual environment of the book."
    parser = argparse.ArgumentParser(prog="tools/bootstrap.py", description=about)
    parser.add_argument("extra", choices=["book", "test"])
    parser.add_argument("--torch", default="", help="arguments for pip that name torch")
    parser.add_argument("--chosen", action="store_true", help="the user named this interpreter")
    options = parser.parse_args()

    problems = missing()
    if problems:
        raise SystemExit("The book cannot be built here yet:\n  - " + "\n  - ".join(problems))
    import fcntl  # POSIX only, which missing() has just checked

    (ROOT / "_build").mkdir(exist_ok=True)
    with (ROOT / "_build" / ".setup-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second make waits here
        prepare(options.extra, options.torch, options.chosen)


def prepare(extra: str, torch: str, chosen: bool) -> None:
    """Make the environment unless it exists, and install ``extra`` unless it is installed."""
    version = environment_version()
    wanted = sys.version_info[:2]
    if version is None or version < OLDEST or (chosen and version != wanted):
        instead = f" in place of the one with {version[0]}.{version[1]}" if version else ""
        make_environment()
        print(f"Made .venv with Python {wanted[0]}.{wanted[1]}{instead}", flush=True)
        version = wanted
    key = stamp_key(torch, version)
    extras = installed_extras(key)
    # The test extra contains the book extra (pyproject.toml).
    if extra in extras or "test" in extras:
        return

    print(f"Installing what `make {extra}` needs (once; takes minutes)", flush=True)
    STAMP.unlink(missing_ok=True)
    install_torch(torch, version)  # first, because it can come from another index
    must(pip_install("--editable", f".[{extra}]", "--constraint", "constraints.txt"))
    whole = STAMP.with_suffix(".tmp")
    whole.write_text(json.dumps({"key": key, "extras": [*extras, extra]}), "utf-8")
    whole.replace(STAMP)


def run() -> None:
    """`main`, with a sentence in the place of a traceback."""
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit("\nInterrupted; run the same command again to continue.") from None
    except OSError as error:
        remedy = too_full() or "Mend that, and run the same command again."
        raise SystemExit(f"The set-up stopped: {error}. {remedy}") from None
