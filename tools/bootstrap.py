"""Make the virtual environment of the book: ``python3 tools/bootstrap.py book`` (or ``test``).

Uses the standard library only, and parses on a Python that is too old, so that it can say so.
A stamp inside the environment records what it was made from; nothing is done while that holds,
and the stamp is written last, so an interrupted installation is taken up again.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
STAMP = VENV / "dpofield-stamp.json"
OLDEST = (3, 11)
NEEDED_DISK = 3 * 2**30  # bytes; torch and its friends unpack to about 2 GiB


def missing() -> list[str]:
    """Say, one sentence each, what this machine lacks for a build."""
    problems = []
    if os.name != "posix":
        problems.append("The build needs a POSIX system (Linux, macOS, or WSL on Windows).")
    if sys.version_info < OLDEST:
        problems.append(
            "Python 3.11 or newer is needed; {} is {}.{}. Install one and name it: "
            "make book PYTHON=python3.12".format(sys.executable, *sys.version_info[:2])
        )
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        problems.append(
            f"{sys.executable} cannot make virtual environments. On Debian or Ubuntu: "
            "apt install python3-venv"
        )
    if shutil.which("git") is None:
        problems.append("git was not found on the PATH. On Debian or Ubuntu: apt install git")
    if not VENV.exists() and shutil.disk_usage(ROOT).free < NEEDED_DISK:
        problems.append(f"Less than {NEEDED_DISK / 2**30:.0f} GiB are free where the book lies.")
    return problems


def environment_version() -> tuple[int, int] | None:
    """Python version of the environment that is there; None if there is none or it is broken."""
    check = "import pip, sys; print(*sys.version_info[:2])"
    try:
        done = subprocess.run(
            [str(VENV_PYTHON), "-c", check], capture_output=True, text=True, check=True
        )
        major, minor = done.stdout.split()
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None
    return int(major), int(minor)


def stamp_key(torch: str, version: tuple[int, int]) -> str:
    """Hash of everything that decides what is installed."""
    digest = hashlib.sha256(repr((torch, version, str(ROOT))).encode())
    for name in ("pyproject.toml", "constraints.txt"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def installed_extras(key: str) -> list[str]:
    """Extras that the stamp records for ``key``; none if it is missing, torn or of another key."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return list(stamp["extras"]) if stamp.get("key") == key else []


def pip_install(*arguments: str) -> None:
    """Run pip in the environment; its own words are shown, and its failure ends the program."""
    # Compiled at the first import instead: most of what is installed is never imported.
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
    if pip.returncode:
        raise SystemExit(
            "Installing failed; pip says why above. What was downloaded is kept: run the same "
            "command again to go on. For another build of torch see TORCH in README.md."
        )


def main() -> None:
    """Check the machine, make the environment if needed, install what the extra asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("extra", choices=["book", "test"])
    parser.add_argument("--torch", default="torch==2.13.0", help="words for pip that name torch")
    parser.add_argument(
        "--chosen", action="store_true", help="this interpreter was asked for by name"
    )
    options = parser.parse_args()

    problems = missing()
    if problems:
        raise SystemExit("The book cannot be built here yet:\n  - " + "\n  - ".join(problems))
    import fcntl  # POSIX only, which missing() has just checked

    (ROOT / "_build").mkdir(exist_ok=True)
    with (ROOT / "_build" / ".setup-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another make at the same time waits here
        prepare(options.extra, options.torch, options.chosen)


def prepare(extra: str, torch: str, chosen: bool) -> None:
    """Make the environment unless it is there, and install ``extra`` unless it is installed."""
    version = environment_version()
    wanted = sys.version_info[:2]
    if version is None or version < OLDEST or (chosen and version != wanted):
        print(f"Making .venv with Python {wanted[0]}.{wanted[1]}", flush=True)
        STAMP.unlink(missing_ok=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)
        version = wanted
    key = stamp_key(torch, version)
    extras = installed_extras(key)
    # The test extra contains the book extra (pyproject.toml).
    if extra in extras or "test" in extras:
        return

    print(f"Installing what `make {extra}` needs (once; minutes)", flush=True)
    STAMP.unlink(missing_ok=True)
    # torch first and alone: pinned in the install line, so that a CPU build can be taken.
    pip_install(*shlex.split(torch))
    pip_install("--editable", f".[{extra}]", "--constraint", "constraints.txt")
    whole = STAMP.with_suffix(".tmp")
    whole.write_text(json.dumps({"key": key, "extras": [*extras, extra]}), "utf-8")
    whole.replace(STAMP)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit("\nInterrupted; run the same command again to go on.") from None
